/* test_relay_express.c - the relay's account with what forwards by itself: cells, and quotas that are lent. */
#include "services/relay/express.h"
#include "services/relay/quota.h"

#include <criterion/criterion.h>
#include <string.h>

enum { BITS = EXPRESS_BITS_MIN, SECOND = 1000000 };

static struct express_set sets[1 << BITS];
static struct express_cell cells[EXPRESS_WAYS << BITS];
static struct express e = {sets, cells, BITS};

/* The i-th path id of set 0. */
static const uint8_t *path_of(unsigned i)
{
    static uint8_t path[8];
    uint64_t key = 0;

    for (unsigned n = 0; n <= i; n++)
        do
            key++;
        while (key * EXPRESS_MIX >> (64 - BITS) != 0);
    for (unsigned b = 0; b < 8; b++)
        path[b] = (uint8_t)(key >> (56 - 8 * b));
    return path;
}

Test(relay_express, a_full_set_leaves_a_path_out_until_one_is_left)
{
    static const uint8_t none[8];

    for (uint32_t i = 0; i < EXPRESS_WAYS; i++)
        cr_assert_eq(express_take(&e, path_of(i)), i);
    cr_assert_eq(express_take(&e, path_of(EXPRESS_WAYS)), EXPRESS_NONE);
    express_leave(&e, 3);
    cr_assert_eq(express_take(&e, path_of(EXPRESS_WAYS)), 3);
    cr_assert_eq(express_take(&e, none), EXPRESS_NONE, "the path id of free cells");
    cr_assert_eq(express_take(&(struct express){0}, path_of(0)), EXPRESS_NONE, "no program");
}

Test(relay_express, a_cell_is_marked_while_it_is_written_and_when_it_is_left)
{
    struct addr a = addr_v4(192, 0, 2, 1, 0x1234), b = addr_v4(192, 0, 2, 2, 0x5678);
    uint32_t at = express_take(&e, path_of(0));

    express_lead(&e, at, 5, &a, &b);
    uint32_t version = cells[at].version;
    cr_assert_eq(version & 1, 0);
    cr_assert(memcmp(&cells[at].from_ip, a.ip, 4) == 0 &&
              memcmp(&cells[at].to_port, "\x56\x78", 2) == 0 && cells[at].back == 5);
    express_lead(&e, at, 5, &b, &a);
    cr_assert(cells[at].version != version && (cells[at].version & 1) == 0);
    express_leave(&e, at);
    cr_assert_eq(cells[at].version & 1, 1);
}

Test(relay_express, what_is_left_of_a_grant_is_taken_back)
{
    uint32_t at = express_take(&e, path_of(0));

    express_grant(&e, at, 1000);
    cells[at].credit -= 300;
    cr_assert_eq(express_revoke(&e, at), 700);
    cr_assert_eq(express_revoke(&e, at), 0);
    cells[at].credit = -100; /* the program has taken, and is about to give back */
    cr_assert_eq(express_revoke(&e, at), 0);
}

Test(relay_express, a_new_session_begins_without_what_came_back_after_the_old_one)
{
    struct addr a = addr_v4(192, 0, 2, 1, 1), b = addr_v4(192, 0, 2, 2, 2);
    uint32_t at = express_take(&e, path_of(0));

    express_leave(&e, at);
    cells[at].credit += 300; /* the program had taken it */
    cr_assert_eq(express_take(&e, path_of(0)), at);
    express_lead(&e, at, 5, &a, &b);
    cr_assert_eq(express_left(&e, at), 0);
}

Test(relay_express, at_most_half_a_bucket_is_lent_and_counts_as_spent)
{
    struct quota q = {0};

    quota_grant(&q, 1000000, 10000, 0);
    cr_assert_eq(quota_lend(&q, 0), 5000);
    cr_assert_eq(quota_spend(&q, 5001, 10 * SECOND), QUOTA_RATE); /* the bucket fills no further */
    cr_assert_eq(quota_spend(&q, 5000, 10 * SECOND), QUOTA_OK);
    quota_return(&q, 2000, 10 * SECOND);
    cr_assert_eq(q.bytes, 8000);
    cr_assert_eq(quota_spend(&q, 2000, 10 * SECOND), QUOTA_OK);
    cr_assert_eq(quota_spend(&q, 1, 10 * SECOND), QUOTA_RATE);
}

Test(relay_express, no_more_is_lent_than_may_be_sent_in_all)
{
    struct quota q = {0};

    quota_grant(&q, 700, 10000, 0);
    cr_assert_eq(quota_lend(&q, 0), 700);
    cr_assert_eq(quota_spend(&q, 1, 0), QUOTA_BYTES);
    quota_return(&q, 100, 0);
    cr_assert_eq(quota_spend(&q, 101, 0), QUOTA_BYTES);
    cr_assert_eq(quota_lend(&q, 0), 100);
    quota_return(&q, 5000, 0); /* more than was lent is not believed */
    cr_assert_eq(q.bytes, 600);
}

Test(relay_express, nothing_is_lent_where_nothing_may_be_sent)
{
    struct quota q = {0};

    quota_grant(&q, 700, 0, 0);
    cr_assert_eq(quota_lend(&q, SECOND), 0);
}
