/*
 * test_half.c - one direction opens and the other does not: what goes there goes directly, the rest over the relay, in
 * virtual time and with real programs.
 */
#include "tests/lib/ground.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <string.h>

enum { SECOND = 1000000 };

static struct world w;
static struct world_result *r;

static void teardown(void) { world_close(&w); }

TestSuite(half, .fini = teardown, .timeout = 60);

/* Peer 0 calls peer 1; what peer `mute` sends to others is dropped, and the other one can be reached by nobody but it,
 * or by anybody. */
static void meet(size_t mute, const char *a, const char *b, uint64_t seed)
{
    struct world_conf c = world_two(a, b, seed);

    world_open(&w, &c);
    w.walled[w.peers[mute].host] = true;
    world_run(&w, 5 * SECOND);
    r = &w.results[world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND)];
    world_run(&w, w.now_us + 8 * SECOND);
    cr_assert(r->settled);
}

static struct attempt *side(size_t i)
{
    return i == 0 ? &w.peers[0].core.attempts[0] : (struct attempt *)world_other_side(&w, r);
}

static void expect_paths(enum path_kind path)
{
    const struct coordinator_session *s = coordinator_session(&w.coordinator, &r->at.session);

    for (size_t i = 0; i < 2; i++)
        cr_assert_str_eq(path_name[side(i)->path], path_name[path], "side %zu", i);
    cr_assert_str_eq(coordinator_state_name[s->state], path_name[path]);
}

enum { DATAGRAMS = 200 };

/* How many of 200 datagrams of this side arrive, and what the relay carried meanwhile. */
static uint64_t send_some(size_t from, uint64_t *relayed)
{
    uint64_t before = w.peers[!from].received, forwarded = w.relays[0].core.n.forwarded_packets;

    for (unsigned i = 0; i < DATAGRAMS; i++) {
        world_send(&w, from, (uint32_t)(side(from) - w.peers[from].core.attempts), "x", 1);
        world_run(&w, w.now_us + SECOND / DATAGRAMS);
    }
    world_run(&w, w.now_us + SECOND / 10);
    *relayed = w.relays[0].core.n.forwarded_packets - forwarded;
    return w.peers[!from].received - before;
}

Test(half, each_direction_takes_the_way_that_it_has)
{
    uint64_t relayed;

    for (size_t mute = 0; mute < 2; mute++) {
        meet(mute, mute == 0 ? "ei/preserve/ei" : "ei/preserve/apd",
             mute == 0 ? "ei/preserve/apd" : "ei/preserve/ei", 7 + mute);
        expect_paths(PATH_HALF);
        cr_assert_str_eq(verdict_name(r->at.verdict), "one-way");
        cr_assert_eq(r->at.path, PATH_HALF, "as soon as it was settled");
        cr_assert_eq(w.coordinator.n.punches_half, 1);
        cr_assert_eq(w.coordinator.n.punches_failed + w.coordinator.n.punches_direct, 0);
        cr_assert_eq(send_some(!mute, &relayed), DATAGRAMS);
        cr_assert_lt(relayed, DATAGRAMS / 4, "%lu: only what keeps it", relayed);
        cr_assert_eq(send_some(mute, &relayed), DATAGRAMS);
        cr_assert_geq(relayed, DATAGRAMS);
        if (mute == 0)
            world_close(&w);
    }
}

Test(half, falls_back_to_the_relay_when_that_direction_closes_too_and_is_half_again_later)
{
    uint64_t relayed;

    meet(1, "ei/preserve/apd", "ei/preserve/ei", 11);
    expect_paths(PATH_HALF);
    w.wall = true;
    world_run(&w, w.now_us + 7 * SECOND);
    cr_assert_eq(side(0)->path, PATH_RELAYED, "its questions are not answered");
    cr_assert_eq(send_some(0, &relayed), DATAGRAMS, "and nothing is sent there any more");
    world_run(&w, w.now_us + 16 * SECOND);
    expect_paths(PATH_RELAYED);
    w.wall = false;
    world_run(&w, w.now_us + 64 * SECOND);
    expect_paths(PATH_HALF);
}

Test(half, becomes_direct_when_the_other_direction_opens_as_well)
{
    meet(1, "ei/preserve/apd", "ei/preserve/ei", 13);
    expect_paths(PATH_HALF);
    w.walled[w.peers[1].host] = false;
    world_run(&w, w.now_us + 64 * SECOND);
    expect_paths(PATH_DIRECT);
    cr_assert_str_eq(verdict_name((enum verdict)side(0)->verdict), "direct-reversal");
}

Test(half, is_not_where_nothing_comes_through)
{
    meet(1, "ei/preserve/apd", "ei/preserve/apd", 17);
    expect_paths(PATH_RELAYED);
    cr_assert_str_eq(verdict_name(r->at.verdict), "punch-unanswered");
}

/* ---- real programs ---------------------------------------------------------------------------------------- */

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TestSuite(half_real, .timeout = 60);

Test(half_real, connect_says_so_and_exits_with_4)
{
    static struct ground ground;
    int status;

    ground_open(&ground, ARGS("--delay", "20ms", "alice=ei/preserve/apd,ip=198.51.100.1",
                              "bob=ei/preserve/ei,ip=198.51.100.2"));
    ground_output(&ground, "bob",
                  ARGS("/bin/sh", "-c",
                       "nft add table ip mute &&"
                       "nft 'add chain ip mute out { type filter hook output priority 0; }' &&"
                       "nft add rule ip mute out ip daddr 198.51.100.1 drop"));
    ground_listen(&ground, "bob");
    json_t *line = ground_connect(&ground, "alice", "bob", ARGS("--ping", "3"), &status);
    cr_assert_str_eq(ground_text(line, "path"), "half", "%s", ground_text(line, "verdict"));
    cr_assert_eq(status, 4);
    cr_assert_str_eq(ground_text(line, "technique"), "reversal");
    cr_assert_str_eq(ground_text(line, "verdict"), "one-way");
    cr_assert(strncmp(ground_text(line, "remote"), "198.51.100.2:", 13) == 0, "%s",
              ground_text(line, "remote"));
    cr_assert_eq(ground_number(line, "received"), 3);
    json_decref(line);
    line = ground_ask(&ground, "stats", ARGS("-o", "json"), &status);
    cr_assert_eq(ground_number(line, "punches_half"), 1);
    json_decref(line);
    ground_close(&ground);
}
