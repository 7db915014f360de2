/*
 * test_sim_life.c - sessions that live on in virtual time: fallback and upgrade, peers that move, and many at once that
 * leave nothing behind.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>

enum { SECOND = 1000000 };

static struct world w;

TestSuite(sim_life, .timeout = 300);

/* ---- fallback and upgrade -------------------------------------------------------------------- */

/* Both sides are in this state by then; how many seconds it took. */
static int until_both(const struct sid *session, enum attempt_state state, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        struct attempt *a = world_attempt(&w, 0, session), *b = world_attempt(&w, 1, session);
        if (a->state == state && b->state == state)
            return i;
        world_run(&w, w.now_us + SECOND);
    }
    cr_assert_fail("not %s: %s and %s", attempt_state_name[state],
                   attempt_state_name[world_attempt(&w, 0, session)->state],
                   attempt_state_name[world_attempt(&w, 1, session)->state]);
    return seconds;
}

/* What one side sends now arrives at the other. */
static void check_flow(const struct sid *session)
{
    for (size_t from = 0; from < 2; from++) {
        uint64_t before = w.peers[!from].received;
        world_send(&w, from,
                   (uint32_t)(world_attempt(&w, from, session) - w.peers[from].core.attempts),
                   "hello", 5);
        world_run(&w, w.now_us + SECOND);
        cr_assert_eq(w.peers[!from].received, before + 1);
    }
}

Test(sim_life, a_path_that_dies_goes_on_over_the_relay_and_is_direct_again_later)
{
    struct world_conf c = world_two("ei/random/apd", "ei/random/apd", 60);
    const struct world_result *r = world_pair(&w, &c, POLICY_AUTO);
    struct sid session = r->at.session;

    cr_assert_eq(r->at.state, ATTEMPT_DIRECT);
    w.wall = true;
    until_both(&session, ATTEMPT_RELAYED, 30);
    check_flow(&session);
    world_run(&w, w.now_us + 20 * SECOND);
    cr_assert_geq(w.coordinator.n.upgrades_attempted, 2, "it is tried in vain");
    check_flow(&session);
    w.wall = false;
    until_both(&session, ATTEMPT_DIRECT, 90);
    check_flow(&session);
    cr_assert_eq(world_attempt(&w, 0, &session)->flow, WAY_DIRECT);
    cr_assert_leq(w.coordinator.n.upgrades_succeeded, w.coordinator.n.upgrades_attempted);
    world_close(&w);
}

Test(sim_life, a_peer_that_moves_measures_its_nat_anew_and_its_session_moves_with_it)
{
    static const char *const movers[] = {"ei/random/apd", "open", "ei/preserve/ad"};

    for (size_t i = 0; i < sizeof movers / sizeof *movers; i++)
        for (size_t who = 0; who < 2; who++) {
            struct world_conf c = world_two(who ? "ei/random/apd" : movers[i],
                                            who ? movers[i] : "ei/random/apd", 70 + 2 * i + who);
            const struct world_result *r = world_pair(&w, &c, POLICY_AUTO);
            struct sid session = r->at.session;
            cr_assert_eq(r->at.state, ATTEMPT_DIRECT);
            struct addr was = w.peers[who].core.reflexive;
            world_move_peer(&w, who);
            cr_assert_not(w.peers[who].core.profile_known, "what was known was of another NAT");
            world_run(&w, w.now_us + 15 * SECOND);
            check_flow(&session); /* over the relay, or where the other side now hears it */
            cr_assert(w.peers[who].core.profile_known);
            cr_assert(addr_ip_eq(&w.peers[who].core.reflexive, &w.peers[who].outside[0]));
            cr_assert_not(addr_ip_eq(&w.peers[who].core.reflexive, &was));
            until_both(&session, ATTEMPT_DIRECT, 90);
            check_flow(&session);
            cr_assert(addr_ip_eq(&world_attempt(&w, !who, &session)->way[WAY_DIRECT].remote,
                                 &w.peers[who].outside[0]));
            world_close(&w);
        }
}

Test(sim_life, a_session_that_began_on_the_relay_is_upgraded_when_it_can_be)
{
    struct world_conf c = world_two("ei/preserve/apd", "ei/random/apd", 62);

    world_open(&w, &c);
    w.wall = true;
    world_run(&w, 4 * SECOND);
    size_t n = world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    world_run(&w, w.now_us + 16 * SECOND);
    cr_assert_eq(w.results[n].at.state, ATTEMPT_RELAYED);
    cr_assert_eq(w.results[n].at.verdict, VERDICT_punch_unanswered);
    w.wall = false;
    until_both(&w.results[n].at.session, ATTEMPT_DIRECT, 90);
    cr_assert_eq(world_attempt(&w, 0, &w.results[n].at.session)->verdict,
                 VERDICT_direct_synchronous);
    check_flow(&w.results[n].at.session);
    world_close(&w);
}

Test(sim_life, tries_in_vain_become_rare_and_what_cannot_work_is_not_tried)
{
    struct world_conf c = world_two("ei/preserve/apd", "ei/random/apd", 63);

    world_open(&w, &c);
    w.wall = true;
    world_run(&w, 4 * SECOND);
    world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    world_run(&w, w.now_us + 600 * SECOND);
    /* after 4, 8, 16, 32 and then every 64 s, a quarter more or less */
    cr_assert_geq(w.coordinator.n.upgrades_attempted, 10);
    cr_assert_leq(w.coordinator.n.upgrades_attempted, 16);
    cr_assert_eq(w.coordinator.n.upgrades_succeeded, 0);
    world_close(&w);
    c = world_two("apd/random/apd", "apd/random/apd", 64);
    world_open(&w, &c);
    world_run(&w, 4 * SECOND);
    world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    world_run(&w, w.now_us + 600 * SECOND);
    cr_assert_eq(w.coordinator.n.upgrades_attempted, 0);
    cr_assert_geq(w.peers[0].core.n.upgrades_asked, 10);
    world_close(&w);
}

/* ---- many at once ---------------------------------------------------------------------------- */

/* What is held for sessions anywhere: attempts, sessions that live, relay bindings, sockets past the first ones. */
static size_t held(void)
{
    size_t n = w.relays[0].core.by_sid.n;

    for (size_t p = 0; p < w.conf.n_peers; p++) {
        const struct executor *x = &w.peers[p].core;
        for (size_t i = 0; i < ATTEMPTS_MAX; i++)
            n += x->attempts[i].state != ATTEMPT_FREE;
        n += x->pool_owner != ATTEMPTS_MAX;
        for (size_t i = POOL_FIRST; i < WORLD_SOCKETS; i++)
            n += w.peers[p].sockets[i].port != 0;
    }
    for (uint32_t i = 0; i < w.coordinator.conf.sessions_max; i++)
        n += table_used(&w.coordinator.sessions_by_id, i) &&
             w.coordinator.sessions[i].state != COORD_CLOSED;
    return n;
}

Test(sim_life, a_hundred_attempts_at_once_of_which_fifty_are_cancelled_leave_nothing)
{
    struct world_conf c = world_two("apd/random/apd", "ei/preserve/apd", 70);

    c.n_peers = 3; /* a key has 60 requests a minute */
    c.peers[2] = world_nat("ei/random/apd");
    world_open(&w, &c);
    world_run(&w, 4 * SECOND);
    cr_assert_eq(held(), 0);
    for (size_t i = 0; i < 50; i++)
        for (size_t from = 0; from < 2; from++)
            world_connect(&w, from, 2, POLICY_AUTO, 15 * SECOND);
    for (uint32_t i = 0; i < 50;
         i += 2) /* asked for, ordered, punching, direct: one after the other */
        for (size_t from = 0; from < 2; from++) {
            world_end(&w, from, i, APP_CANCEL);
            world_run(&w, w.now_us + 4000);
        }
    world_run(&w, w.now_us + 16 * SECOND);
    size_t lives = 0;
    for (size_t r = 0; r < w.n_results; r++) {
        cr_assert(w.results[r].settled);
        lives +=
            w.results[r].at.state == ATTEMPT_DIRECT || w.results[r].at.state == ATTEMPT_RELAYED;
    }
    cr_assert_geq(lives, 50);
    cr_assert_gt(held(), 100);
    for (uint32_t i = 1; i < 50; i += 2)
        for (size_t from = 0; from < 2; from++)
            world_end(&w, from, i, APP_CLOSE);
    world_run(&w, w.now_us + 120 * SECOND); /* the relay forgets who is silent after a minute */
    cr_assert_eq(held(), 0);
    cr_assert_eq(w.coordinator.n.punching_now, 0);
    cr_assert_eq(w.coordinator.n.relayed_now, 0);
    world_close(&w);
}

/* A prober of one address can't tell it from a host that lets in everybody. */
Test(sim_life, a_firewall_that_could_not_be_measured_is_one_when_it_was_dialled_in_vain)
{
    struct world_conf c = world_two("none/preserve/apd", "apd/random/apd", 3);

    c.one_address = true;
    world_open(&w, &c);
    world_run(&w, 5 * SECOND);
    const struct world_result *r =
        &w.results[world_connect(&w, 0, 1, POLICY_AUTO, 15 * (int64_t)SECOND)];
    world_run(&w, w.now_us + 15 * (int64_t)SECOND);
    cr_assert_eq(r->at.verdict, VERDICT_punch_unanswered);
    const struct attempt *a = world_attempt(&w, 0, &r->at.session);
    cr_assert_eq(a->state, ATTEMPT_DIRECT, "by the next order");
    cr_assert_eq(a->technique, TECHNIQUE_BIRTHDAY);
    cr_assert_eq(a->own_profile.filtering, NAT_UNKNOWN, "nobody says more than is known");
    world_end(&w, 0, (uint32_t)(a - w.peers[0].core.attempts), APP_CLOSE);
    world_run(&w, w.now_us + 60 * (int64_t)SECOND);
    r = &w.results[world_connect(&w, 0, 1, POLICY_AUTO, 15 * (int64_t)SECOND)];
    world_run(&w, w.now_us + 4 * (int64_t)SECOND);
    cr_assert_eq(r->at.verdict, VERDICT_direct_birthday, "by the first order from then on");
    world_close(&w);
}
