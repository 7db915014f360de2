/*
 * test_turns.c - callers that come together to a peer whose NAT draws random ports: it opens many for one of them at a
 * time, so the others wait for their turn, and what is told of one that got none is true.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>

enum { SECOND = 1000000, LISTENER = 2 };

static struct world w;

TestSuite(turns, .timeout = 60);

static void open_world(uint64_t seed)
{
    struct world_conf c = {.seed = seed, .n_peers = 3, .delay_us = 20000};

    c.peers[0] = c.peers[1] = world_nat("ei/preserve/apd");
    c.peers[LISTENER] = world_nat("apd/random/apd");
    world_open(&w, &c);
    world_run(&w, 5 * SECOND);
}

/* Both call in the same instant. */
static void call_together(void)
{
    for (size_t i = 0; i < 2; i++)
        world_connect(&w, i, LISTENER, POLICY_AUTO, (int64_t)15 * SECOND);
    for (int k = 0; k < 15 && !(w.results[0].settled && w.results[1].settled); k++)
        world_run(&w, w.now_us + SECOND);
    world_run(&w, w.now_us + SECOND); /* until both sides have reported */
}

static const char *verdict_of(size_t i)
{
    const struct world_result *r = &w.results[i];

    return verdict_name(r->at.verdict);
}

Test(turns, of_two_that_come_together_the_second_has_the_sockets_after_the_first)
{
    unsigned direct = 0;

    for (uint64_t seed = 1; seed <= 10; seed++) {
        open_world(seed);
        call_together();
        for (size_t i = 0; i < 2; i++)
            direct += w.results[i].at.state == ATTEMPT_DIRECT;
        world_close(&w);
    }
    cr_assert_geq(direct, 16, "%u of 20", direct);
}

Test(turns, one_that_waited_in_vain_is_told_so_by_all)
{
    open_world(1);
    w.walled[w.peers[0].host] =
        true; /* its tries are lost, so that the sockets are kept to the end */
    call_together();
    cr_assert_str_eq(verdict_of(0), "birthday-missed");
    cr_assert_str_eq(verdict_of(1), "sockets-busy", "%s", verdict_of(1));
    const struct attempt *other = world_other_side(&w, &w.results[1]);
    cr_assert_not_null(other);
    cr_assert_str_eq(verdict_name(other->verdict), "sockets-busy");
    const struct coordinator_session *s =
        coordinator_session(&w.coordinator, &w.results[1].at.session);
    cr_assert_str_eq(verdict_name(s->verdict), "sockets-busy");
    world_close(&w);
}
