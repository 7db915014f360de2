/*
 * test_why.c - is the reason right?  What peers and the coordinator say of a session, in virtual time,
 * against the cause as the models of the NATs and the world have it.
 *
 * The truth is not computed by lib/strategy.c: it is what the NATs are and what the two executors did.
 * An assertion prints its seed.
 */
#include "services/coordinator/admin_shell.h"
#include "services/natterjack/reach.h"
#include "tests/matrix/matrix.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { SECOND = 1000000, RIGHT_PERCENT = 99, PATIENCE_S = 20 };

static struct world w;

TestSuite(why, .timeout = 300);

/* ---- one session ------------------------------------------------------------------------------------ */

/* What else is the matter, beside the two NATs. */
enum twist {
    NOTHING,
    OWN_UDP_BLOCKED,
    PEER_UDP_BLOCKED,
    ALL_WALLED, /* something between the two drops all that one sends to the other */
    OWN_WALLED, /* all that the initiator sends to others is dropped */
    PEER_WALLED,
    RELAY_ASKED_FOR,
    ONLY_DIRECT_ASKED_FOR,
    PEER_TAKES_NOBODY,
    RELAY_NEVER_UP,
    RELAY_HAS_NO_ROOM,
    PEER_DEAD,
    PEER_LONG_DEAD
};

static void twist_before(enum twist t, struct world_conf *c)
{
    c->peers[0].nat.udp_blocked = t == OWN_UDP_BLOCKED;
    c->peers[1].nat.udp_blocked = t == PEER_UDP_BLOCKED;
}

static void twist_after(enum twist t)
{
    w.wall = t == ALL_WALLED;
    w.walled[w.peers[0].host] = t == OWN_WALLED;
    w.walled[w.peers[1].host] = t == PEER_WALLED;
    if (t == PEER_TAKES_NOBODY)
        w.peers[1].core.conf.accept = ACCEPT_NOBODY;
    if (t == RELAY_NEVER_UP)
        world_crash_relay(&w, 0, (int64_t)3600 * SECOND);
    w.relays[0].core.draining = t == RELAY_HAS_NO_ROOM;
}

static const struct coordinator_session *play_peers(const struct world_peer_conf *a,
                                                    const struct world_peer_conf *b, enum twist t,
                                                    uint64_t seed, struct world_result **r)
{
    struct world_conf c = {
        .seed = seed, .n_peers = 2, .delay_us = 20000, .peers = {*a, *b}
    };
    enum policy policy = t == RELAY_ASKED_FOR         ? POLICY_RELAY
                         : t == ONLY_DIRECT_ASKED_FOR ? POLICY_DIRECT
                                                      : POLICY_AUTO;

    twist_before(t, &c);
    world_open(&w, &c);
    twist_after(t);
    world_run(&w, 5 * SECOND);
    if (t == PEER_DEAD || t == PEER_LONG_DEAD)
        world_crash_peer(&w, 1, (int64_t)3600 * SECOND);
    if (t == PEER_LONG_DEAD) /* until its attachment is over */
        world_run(&w, w.now_us + 100 * SECOND);
    *r = &w.results[world_connect(&w, 0, 1, policy, 15 * SECOND)];
    for (int i = 0; i < PATIENCE_S && !(*r)->settled; i++)
        world_run(&w, w.now_us + SECOND);
    cr_assert((*r)->settled, "seed %lu: not settled", seed);
    world_run(&w, w.now_us + 2 * SECOND); /* until both have reported */
    return coordinator_session(&w.coordinator, &(*r)->at.session);
}

static const struct coordinator_session *play(const char *a, const char *b, enum twist t,
                                              uint64_t seed, struct world_result **r)
{
    struct world_peer_conf peers[2] = {world_nat(a), world_nat(b)};

    return play_peers(&peers[0], &peers[1], t, seed, r);
}

/* ---- the truth ---------------------------------------------------------------------------------------- */

/* Is its port the same for everybody, or its own, which everybody can know? */
static bool fixed(const struct nat_conf *n)
{
    return n->mapping == NAT_EI || n->mapping == NAT_NONE ||
           (n->allocation == ALLOC_PRESERVE && n->overload);
}

static bool is_random(const struct nat_conf *n)
{
    return !fixed(n) && n->allocation == ALLOC_RANDOM;
}

static enum verdict truth(const struct nat_conf *a, const struct nat_conf *b, bool reachable,
                          bool direct)
{
    const struct executor *x = &w.peers[0].core, *y = &w.peers[1].core;
    bool foresaw = x->attempts[0].foreseen.round + y->attempts[0].foreseen.round > 0;
    /* By chance two ports meet only where a random side has opened some. */
    bool chance = (is_random(a) && x->opened > 0) || (is_random(b) && y->opened > 0);

    if (!reachable && is_random(a) && is_random(b))
        return a->block > 0 && b->block > 0 ? VERDICT_blocks_closed : VERDICT_both_random;
    if (!reachable)
        return VERDICT_one_random;
    if (!direct)
        return chance ? VERDICT_birthday_missed : VERDICT_prediction_missed;
    if ((fixed(a) && a->filtering == NAT_EI) || (fixed(b) && b->filtering == NAT_EI))
        return VERDICT_direct_reversal;
    if (fixed(a) && fixed(b))
        return VERDICT_direct_synchronous;
    return chance    ? VERDICT_direct_birthday
           : foresaw ? VERDICT_direct_prediction
                     : VERDICT_direct_send_first;
}

/* ---- what is told ------------------------------------------------------------------------------------- */

static unsigned long long tried(json_t *peer, const char *field)
{
    unsigned long long sum = 0;
    size_t i;
    json_t *t;

    json_array_foreach(
        json_object_get(peer, "tried"), i,
        t) if (strcmp(json_string_value(json_object_get(t, "technique")), "relayed") != 0) sum +=
        (unsigned long long)json_integer_value(json_object_get(t, field));
    return sum;
}

/* The verdict's sentence, or one that says which of the two routers it is; and then it is that one. */
static bool names_it(const struct coordinator_session *s, const bool draws[2], const char *cause)
{
    char router[NAME_MAX_BYTES + 32];

    snprintf(router, sizeof router, "the router of %s draws", s->side[draws[1]].name);
    if (strcmp(cause, verdict_cause(s->verdict)) == 0)
        return true;
    if (s->verdict == VERDICT_one_random || s->verdict == VERDICT_birthday_missed)
        return draws[0] != draws[1] && strncmp(cause, router, strlen(router)) == 0;
    return s->verdict == VERDICT_both_random || s->verdict == VERDICT_prediction_missed;
}

/* One cause, one remedy, both profiles, and what each side sent and saw. */
static bool tells_all(const struct coordinator_session *s, const struct nat_conf *a,
                      const struct nat_conf *b, bool direct)
{
    json_t *o = coordinator_explain_json(&w.coordinator, s, w.now_us);
    const char *cause = json_string_value(json_object_get(o, "cause"));
    bool ok = cause && names_it(s, (bool[2]){is_random(a), is_random(b)}, cause);
    bool sent = s->plan.v[0].technique != TECHNIQUE_RELAYED;

    ok = ok && json_is_string(json_object_get(o, "remedy"));
    for (size_t i = 0; ok && i < 2; i++) {
        json_t *peer = json_array_get(json_object_get(o, "peers"), i);
        ok = json_is_object(json_object_get(peer, "profile")) && (tried(peer, "sent") > 0) == sent;
        ok = ok && (!direct || tried(peer, "received") > 0);
    }
    json_decref(o);
    return ok;
}

static const char *name(const struct coordinator_session *s)
{
    return s ? verdict_name(s->verdict) : "no session";
}

Test(why, is_right_of_every_class_against_every_other)
{
    static struct matrix m;
    unsigned right = 0;

    cr_assert(matrix_read_tiers(&m, "tests/matrix/class_pairs.csv", true));
    for (size_t i = 0; i < MATRIX_CELLS; i++) {
        const struct matrix_cell *c = &m.cell[i];
        struct matrix_class a = matrix_class(c->from), b = matrix_class(c->to);
        struct world_result *r;
        const struct coordinator_session *s = play(a.text, b.text, NOTHING, 1 + i, &r);
        bool direct = r->at.path == PATH_DIRECT;
        enum verdict is =
            truth(&w.nats[0]->conf, &w.nats[1]->conf, matrix_reachable(c->tier), direct);
        bool ok = s && r->at.verdict == is && s->verdict == is &&
                  tells_all(s, &w.nats[0]->conf, &w.nats[1]->conf, direct);
        right += ok;
        if (!ok)
            printf("seed %zu: %s to %s: it is %s, the peer says %s, the coordinator %s\n", 1 + i,
                   a.text, b.text, verdict_name(is), verdict_name((enum verdict)r->at.verdict),
                   name(s));
        world_close(&w);
    }
    printf("right of %u of %u pairs\n", right, MATRIX_CELLS);
    cr_assert_geq(right * 100, MATRIX_CELLS * RIGHT_PERCENT);
}

Test(why, is_right_of_what_else_can_be_the_matter)
{
    static const struct {
        const char *a, *b;
        enum twist twist;
        enum verdict own, session;
    } cases[] = {
#define V(name) VERDICT_##name
        {"ei/preserve/apd",   "ei/preserve/apd",   OWN_UDP_BLOCKED,       V(udp_blocked),        V(udp_blocked)    },
        {"ei/preserve/apd",   "ei/preserve/apd",   PEER_UDP_BLOCKED,      V(peer_udp_blocked),
                                      V(peer_udp_blocked)                                                                                       },
        {"ei/preserve/apd",   "ei/preserve/apd",   ALL_WALLED,            V(punch_unanswered),
                                      V(punch_unanswered)                                                                                       },
        {"ei/preserve/ei",    "ei/preserve/apd",   OWN_WALLED,            V(one_way),            V(one_way)        },
        {"ei/preserve/apd",   "ei/preserve/ei",    PEER_WALLED,           V(one_way),            V(one_way)        },
        {"ei/preserve/ei",    "ei/preserve/apd",   RELAY_ASKED_FOR,       V(relay_policy),       V(relay_policy)   },
        {"apd/random/apd",    "apd/random/apd",    ONLY_DIRECT_ASKED_FOR, V(both_random),        V(both_random)    },
        {"ei/preserve/apd",   "ei/preserve/apd",   PEER_TAKES_NOBODY,     V(not_accepted),       V(not_accepted)   },
        {"apd/random/apd",    "apd/random/apd",    RELAY_NEVER_UP,        V(no_relay),           V(no_relay)       },
        {"apd/random/apd",    "apd/random/apd",    RELAY_HAS_NO_ROOM,     V(relay_full),         V(relay_full)     },
        {"ei/preserve/apd",   "ei/preserve/apd",   PEER_DEAD,             V(peer_silent),        V(peer_silent)    },
        {"ei/preserve/apd",   "ei/preserve/apd",   PEER_LONG_DEAD,        V(peer_away),          V(peer_away)      },
        {"none/preserve/ei",  "apd/random/apd",    NOTHING,               V(direct_reversal),    V(direct_reversal)},
        {"none/preserve/apd", "none/preserve/apd", NOTHING,               V(direct_synchronous),
                                      V(direct_synchronous)                                                                                     },
        {"none/preserve/apd", "apd/random/apd",    NOTHING,               V(direct_birthday),    V(direct_birthday)},
        {"open",              "apd/random/apd",    NOTHING,               V(direct_reversal),    V(direct_reversal)},
#undef V
    };
    size_t n = sizeof cases / sizeof *cases, right = 0;

    for (size_t i = 0; i < n; i++) {
        struct world_result *r;
        const struct coordinator_session *s =
            play(cases[i].a, cases[i].b, cases[i].twist, 5000 + i, &r);
        bool ok = r->at.verdict == cases[i].own && s && s->verdict == cases[i].session;
        right += ok;
        if (!ok)
            printf("case %zu: it is %s and %s, the peer says %s, the coordinator %s\n", i,
                   verdict_name(cases[i].own), verdict_name(cases[i].session),
                   verdict_name((enum verdict)r->at.verdict), name(s));
        world_close(&w);
    }
    printf("right of %zu of %zu\n", right, n);
    cr_assert_eq(right, n);
}

/* ---- carriers ----------------------------------------------------------------------------------------- */

/* A household, "" for a host on the carrier's LAN, and the carrier's NAT around it. */
static const struct carried {
    const char *household, *carrier;
    size_t pool;
    bool arbitrary;
    uint16_t block;
} carried[] = {
    {"",                  "ei/preserve/ei",     1, false, 0   },
    {"",                  "apd/random/apd",     1, false, 512 },
    {"",                  "ei/random/apd",      3, false, 1024},
    {"ei/preserve/apd",   "ei/random/ad",       2, false, 512 },
    {"ei/preserve/apd",   "apd/random/apd",     4, false, 256 },
    {"apd/preserve/apd",  "apd/contiguous/apd", 1, false, 1024},
    {"apd/preserve/apd",  "apd/preserve/ad",    2, false, 0   },
    {"apd/random/apd",    "ei/preserve/ei",     1, false, 0   },
    {"apd/random/ei",     "ei/contiguous/apd",  1, false, 512 },
    {"apd/contiguous/ad", "ei/random/ei",       2, false, 2048},
    {"ei/random/apd",     "ei/random/apd",      3, true,  0   },
    {"ei/preserve/apd",   "apd/preserve/apd",   2, true,  0   },
    {"ei/preserve/apd",   "apd/preserve/apd",   4, true,  0   },
    {"",                  "apd/random/apd",     2, true,  0   },
    {"",                  "apd/random/ad",      4, true,  0   },
};
enum { CARRIED = sizeof carried / sizeof *carried };

static const char *const others[] = {
    "open",           "ei/preserve/ei", "ei/preserve/ad",     "ei/preserve/apd",  "ei/random/apd",
    "apd/random/apd", "apd/random/ei",  "apd/contiguous/apd", "ad/contiguous/ad", "ad/random/apd",
};
enum { OTHERS = sizeof others / sizeof *others };

static struct world_peer_conf behind(const struct carried *k)
{
    struct world_peer_conf c = {0}, outer = world_nat(k->carrier);

    if (k->household[0] != '\0')
        c = world_nat(k->household);
    c.carrier = outer.nat;
    c.has_carrier = true;
    c.carrier.n_external = k->pool;
    c.carrier.pooling = k->arbitrary ? NAT_POOLING_ARBITRARY : NAT_POOLING_PAIRED;
    c.carrier.block = k->block;
    return c;
}

/* Two NATs, one in the other, are as one that has the stricter rules of both, and the outer one's ports if those move. */
static struct nat_conf together(const struct world_peer_conf *c)
{
    struct nat_conf n = c->has_carrier ? c->carrier : c->nat;

    if (!c->has_carrier && !c->has_nat)
        return (struct nat_conf){.mapping = NAT_NONE, .filtering = NAT_EI};
    if (!c->has_carrier || !c->has_nat)
        return n;
    bool stays = fixed(&c->nat) && fixed(&c->carrier);
    if (c->nat.filtering > n.filtering)
        n.filtering = c->nat.filtering;
    if (n.allocation == ALLOC_PRESERVE)
        n.allocation = c->nat.allocation;
    n.mapping = stays                        ? NAT_EI
                : fixed(&c->nat)             ? c->carrier.mapping
                : fixed(&c->carrier)         ? c->nat.mapping
                : c->nat.mapping > n.mapping ? c->nat.mapping
                                             : n.mapping;
    return n;
}

static unsigned class_of(const struct nat_conf *n)
{
    for (unsigned i = 0; i < MATRIX_CLASSES; i++) {
        struct matrix_class c = matrix_class(i);
        enum behaviour mapping = fixed(n) ? NAT_EI : n->mapping;
        if (c.mapping == mapping && c.allocation == n->allocation && c.filtering == n->filtering)
            return i;
    }
    cr_assert_fail("no class");
    return MATRIX_CLASSES;
}

/* Its ports may be known, but not by which address it will send. */
static bool changes_ip(const struct world_peer_conf *c)
{
    return c->has_carrier && c->carrier.pooling == NAT_POOLING_ARBITRARY &&
           !(c->carrier.mapping == NAT_EI && (!c->has_nat || fixed(&c->nat)));
}

static bool right_of(const struct matrix *m, const struct world_peer_conf *a,
                     const struct world_peer_conf *b, uint64_t seed)
{
    struct world_result *r;
    const struct coordinator_session *s = play_peers(a, b, NOTHING, seed, &r);
    struct nat_conf na = together(a), nb = together(b);
    bool open = na.mapping == NAT_NONE || nb.mapping == NAT_NONE;
    bool direct = r->at.path == PATH_DIRECT;
    bool reachable =
        open || matrix_reachable(m->cell[class_of(&na) * MATRIX_CLASSES + class_of(&nb)].tier);
    enum verdict is = truth(&na, &nb, reachable, direct);
    if (reachable && !direct && (changes_ip(a) || changes_ip(b)))
        is = VERDICT_pool_missed;
    bool ok = s && r->at.verdict == is && s->verdict == is && tells_all(s, &na, &nb, direct);
    if (!ok)
        printf("seed %lu: it is %s, the peer says %s, the coordinator %s (%s)\n", seed,
               verdict_name(is), verdict_name((enum verdict)r->at.verdict), name(s),
               path_name[r->at.path]);
    world_close(&w);
    return ok;
}

Test(why, is_right_of_carriers_with_routers_pools_and_blocks)
{
    static struct matrix m;
    unsigned right = 0, n = 0;

    cr_assert(matrix_read_tiers(&m, "tests/matrix/class_pairs.csv", true));
    for (size_t i = 0; i < CARRIED; i++)
        for (size_t j = 0; j <= OTHERS + i; j++, n += 2) {
            struct world_peer_conf a = behind(&carried[i]);
            struct world_peer_conf b =
                j < OTHERS ? world_nat(others[j]) : behind(&carried[j - OTHERS]);
            right += right_of(&m, &a, &b, 7000 + 2 * (i * 100 + j));
            right += right_of(&m, &b, &a, 7001 + 2 * (i * 100 + j));
        }
    printf("right of %u of %u with carriers\n", right, n);
    cr_assert_geq(right * 100, n * RIGHT_PERCENT);
}

/* ---- what a host is told beforehand --------------------------------------------------------------------- */

Test(why, netcheck_counts_the_classes_that_theory_opens_and_says_what_would_make_it_more)
{
    static struct matrix m;

    cr_assert(matrix_read_tiers(&m, "tests/matrix/class_pairs.csv", true));
    for (unsigned i = 0; i < MATRIX_CLASSES; i++) {
        struct matrix_class c = matrix_class(i);
        bool same = c.allocation == ALLOC_PRESERVE; /* and shared: it looks ei */
        struct profile p = {.mapping = same ? NAT_EI : (uint8_t)c.mapping,
                            .allocation = (uint8_t)c.allocation,
                            .filtering = (uint8_t)c.filtering};
        unsigned open = 0;
        struct reach r = reach_of(&p, true);
        for (unsigned j = 0; j < MATRIX_CLASSES; j++) {
            char name[REACH_CLASS_TEXT];
            bool reachable = matrix_reachable(m.cell[i * MATRIX_CLASSES + j].tier);
            open += reachable;
            cr_assert_str_eq(reach_class(j, name), matrix_class(j).text);
            cr_assert_eq(r.classes >> j & 1, reachable, "%s to %s", c.text, name);
        }
        cr_assert_eq(r.direct, open, "%s: %u, not %u", c.text, r.direct, open);
        cr_assert_eq(r.improved, REACH_CLASSES, "%s: with a port mapping", c.text);
        cr_assert_eq(r.how != NULL, open < REACH_CLASSES);
    }
    struct profile firewalled = {
        .mapping = NAT_NONE, .filtering = NAT_APD, .allocation = ALLOC_PRESERVE};
    struct reach r = reach_of(&firewalled, true);
    cr_assert_null(r.how, "a firewall that lets answers in is no obstacle: %u", r.direct);
    cr_assert_eq(reach_of(&firewalled, false).direct, 5,
                 "without a proven address it can only call");
}
