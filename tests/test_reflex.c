/* test_reflex.c - what the coordinator makes of an operator's port mapping: a token of kind 2; and which token goes first. */
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>
#include <string.h>

static struct bed b;

static void fini(void) { coordinator_bed_fini(&b); }

TestSuite(reflex, .fini = fini, .timeout = 20);

static struct msg_token mapped(unsigned peer, uint16_t port, int64_t age_ms)
{
    struct msg_token plain = coordinator_bed_token(&b, peer, port, age_ms), raw;
    struct token t;

    cr_assert(token_read(&plain, &t));
    t.mapped = true;
    token_sign(&t, b.prober_secret, &raw);
    return raw;
}

static void report(unsigned peer, size_t n, const struct msg_token *tokens)
{
    struct msg m;

    memset(&m, 0, sizeof m);
    m.type = MSG_reflex_report;
    m.reflex_report.tokens.n = (uint8_t)n;
    memcpy(m.reflex_report.tokens.v, tokens, n * sizeof *tokens);
    m.reflex_report.seen.n = 1;
    coordinator_bed_from_peer(&b, peer, &m);
}

/* Two random NATs, the first one's router with a port mapping. */
static void two_random(void)
{
    coordinator_bed_init(&b, 0, 0);
    coordinator_bed_ready(&b, 1, "alice");
    coordinator_bed_ready(&b, 2, "bob");
    coordinator_bed_profile(&b, 1, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_profile(&b, 2, NAT_APD, NAT_APD, ALLOC_RANDOM);
}

static const struct step *order(uint64_t nonce)
{
    struct msg m = coordinator_bed_request("bob", nonce);

    coordinator_bed_from_peer(&b, 1, &m);
    return &b.order[0].punch_coordinate.plan.v[0];
}

Test(reflex, a_mapped_port_is_dialled_and_both_are_told_of_it)
{
    two_random();
    report(1, 1, (struct msg_token[]){mapped(1, 7000, 10)});
    cr_assert_eq(order(1)->technique, TECHNIQUE_MAPPED);
    cr_assert_eq(order(1)->role, 1);
    cr_assert(b.order[0].punch_coordinate.own_profile.mapped);
    cr_assert(b.order[1].punch_coordinate.their_profile.mapped);
    cr_assert_not(b.order[1].punch_coordinate.own_profile.mapped);
}

Test(reflex, a_report_without_it_takes_it_back)
{
    two_random();
    report(1, 1, (struct msg_token[]){mapped(1, 7000, 10)});
    report(1, 1, (struct msg_token[]){coordinator_bed_token(&b, 1, 5001, 10)});
    cr_assert_eq(order(1)->technique, TECHNIQUE_RELAYED);
}

Test(reflex, an_old_one_or_somebody_elses_does_not_count)
{
    two_random();
    report(1, 2, (struct msg_token[]){mapped(2, 7000, 10), coordinator_bed_token(&b, 1, 5001, 1)});
    cr_assert_eq(order(1)->technique, TECHNIQUE_RELAYED);
    report(1, 2,
           (struct msg_token[]){mapped(1, 7000, TOKEN_TTL_MS + 1000),
                                coordinator_bed_token(&b, 1, 5001, 0)});
    cr_assert_eq(order(2)->technique, TECHNIQUE_RELAYED);
}

Test(reflex, many_seen_addresses_do_not_crowd_it_out_and_of_two_the_newest_counts)
{
    two_random();
    report(1, 2, (struct msg_token[]){mapped(1, 7000, 5000), mapped(1, 7001, 4000)});
    struct msg m = coordinator_bed_request("bob", 1);
    for (uint16_t i = 0; i < TOKENS_MAX; i++)
        m.punch_request.tokens.v[i] = coordinator_bed_token(&b, 1, (uint16_t)(6000 + i), 10);
    m.punch_request.tokens.n = TOKENS_MAX;
    coordinator_bed_from_peer(&b, 1, &m);
    unsigned n = 0;
    const struct msg_token_list *own = &b.order[0].punch_coordinate.own;
    for (unsigned i = 0; i < own->n; i++) {
        struct token t;
        cr_assert(token_read(&own->v[i], &t));
        n += t.mapped;
        cr_assert(!t.mapped || t.addr.port == 7001);
    }
    cr_assert_eq(n, 1);
    cr_assert_eq(b.order[0].punch_coordinate.plan.v[0].technique, TECHNIQUE_MAPPED);
}

static uint16_t first_port(uint64_t nonce)
{
    struct token t;

    order(nonce);
    cr_assert(token_read(&b.order[0].punch_coordinate.own.v[0], &t));
    return t.addr.port;
}

/* Where a port was taken at one prober: what has replaced it was seen later, and serves from then on. */
Test(reflex, of_one_round_the_port_that_was_seen_later_goes_first_on_any_network)
{
    two_random(); /* one port there */
    for (uint16_t i = 0; i < 5; i++) {
        uint16_t port = (uint16_t)(5000 + 10 * i);
        coordinator_bed_pass(&b, 6000);
        coordinator_bed_profile(&b, 2, NAT_EI, NAT_APD, ALLOC_PRESERVE);
        report(1, 2,
               (struct msg_token[]){coordinator_bed_token(&b, 1, port, 10),
                                    coordinator_bed_token(&b, 1, port + 1, 20)});
        cr_assert_eq(first_port(1 + i), port + 1, "network %u", i);
    }
}
