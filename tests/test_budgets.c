/*
 * test_budgets.c - what one ip, the callers of one target and all together may have of the coordinator, beside what one
 * key may (test_coordinator_peers.c): each limit with its counter, its kind and a time to come again that is true.
 */
#include "tests/lib/coordinator_bed.h"
#include "tests/lib/executor_bed.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { MINUTE_MS = 60000 };

static struct bed bed, *b = &bed;
static uint64_t nonce;

static void setup(void) { coordinator_bed_init(b, 0, 0); }
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(budgets, .init = setup, .fini = teardown, .timeout = 60);

static struct addr host(unsigned i) { return addr_v4(8, 8, (uint8_t)(i >> 8), (uint8_t)i, 1); }

/* Peer i attaches from this ip. */
static void attach_from(unsigned i, struct addr source)
{
    char name[16];

    b->source = source;
    snprintf(name, sizeof name, "n%u", i);
    coordinator_bed_ready(b, i, name);
}

/* What the coordinator says to a request of peer i: NULL when it takes it. */
static const struct msg_punch_refused *ask(unsigned i, const char *target)
{
    struct msg m = coordinator_bed_request(target, ++nonce);

    coordinator_bed_from_peer(b, i, &m);
    coordinator_bed_forget(b);
    for (size_t k = 0; k < b->out.n; k++)
        if (b->out.v[k].kind == OUT_MSG && b->out.v[k].msg.type == MSG_punch_refused)
            return &b->out.v[k].msg.punch_refused;
    return NULL;
}

static void expect_limited(const struct msg_punch_refused *no)
{
    cr_assert_not_null(no);
    cr_assert_str_eq(no->kind, "rate-limited");
    cr_assert_str_eq(no->verdict, "rate-limited");
    cr_assert(no->retry_after_ms > 0 && no->retry_after_ms <= MINUTE_MS, "%u ms",
              no->retry_after_ms);
}

/* ---- one target ----------------------------------------------------------------------------------- */

Test(budgets, nobody_is_called_more_often_than_the_limit_however_many_call)
{
    const unsigned callers = COORD_CALLS_OF_TARGET_PER_MIN / COORD_REQUESTS_PER_MIN;

    for (unsigned i = 0; i < callers + 2; i++)
        attach_from(i, host(i));
    attach_from(150, host(150));
    attach_from(151, host(151));
    for (unsigned i = 0; i < callers; i++)
        for (unsigned k = 0; k < COORD_REQUESTS_PER_MIN; k++)
            cr_assert_null(ask(i, "n150"), "caller %u, call %u", i, k);
    expect_limited(ask(callers, "n150"));
    cr_assert_eq(b->core.n.calls_limited, 1);
    cr_assert_null(ask(callers, "n151"), "others can be called");
    const struct msg_punch_refused *no = ask(callers + 1, "n150");
    expect_limited(no);
    uint32_t wait_ms = no->retry_after_ms;
    for (unsigned i = 0; i < 3; i++) { /* so that those that wait are there still */
        coordinator_bed_pass(b, wait_ms / 3 + 1);
        attach_from(callers + 1, host(callers + 1));
        attach_from(150, host(150));
    }
    cr_assert_null(ask(callers + 1, "n150"), "after the time that it was told");
}

Test(budgets, one_ip_cannot_use_up_what_a_target_takes_from_all)
{
    for (unsigned i = 0; i < 5; i++)
        attach_from(i, host(1));
    attach_from(5, host(2));
    attach_from(150, host(150));
    for (unsigned k = 0; k < COORD_CALLS_OF_SOURCE_PER_MIN; k++)
        cr_assert_null(ask(k % 4, "n150"));
    for (unsigned k = 0; k < 100; k++)
        expect_limited(ask(k % 5, "n150"));
    cr_assert_eq(b->core.n.calls_by_source_limited, 100);
    cr_assert_eq(b->core.n.calls_limited, 0);
    cr_assert_null(ask(5, "n150"));
}

Test(budgets, a_session_that_nobody_here_knows_is_one_more_call_of_its_target)
{
    struct msg m = coordinator_bed_request("", 0);

    attach_from(0, host(0));
    attach_from(150, host(150));
    b->core.limits[COORD_LIMIT_CALLED] = 2;
    m.punch_request.target_id = coordinator_bed_peer(150);
    for (uint8_t k = 1; k <= 5; k++) { /* a new try of one that was invented */
        m.punch_request.session.b[0] = k;
        m.punch_request.nonce = ++nonce;
        coordinator_bed_from_peer(b, 0, &m);
        cr_assert_eq(coordinator_session(&b->core, &m.punch_request.session) != NULL, k <= 2,
                     "session %u", k);
    }
    expect_limited(&b->out.v[b->out.n - 1].msg.punch_refused);
    cr_assert_eq(b->core.n.calls_limited, 3);
    expect_limited(ask(0, "n150"));
}

Test(budgets, what_the_operator_asks_for_is_not_limited)
{
    struct msg m = coordinator_bed_request("n150", 0);

    attach_from(0, host(0));
    attach_from(150, host(150));
    b->core.limits[COORD_LIMIT_CALLED] = 1;
    cr_assert_null(ask(0, "n150"));
    expect_limited(ask(0, "n150"));
    m.punch_request.initiator = coordinator_bed_peer(0);
    m.punch_request.session = (struct sid){{1}};
    coordinator_bed_from_suite(b, SERVICE_coordinator, &m);
    cr_assert_eq(coordinator_session(&b->core, &m.punch_request.session)->state,
                 COORD_COORDINATING);
}

/* ---- one ip ---------------------------------------------------------------------------------------- */

/* Requests of one ip with as many keys as it takes; how many are let through. */
static unsigned requests_of(struct addr source, unsigned first, unsigned keys)
{
    unsigned taken = 0;

    for (unsigned i = first; i < first + keys; i++) {
        attach_from(i, source);
        for (unsigned k = 0; k < COORD_REQUESTS_PER_MIN; k++) {
            const struct msg_punch_refused *no = ask(i, "!"); /* bad, once it is looked at */
            taken += strcmp(no->kind, "bad-request") == 0;
            if (strcmp(no->kind, "bad-request") != 0)
                expect_limited(no);
        }
    }
    return taken;
}

Test(budgets, many_keys_of_one_ip_ask_no_more_often_than_the_ip_may)
{
    const unsigned keys = COORD_REQUESTS_OF_SOURCE_PER_MIN / COORD_REQUESTS_PER_MIN;

    cr_assert_eq(requests_of(host(1), 0, keys + 5), COORD_REQUESTS_OF_SOURCE_PER_MIN);
    cr_assert_eq(b->core.n.requests_by_source_limited, 5 * COORD_REQUESTS_PER_MIN);
    attach_from(100, host(2));
    cr_assert_str_eq(ask(100, "!")->kind, "bad-request", "another one may");
    attach_from(101, host(1));
    const struct msg_punch_refused *no = ask(101, "!");
    expect_limited(no);
    coordinator_bed_pass(b, no->retry_after_ms);
    cr_assert_str_eq(ask(101, "!")->kind, "bad-request", "after the time that it was told");
    expect_limited(ask(101, "!"));
}

Test(budgets, of_ipv6_a_slash_56_is_one_source_and_behind_a_gateway_none_is)
{
    const unsigned keys = COORD_REQUESTS_OF_SOURCE_PER_MIN / COORD_REQUESTS_PER_MIN;
    struct addr v6 = {
        .len = 16, .ip = {0x2a, 0, 1, 2, 3, 4, 5, 6, 7},
             .port = 1
    };

    cr_assert_eq(requests_of(v6, 0, keys), COORD_REQUESTS_OF_SOURCE_PER_MIN);
    v6.ip[7] = 0x77, v6.ip[15] = 9; /* another /64 and host of the same customer */
    attach_from(100, v6);
    expect_limited(ask(100, "!"));
    v6.ip[6] ^= 1;
    attach_from(101, v6);
    cr_assert_str_eq(ask(101, "!")->kind, "bad-request");
    coordinator_bed_pass(b, 1000);
    struct addr gateway = addr_v4(10, 0, 0, 1, 1);
    cr_assert_eq(requests_of(gateway, 110, keys + 1), (keys + 1) * COORD_REQUESTS_PER_MIN,
                 "who comes from there can't be told");
}

Test(budgets, new_attachments_of_one_ip_have_a_limit_and_those_that_are_there_stay)
{
    const struct msg *answer;

    attach_from(0, host(1));
    for (unsigned k = 0; b->core.n.joins_by_source_limited == 0; k++) {
        cr_assert_leq(k, COORD_JOINS_OF_SOURCE_PER_MIN);
        coordinator_bed_attach_as(b, 1 + k / 50, 1000 + k, "", k, ACCEPT_ANYONE);
        coordinator_bed_forget(b);
        if (k % 50 == 49) /* so many are the store's limit on the bench */
            b->store.n = 1;
    }
    answer = &b->out.v[b->out.n - 1].msg;
    cr_assert_str_eq(answer->attached.kind, "rate-limited");
    cr_assert_gt(answer->attached.retry_after_ms, 0);
    coordinator_bed_attach(b, 0, "n0"); /* no new one */
    cr_assert_str_eq(b->out.v[b->out.n - 1].msg.attached.kind, "");
    coordinator_bed_pass(b, 1000); /* of so many for all */
    attach_from(100, host(2));
    cr_assert_not_null(coordinator_named(&b->core, "n100"), "another one may");
}

Test(budgets, a_flood_of_sources_takes_no_memory_and_nothing_from_who_was_there)
{
    static struct budget budget;
    static const uint8_t secret[16] = {1};
    struct addr one = host(1), other = addr_v4(9, 0, 0, 0, 1);
    unsigned taken = 0, more = 0;

    budget_init(&budget, 60, 60000000, secret);
    for (unsigned i = 0; i < 30; i++)
        cr_assert(budget_take(&budget, &one, 0));
    for (unsigned i = 0; i < 1000000; i++) {
        other.ip[1] = (uint8_t)(i >> 16), other.ip[2] = (uint8_t)(i >> 8), other.ip[3] = (uint8_t)i;
        taken += budget_take(&budget, &other, 0);
    }
    cr_assert_leq(taken, BUDGET_SETS * BUDGET_WAYS, "places are never more");
    for (unsigned i = 0; i < 60; i++)
        more += budget_take(&budget, &one, 0);
    cr_assert_eq(more, 30, "its own place was kept");
    int64_t wait_us = budget_wait_us(&budget, &one, 0);
    cr_assert(!budget_take(&budget, &one, wait_us - 1) && budget_take(&budget, &one, wait_us));
    wait_us = budget_wait_us(&budget, &other, 0); /* for which there was no place */
    cr_assert(!budget_take(&budget, &other, wait_us - 1) && budget_take(&budget, &other, wait_us));
}

/* ---- all -------------------------------------------------------------------------------------------- */

Test(budgets, all_together_have_so_many_requests_and_new_attachments_a_second)
{
    const struct msg_punch_refused *no;

    b->core.conf.requests_per_s = 10;
    for (unsigned i = 0; i < 4; i++)
        attach_from(i, host(i));
    for (unsigned k = 0; k < 10; k++)
        cr_assert_str_eq(ask(k % 3, "!")->kind, "bad-request");
    no = ask(3, "!");
    expect_limited(no);
    cr_assert_eq(b->core.n.requests_limited, 1);
    coordinator_bed_pass(b, no->retry_after_ms);
    cr_assert_str_eq(ask(3, "!")->kind, "bad-request", "after the time that it was told");

    b->core.joins.used = COORD_JOINS_PER_S; /* this second has had them */
    b->core.joins.began_us = b->now_us;
    b->source = host(4);
    coordinator_bed_attach(b, 4, "n4");
    cr_assert_str_eq(b->out.v[0].msg.attached.kind, "rate-limited");
    cr_assert_eq(b->out.v[0].msg.attached.retry_after_ms, 1000);
    cr_assert_eq(b->core.n.joins_limited, 1);
    coordinator_bed_pass(b, 1000);
    coordinator_bed_attach(b, 4, "n4");
    cr_assert_not_null(coordinator_named(&b->core, "n4"));
}

/* ---- at the peer ------------------------------------------------------------------------------------- */

Test(budgets, a_peer_whose_attachment_is_limited_comes_again_and_is_not_refused)
{
    struct msg m = {
        .type = MSG_attached,
        .attached = {.kind = "rate-limited", .verdict = "rate-limited", .retry_after_ms = 8000}
    };

    const struct executor *x = &executor_bed;

    executor_bed_open();
    executor_bed_link(10, true, false);
    executor_bed_forget();
    executor_bed_msg(20, &m);
    executor_bed_expect("");
    int64_t again_us = executor_deadline(x);
    cr_assert(again_us >= 20000 + 4000000 && again_us <= 20000 + 12000000);
    executor_bed_connect(30, "bob", POLICY_AUTO, 100);
    executor_bed_run_to(130);
    cr_assert_eq(x->attempts[0].verdict, VERDICT_rate_limited, "what can't wait so long says why");
    executor_bed_run_to(again_us / 1000 + 1);
    m.attached = (struct msg_attached){.refresh_s = 20};
    executor_bed_msg(again_us / 1000 + 20, &m);
    cr_assert(x->attached);
}
