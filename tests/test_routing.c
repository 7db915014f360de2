/* test_routing.c - the routing ids that the coordinator gives are good for whom they were given to, and nobody makes one. */
#include "services/coordinator/routing.h"

#include <criterion/criterion.h>
#include <string.h>

static struct routing r = {
    .secret = {1, 2, 3}
};
static const struct peer_id alice = {{7}}, bob = {{8}};

TestSuite(routing, .timeout = 10);

Test(routing, an_id_is_good_for_the_peer_and_the_door_that_it_was_given_for)
{
    uint8_t id[ROUTING_ID];

    for (int i = 0; i < 3; i++) {
        routing_give(&r, false, &alice, id);
        cr_assert(routing_is_given(&r, false, &alice, id, sizeof id));
        cr_assert_not(routing_is_given(&r, false, &bob, id, sizeof id));
        cr_assert_not(routing_is_given(&r, true, &alice, id, sizeof id));
        cr_assert_not(routing_is_given(&r, false, &alice, id, sizeof id - 1));
    }
}

Test(routing, no_two_are_the_same)
{
    enum { N = 1000 };
    static uint8_t id[N][ROUTING_ID];

    for (int i = 0; i < N; i++) {
        routing_give(&r, i % 2, &alice, id[i]);
        for (int k = 0; k < i; k++)
            cr_assert_neq(memcmp(id[i], id[k], sizeof id[i]), 0);
    }
}

Test(routing, none_is_made_without_the_secret)
{
    struct routing other = {
        .secret = {1, 2, 4}
    };
    uint8_t id[ROUTING_ID];

    routing_give(&r, false, &alice, id);
    for (size_t bit = 0; bit < 8 * sizeof id; bit++) {
        id[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_not(routing_is_given(&r, false, &alice, id, sizeof id), "bit %zu", bit);
        id[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    routing_give(&other, false, &alice, id);
    cr_assert_not(routing_is_given(&r, false, &alice, id, sizeof id));
    cr_assert_not(routing_is_given(&r, false, &alice, "\0abcd", 5));
}
