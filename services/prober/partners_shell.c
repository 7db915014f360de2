/* partners_shell.c - see partners_shell.h. */
#include "services/prober/partners_shell.h"
#include "lib/log.h"

#include <sodium.h>

_Static_assert((int)PARTNERS_MAX <= (int)LINKS_MAX, "a link for each");

enum { KEY_HEX = 2 * LINK_KEY, PARTNER_TEXT = KEY_HEX + 1 + ADDR_TEXT_MAX };

_Noreturn static void bad(const char *text, const char *why)
{
    die("event=bad_flag flag=partners why=\"%s\" text=%s", why, text);
}

static void add(const char *text, struct service_link_conf *links, struct prober_conf *conf)
{
    const char *end;
    size_t len;

    if (conf->n_partners == PARTNERS_MAX)
        bad(text, "too many");
    struct service_link *to = &links->to[links->n++];
    uint8_t *key = conf->partners[conf->n_partners++];
    to->role = SERVICE_prober;
    if (sodium_hex2bin(key, LINK_KEY, text, strnlen(text, KEY_HEX), NULL, &len, &end) != 0 ||
        len != LINK_KEY || *end != '@')
        bad(text, "not KEY@IP:PORT with 64 hex digits of a prober's public key");
    if (crypto_sign_ed25519_pk_to_curve25519(to->key, key) != 0)
        bad(text, "not a public key");
    if (!addr_parse(end + 1, &to->addr) || to->addr.port == 0)
        bad(text, "not KEY@IP:PORT with an address and a port");
    for (uint8_t i = 0; i + 1 < links->n; i++)
        if (memcmp(links->to[i].key, to->key, LINK_KEY) == 0)
            bad(text, "the same key twice");
}

void partners_parse(const char *listen, const char *list, struct service_link_conf *links,
                    struct prober_conf *conf)
{
    char copy[PARTNERS_MAX * (PARTNER_TEXT + 1)], *rest = copy, *one;

    if (!listen != !list)
        die("event=bad_flag flag=link why=\"link and partners need each other\"");
    if (!list)
        return;
    if (sodium_init() < 0)
        die("event=no_libsodium");
    if (!addr_parse(listen, &links->listen) || links->listen.port == 0)
        die("event=bad_flag flag=link why=\"not IP:PORT\" text=%s", listen);
    if (strlen(list) >= sizeof copy)
        bad(list, "too long");
    memcpy(copy, list, strlen(list) + 1);
    while ((one = strsep(&rest, ",")))
        add(one, links, conf);
}

void partners_open(struct service *s, struct service_link_conf *links,
                   const struct prober_conf *conf)
{
    if (conf->n_partners == 0)
        return;
    for (uint8_t i = 0; i < conf->n_partners; i++)
        if (memcmp(conf->partners[i], conf->info.key, LINK_KEY) == 0)
            die("event=bad_flag flag=partners why=\"one of them is this prober's own key\"");
    if (crypto_sign_ed25519_sk_to_curve25519(links->secret, conf->secret) != 0 ||
        crypto_sign_ed25519_pk_to_curve25519(links->key, conf->info.key) != 0)
        die("event=no_key why=\"no CURVE key can be made from the prober's\"");
    service_links_open(s, links);
    sodium_memzero(links->secret, sizeof links->secret);
}

void partners_close(const struct prober_conf *conf)
{
    if (conf->n_partners > 0)
        service_links_close();
}

void partners_log(const struct prober *p)
{
    static uint8_t told;
    char text[ADDR_TEXT_MAX];

    if (p->lender == told)
        return;
    told = p->lender;
    if (p->lender != 0)
        log_info("event=borrows addr=%s",
                 addr_format(&p->info.addrs[p->conf.info.n_addrs], text, sizeof text));
    else
        log_warn("event=borrows addr=- why=\"no partner is heard that hears this prober\" "
                 "what=\"two sockets serve, without OTHER-ADDRESS and CHANGE-REQUEST\"");
}

json_t *partners_state(const struct prober *p)
{
    json_t *all = json_array();
    char text[ADDR_TEXT_MAX], key[KEY_HEX + 1];

    for (uint8_t i = 0; i < p->conf.n_partners; i++) {
        const struct prober_partner *o = &p->partners[i];
        sodium_bin2hex(key, sizeof key, p->conf.partners[i], LINK_KEY);
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:b, s:b}", "key", key, "addr",
                                        addr_format(&o->info.addrs[0], text, sizeof text),
                                        "hears_us", o->hears_us, "borrowed", p->lender == i + 1));
    }
    return all;
}
