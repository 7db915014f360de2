/* peer.c - see peer.h. */
#include "services/natterjack/peer.h"
#include "lib/cage.h"
#include "lib/config.h"
#include "lib/keys.h"
#include "lib/log.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_join(const char *arg, struct join *out)
{
    char text[JOIN_PASTE_MAX + 1], err[JOIN_ERROR_MAX];
    const char *file = NULL;

    if (!arg)
        arg = getenv("NATTERJACK_JOIN");
    if (!arg) {
        file = getenv("NATTERJACK_JOIN_FILE");
        if (!file)
            return usage_error("--join is required (or $NATTERJACK_JOIN or $NATTERJACK_JOIN_FILE)");
        if (!config_is_private(file))
            return usage_error("%s must be a file that only its owner may read (mode 0600)", file);
    } else if (arg[0] == '@') {
        file = arg + 1;
    }
    if (file) {
        FILE *f = fopen(file, "re");
        if (!f)
            return usage_error("cannot read %s: %s", file, strerror(errno));
        size_t n = fread(text, 1, JOIN_PASTE_MAX, f);
        fclose(f);
        text[n] = '\0';
        arg = text;
    }
    if (!join_parse(arg, out, err))
        return usage_error("the join string %s", err);
    return EXIT_OK;
}

int peer_conf(const struct peer_flags *f, struct agent_conf *conf)
{
    log_init("executor");
    if (!f->verbose)
        log_set_level("warn");
    if (sodium_init() < 0)
        return failure("libsodium does not start");
    int status = read_join(f->join, &conf->join);
    if (status != EXIT_OK)
        return status;
    conf->name = f->name ? f->name : "";
    if (f->name && !name_valid(f->name))
        return usage_error("\"%s\" is no name: 1 to 63 of a-z 0-9 . _ -", f->name);
    cage_peer_secrets();
    if (f->key) {
        if (!key_create_x25519(f->key, conf->secret, conf->id.b))
            return usage_error("cannot use the key file %s: %s", f->key, key_problem(errno));
    } else {
        randombytes_buf(conf->secret, sizeof conf->secret);
        crypto_scalarmult_base(conf->id.b, conf->secret);
    }
    return EXIT_OK;
}

int peer_timeout(int64_t timeout_us)
{
    return timeout_us > 0 ? EXIT_OK : usage_error("--timeout takes more than 0 seconds");
}

int blocks_conf(const struct blocks_flags *f, struct agent_conf *conf)
{
    uint32_t most = f->lifted ? BLOCKS_LIFTED_MAX : BLOCKS_MAX;

    if (f->percent > most)
        return usage_error("--blocks takes up to %u percent, not %u", most, f->percent);
    conf->blocks = (uint8_t)f->percent;
    return EXIT_OK;
}

int reflex_conf(const struct reflex_flags *f, struct agent_conf *conf)
{
    if (f->port > UINT16_MAX)
        return usage_error("--port takes a port, not %u", f->port);
    conf->port = (uint16_t)f->port;
    if (f->override && (!addr_parse(f->override, &conf->override) || conf->override.port == 0))
        return usage_error("--reflex-override takes ADDR:PORT, not \"%s\"", f->override);
    return EXIT_OK;
}

json_t *json_reflex(const struct executor *x)
{
    return json_pack("{s:o, s:s, s:s?}", "override", json_addr(&x->override.claimed), "state",
                     override_state_name[x->override.state], "why", x->override.why);
}

int peer_mode(const char *text, struct agent_conf *conf, uint16_t *mode)
{
    for (uint16_t i = 0; i < MODE_COUNT; i++)
        if (strcmp(text, mode_name[i]) == 0) {
            *mode = i;
            conf->modes = (uint16_t)(1u << i);
            return EXIT_OK;
        }
    return usage_error("--mode takes managed or raw, not \"%s\"", text);
}

void print_line(json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    fputc('\n', stdout);
    fflush(stdout);
    json_decref(line);
}

json_t *json_ms(int64_t at_us, int64_t since_us)
{
    if (at_us <= 0)
        return json_null();
    return json_real((double)(at_us - since_us) / 1000.0);
}

json_t *json_addr(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    return a->len ? json_string(addr_format(a, text, sizeof text)) : json_null();
}

json_t *json_profile(const struct profile *p)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:i, s:s, s:s, s:s, s:s}", "mapping",
                     behaviour_name[p->mapping], "allocation", allocation_name[p->allocation],
                     "delta", p->delta, "port_lo", p->port_lo, "port_hi", p->port_hi, "block_lo",
                     p->block_lo, "block_hi", p->block_hi, "filtering",
                     behaviour_name[p->filtering], "confidence", p->confidence, "display",
                     profile_display(p), "hairpin", hairpin_name[p->hairpin], "clash",
                     clash_name[p->clash], "pool", pool_name[p->pool]);
}

/* The technique that counts in reports: the name, or NULL unless the path is direct or half. */
static const char *attempt_technique(const struct attempt *a)
{
    return executor_path(a) >= PATH_HALF ? technique_name[a->technique] : NULL;
}

json_t *json_attempt(const struct attempt *a)
{
    static const struct sid none;
    char sid[SID_TEXT], peer[PEER_ID_TEXT];
    struct addr remote = executor_remote(a);
    bool known = !sid_eq(&a->session, &none);

    return json_pack("{s:s?, s:s?, s:s?, s:s, s:s?, s:o, s:s?, s:s, s:s}", "session",
                     known ? sid_format(&a->session, sid) : NULL, "peer",
                     peer_id_none(&a->peer) ? NULL : peer_id_format(&a->peer, peer), "name",
                     a->peer_name[0] ? a->peer_name : NULL, "path", path_name[executor_path(a)],
                     "technique", attempt_technique(a), "remote", json_addr(&remote), "kind",
                     a->kind[0] ? a->kind : NULL, "verdict", verdict_name(a->verdict), "remedy",
                     verdict_remedy(a->verdict));
}

/* (A pipe with room takes PIPE_BUF bytes, and a line is shorter.) */
bool may_say(bool json)
{
    static unsigned lost; /* lines */
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};

    if (poll(&p, 1, 0) == 0) {
        lost++;
        return false;
    }
    if (lost == 0)
        return true;
    if (json)
        print_line(json_pack("{s:s, s:I}", "event", "lost", "lines", (json_int_t)lost));
    else
        printf("%u lines were left out, since nobody read\n", lost);
    fflush(stdout);
    lost = 0;
    return may_say(json);
}

void say_session(bool json, const struct attempt *a, const char *event)
{
    if (!may_say(json))
        return;
    json_t *line = json_attempt(a);

    if (json) {
        json_object_set_new(line, "event", json_string(event));
        print_line(line);
        return;
    }
    printf("%s %s with %s: %s (%s)\n", event, json_string_value(json_object_get(line, "session")),
           a->peer_name[0] ? a->peer_name : "a peer", path_name[executor_path(a)],
           verdict_cause(a->verdict));
    fflush(stdout);
    json_decref(line);
}
