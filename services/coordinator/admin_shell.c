/* admin_shell.c - see admin_shell.h. */
#include "services/coordinator/admin_shell.h"
#include "lib/service_link.h"

#include "services/coordinator/check_shell.h"
#include "services/coordinator/conns_shell.h"
#include "services/coordinator/front_shell.h"
#include "services/coordinator/store_shell.h"

static struct {
    struct service *svc; /* NULL when no admin socket is open */
    int64_t began_us;
} admin;

static json_t *count(uint64_t n) { return json_integer((json_int_t)n); }

static json_t *failure(const char *why) { return json_pack("{s:s}", "error", why); }

/* ---- what the suite is ------------------------------------------------------------------------------ */

static unsigned live_relays(const struct coordinator *c, int64_t now_us)
{
    unsigned n = 0;

    for (size_t i = 0; i < COORD_RELAYS_MAX; i++)
        n += c->relays[i].used && now_us - c->relays[i].seen_us <= COORD_HELLO_TTL_MS * 1000LL;
    return n;
}

static unsigned live_probers(const struct coordinator *c, int64_t now_us)
{
    unsigned n = 0;

    for (size_t i = 0; i < c->probers.n; i++)
        n += now_us - c->prober_seen_us[i] <= COORD_HELLO_TTL_MS * 1000LL;
    return n;
}

static json_t *counters(const struct coordinator *c)
{
    json_t *o = json_object();

#define X(name) json_object_set_new(o, #name, count(c->n.name));
    COORDINATOR_COUNTERS(X)
#undef X
    return o;
}

static json_t *health(const struct coordinator *c, int64_t now_us)
{
    unsigned probers = live_probers(c, now_us), relays = live_relays(c, now_us);

    return json_pack("{s:b, s:i, s:i}", "ok", probers > 0 && relays > 0, "probers", (int)probers,
                     "relays", (int)relays);
}

static json_t *front_json(void)
{
    const struct front_counters *n = front_counters();
    const struct conns_counters *o = conns_counters();

    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "open_now",
        count(o->now), "over_connections", count(o->refused_all), "over_connections_per_ip",
        count(o->refused_ip), "connections", count(n->connections), "evicted", count(n->evicted),
        "refused_keys", count(n->refused_keys), "checks", count(check_passed()), "taken",
        count(n->taken), "malformed", count(n->malformed), "vanished", count(n->vanished), "full",
        count(n->full), "foreign_ids", count(n->foreign_ids), "chasers", count(n->chasers));
}

static json_t *state(const struct coordinator *c, int64_t now_us)
{
    uint16_t front, enrol;

    front_ports(&front, &enrol);
    return json_pack(
        "{s:s, s:o, s:i, s:i, s:I, s:I, s:I, s:I, s:i, s:i, s:o, s:o, s:o, s:o}", "service",
        "coordinator", "epoch", count(c->conf.epoch), "front_port", (int)front, "enrol_port",
        (int)enrol, "peers", (json_int_t)c->peers_by_id.n, "peers_max",
        (json_int_t)c->conf.peers_max, "sessions", (json_int_t)(c->sessions_by_id.n - c->n_closed),
        "sessions_max", (json_int_t)c->conf.sessions_max, "probers", (int)live_probers(c, now_us),
        "relays", (int)live_relays(c, now_us), "counters", counters(c), "front", front_json(),
        "links_refused", count(service_links_refused()), "shell", admin_counters(&admin.svc->n));
}

static json_t *stats(const struct coordinator *c)
{
    json_t *o = counters(c);

    json_t *kinds = json_object();
    for (size_t i = 0; i < KIND_COUNT; i++)
        json_object_set_new(kinds, kind_name[i], count(c->kinds[i]));
    json_object_set_new(o, "kinds", kinds);
    json_object_set_new(o, "uptime_s",
                        count((uint64_t)(service_now_us() - admin.began_us) / 1000000));
    return o;
}

/* All that share the store. */
static json_t *coordinators(const struct coordinator *c)
{
    uint16_t front, enrol;

    front_ports(&front, &enrol);
    return json_pack("[{s:o, s:b, s:b, s:i, s:i, s:o, s:I, s:o}]", "epoch", count(c->conf.epoch),
                     "alive", 1, "draining", c->draining, "front_port", (int)front, "enrol_port",
                     (int)enrol, "attached", count(c->n.attached_now), "sessions",
                     (json_int_t)(c->sessions_by_id.n - c->n_closed), "uptime_s",
                     count((uint64_t)(service_now_us() - admin.began_us) / 1000000));
}

static json_t *relays(const struct coordinator *c, int64_t now_us)
{
    json_t *list = json_array();
    char key[PEER_ID_TEXT], addr[ADDR_TEXT_MAX];

    for (size_t i = 0; i < COORD_RELAYS_MAX; i++) {
        const struct coordinator_relay *r = &c->relays[i];
        int64_t seen_ms = (now_us - r->seen_us) / 1000;
        if (!r->used)
            continue;
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:b, s:I, s:I, s:I}", "addr",
                                              addr_format(&r->addr, addr, sizeof addr), "key",
                                              peer_id_format(&r->key, key), "alive",
                                              seen_ms <= COORD_HELLO_TTL_MS, "draining",
                                              r->draining, "sessions", (json_int_t)r->sessions,
                                              "sessions_max", (json_int_t)r->sessions_max,
                                              "seen_ms_ago", (json_int_t)seen_ms));
    }
    return list;
}

/* ---- peers ---------------------------------------------------------------------------------------------- */

static json_t *peer_json(const struct coordinator_peer *p, int64_t now_us)
{
    char id[PEER_ID_TEXT];
    unsigned fresh = 0;

    for (size_t i = 0; i < p->n_tokens; i++)
        fresh += now_us - p->tokens[i].born_us <= TOKEN_TTL_MS * 1000LL;
    return json_pack("{s:s?, s:s, s:b, s:s, s:o, s:i, s:i, s:I}", "name",
                     p->name[0] ? p->name : NULL, "peer", peer_id_format(&p->id, id), "attached",
                     p->attached, "nat", p->has_profile ? profile_display(&p->profile) : "unknown",
                     "reflexive", coordinator_addr_json(&p->reflexive), "tokens", (int)fresh,
                     "sessions", (int)p->n_sessions, "expires_ms",
                     (json_int_t)(p->attached ? (p->expires_us - now_us) / 1000 : 0));
}

static json_t *peers(const struct coordinator *c, int64_t now_us)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < c->conf.peers_max; i++)
        if (table_used(&c->peers_by_id, i))
            json_array_append_new(list, peer_json(&c->peers[i], now_us));
    return list;
}

static json_t *peer(const struct coordinator *c, const char *argument, int64_t now_us)
{
    struct peer_id id;
    const struct coordinator_peer *p =
        peer_id_parse(argument, &id) ? coordinator_peer(c, &id) : coordinator_named(c, argument);

    if (!p)
        return failure("no such peer is attached here");
    json_t *o = peer_json(p, now_us);
    json_object_set_new(o, "accept", json_string(accept_name[p->accept]));
    json_object_set_new(o, "profile",
                        p->has_profile ? coordinator_profile_json(&p->profile) : json_null());
    json_object_set_new(o, "rtt_ms", p->rtt_us ? json_integer(p->rtt_us / 1000) : json_null());
    return o;
}

/* Its owner is gone, and whoever attaches with it next shall have it. */
static json_t *release(const struct coordinator *c, const char *name)
{
    if (!name_valid(name))
        return failure("that is no name");
    if (coordinator_named(c, name))
        return failure("its owner is attached and would claim it again: stop that peer first");
    switch (store_shell_release(name)) {
    case STORE_OK: return json_pack("{s:s}", "released", name);
    case STORE_NOT_FOUND: return failure("nobody has claimed this name");
    default: return failure("the store is away");
    }
}

/* ---- sessions ------------------------------------------------------------------------------------------- */

static bool pending(const struct coordinator_session *s) { return s->state < COORD_DIRECT; }

static json_t *sessions(const struct coordinator *c, bool only_pending, int64_t now_us)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < c->conf.sessions_max; i++)
        if (table_used(&c->sessions_by_id, i) && (!only_pending || pending(&c->sessions[i])))
            json_array_append_new(list, coordinator_session_json(c, &c->sessions[i], now_us));
    return list;
}

static json_t *about_session(const struct coordinator *c, const char *verb, const char *argument,
                             int64_t now_us)
{
    struct sid id;
    const struct coordinator_session *s =
        sid_parse(argument, &id) ? coordinator_session(c, &id) : NULL;

    if (!s)
        return failure("no such session is known here");
    if (strcmp(verb, "cancel") == 0)
        return coordinator_operator_cancel(s);
    return strcmp(verb, "session") == 0 ? coordinator_session_json(c, s, now_us)
                                        : coordinator_explain_json(c, s, now_us);
}

static json_t *answer(void *arg, const char *verb, const char *argument)
{
    const struct coordinator *c = arg;
    int64_t now_us = service_now_us();

    if (strcmp(verb, "health") == 0)
        return health(c, now_us);
    if (strcmp(verb, "state") == 0)
        return state(c, now_us);
    if (strcmp(verb, "stats") == 0)
        return stats(c);
    if (strcmp(verb, "coordinators") == 0)
        return coordinators(c);
    if (strcmp(verb, "relays") == 0)
        return relays(c, now_us);
    if (strcmp(verb, "peers") == 0)
        return peers(c, now_us);
    if (strcmp(verb, "peer") == 0)
        return peer(c, argument, now_us);
    if (strcmp(verb, "release") == 0)
        return release(c, argument);
    if (strcmp(verb, "coordinate") == 0)
        return coordinator_operator_coordinate(c, argument);
    if (strcmp(verb, "sessions") == 0)
        return sessions(c, strcmp(argument, "pending") == 0, now_us);
    if (strcmp(verb, "session") == 0 || strcmp(verb, "explain") == 0 || strcmp(verb, "cancel") == 0)
        return about_session(c, verb, argument, now_us);
    return NULL;
}

void coordinator_admin_open(struct service *svc, const char *path, const struct coordinator *core)
{
    admin.svc = svc;
    admin.began_us = service_now_us();
    coordinator_operator_open(svc);
    admin_open(svc, path, answer, (void *)(uintptr_t)core);
}

void coordinator_admin_close(void)
{
    if (!admin.svc)
        return;
    admin_close();
    coordinator_operator_close();
    admin.svc = NULL;
}
