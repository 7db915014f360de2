/* relays_shell.c - see relays_shell.h. */
#include "services/coordinator/relays_shell.h"
#include "lib/log.h"
#include "services/coordinator/conns_shell.h"

#include <sodium.h>
#include <stdio.h>

_Static_assert((int)LINKS_MAX >= (int)COORD_RELAYS_MAX, "all relays may be elsewhere");

static bool refuse(char err[static RELAYS_ERROR_MAX], const char *why, const char *text)
{
    snprintf(err, RELAYS_ERROR_MAX, "%s: %.64s", why, text);
    return false;
}

static bool add(const char *text, struct service_link_conf *links,
                char err[static RELAYS_ERROR_MAX])
{
    struct peer_id key;

    if (links->n == COORD_RELAYS_MAX)
        return refuse(err, "relays are too many", text);
    if (!peer_id_parse(text, &key))
        return refuse(err, "this is no relay's key", text);
    for (uint8_t i = 0; i < links->n; i++)
        if (memcmp(links->to[i].key, key.b, LINK_KEY) == 0)
            return refuse(err, "a relay's key is there twice", text);
    links->to[links->n].role = SERVICE_relay;
    memcpy(links->to[links->n++].key, key.b, LINK_KEY);
    return true;
}

bool relays_parse(const char *listen, const char *keys, struct service_link_conf *links,
                  char err[static RELAYS_ERROR_MAX])
{
    char copy[COORD_RELAYS_MAX * PEER_ID_TEXT + 1], *rest = copy, *one;

    *links = (struct service_link_conf){.has_handler = true, .watch = conns_watch};
    if (keys && !listen)
        return refuse(err, "relays on other hosts need a link to come by", keys);
    if (listen && (!addr_parse(listen, &links->listen) || links->listen.port == 0))
        return refuse(err, "link is not IP:PORT", listen);
    if (!keys || !*keys)
        return true;
    if (strlen(keys) >= sizeof copy)
        return refuse(err, "relays are too many", keys);
    memcpy(copy, keys, strlen(keys) + 1);
    while ((one = strsep(&rest, ",")))
        if (!add(one, links, err))
            return false;
    return true;
}

void relays_open(struct service *s, const struct service_link_conf *links,
                 const uint8_t secret[static LINK_KEY])
{
    struct service_link_conf conf = *links;

    if (!links->listen.len)
        return;
    memcpy(conf.secret, secret, sizeof conf.secret);
    crypto_scalarmult_base(conf.key, secret);
    service_links_open(s, &conf);
    sodium_memzero(conf.secret, sizeof conf.secret);
}

void relays_close(void) { service_links_close(); }

void relays_log(const struct coordinator *c)
{
    static bool told[COORD_RELAYS_MAX];
    char at[ADDR_TEXT_MAX];

    for (size_t i = 0; i < COORD_RELAYS_MAX; i++) {
        const struct coordinator_relay *r = &c->relays[i];
        bool drains = r->used && r->draining;
        if (drains && !told[i] && coordinator_has_other_relay(c, r))
            log_info("event=relay_drains relay=%s sessions=%u what=\"they go to others\"",
                     addr_format(&r->addr, at, sizeof at), r->sessions);
        else if (drains && !told[i])
            log_warn("event=relay_drains relay=%s sessions=%u why=\"no other relay has room\" "
                     "what=\"they stay until they end or its time is over\"",
                     addr_format(&r->addr, at, sizeof at), r->sessions);
        told[i] = drains;
    }
}
