/*
 * test_executor_probe.c - when an executor asks probers, in virtual time: the rounds, what the NAT lets in,
 * and what it tells of both.
 */
#include "tests/lib/probe_bed.h"

#include <criterion/criterion.h>

enum { PLAIN = 0, BOTH = STUN_CHANGE_IP | STUN_CHANGE_PORT };

TestSuite(executor_probe, .init = probe_bed_open, .timeout = 20);

/* ---- rounds ---------------------------------------------------------------------------------- */

Test(executor_probe, an_address_that_does_not_answer_is_asked_at_0_100_250_500_and_1000_ms)
{
    probe_bed.deaf = 1u << 3;
    probe_bed_attach();
    probe_bed_run_to(5000);
    cr_assert_str_eq(probe_bed_times(0, 3, PLAIN), "0 100 250 500 1000 ");
    cr_assert_str_eq(probe_bed_times(0, 0, PLAIN), "0 40 ", "a cookie, then a token");
}

Test(executor_probe, a_token_that_takes_twice_800_ms_is_waited_for)
{
    probe_bed.rtt_ms = 800;
    probe_bed.deaf = 1u << 3;
    probe_bed_attach();
    probe_bed_run_to(800 + PROBE_GIVE_UP_US / 1000);
    cr_assert_geq(probe_bed.core.tokens.n, 1);
    cr_assert_eq(probe_bed.report_ms, 800 + PROBE_GIVE_UP_US / 1000,
                 "as long again, after the cookie");
}

Test(executor_probe, cookies_without_end_do_not_make_a_round_endless)
{
    probe_bed.rtt_ms = 1000;
    probe_bed.only_cookies = true;
    probe_bed_attach();
    probe_bed_run_to(PROBE_LONGEST_US / 1000 - 1);
    cr_assert(probe_bed.core.probing);
    probe_bed_run_to(PROBE_LONGEST_US / 1000);
    cr_assert_not(probe_bed.core.probing);
    cr_assert_eq(probe_bed.core.tokens.n, 0);
}

Test(executor_probe, the_mapping_is_told_at_once_and_the_filtering_after_some_silence)
{
    probe_bed_attach();
    probe_bed_run_to(200);
    cr_assert_eq(probe_bed.n_reports, 1);
    cr_assert_eq(probe_bed.report.hairpin, HAIRPIN_UNKNOWN);
    cr_assert_eq(probe_bed.report_ms, 2 * PROBE_BED_RTT_MS, "as soon as every answer is there");
    cr_assert_not(probe_bed.report.filter_asked);
    cr_assert_eq(probe_bed.report.seen.n, 4 + SAMPLES_MAX + 1 + EARLY_SOCKETS);
    probe_bed_run_to(5000);
    cr_assert_str_eq(probe_bed_times(1, 0, STUN_CHANGE_PORT), "40 140 290 540 ");
    cr_assert_str_eq(probe_bed_times(1, 0, BOTH), "40 ", "no other ip when not even the port");
    cr_assert_str_eq(probe_bed_times(2, 0, STUN_CHANGE_PORT), "", "the first two agree");
    cr_assert_eq(probe_bed.n_reports, 3, "hairpin is told before");
    cr_assert_eq(probe_bed.report_ms, 540 + FILTER_SILENCE_US / 1000);
    cr_assert(probe_bed.report.filter_asked && !probe_bed.report.filter_other_ip &&
              !probe_bed.report.filter_other_port);
}

Test(executor_probe, on_a_slow_line_silence_takes_three_round_trips)
{
    probe_bed.rtt_ms = 450;
    probe_bed_attach();
    probe_bed_run_to(8000);
    cr_assert(probe_bed.report.filter_asked);
    cr_assert_eq(probe_bed.report_ms, 450 + 500 + 3 * 450);
}

Test(executor_probe,
     an_answer_from_another_ip_tells_at_once_and_one_from_another_port_waits_for_that)
{
    probe_bed.lets_in_port = probe_bed.lets_in_ip = true;
    probe_bed_attach();
    probe_bed_run_to(200);
    cr_assert_eq(probe_bed.report_ms, 2 * PROBE_BED_RTT_MS);
    cr_assert(probe_bed.report.filter_asked && probe_bed.report.filter_other_ip);
    probe_bed_open();
    probe_bed.lets_in_port = true;
    probe_bed_attach();
    probe_bed_run_to(5000);
    cr_assert_str_eq(probe_bed_times(1, 0, STUN_CHANGE_PORT), "40 ", "which needs no other try");
    cr_assert_str_eq(probe_bed_times(1, 0, BOTH), "40 140 290 540 ");
    cr_assert_eq(probe_bed.report_ms, 540 + FILTER_SILENCE_US / 1000);
    cr_assert(probe_bed.report.filter_asked && !probe_bed.report.filter_other_ip &&
              probe_bed.report.filter_other_port);
}

Test(executor_probe, one_port_that_is_open_from_before_does_not_make_the_host_reachable)
{
    static const uint16_t open[] = {1, 2, EARLY_FIRST};

    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        bool asks = open[i] != 2;
        probe_bed_open();
        probe_bed.lucky = open[i];
        probe_bed_attach();
        probe_bed_run_to(5000);
        cr_assert(probe_bed.report.filter_asked && !probe_bed.report.filter_other_ip &&
                  !probe_bed.report.filter_other_port);
        cr_assert_str_eq(probe_bed_times(2, 0, BOTH), asks ? "140 " : "",
                         "a third one only where the first two differ");
        cr_assert_eq(probe_bed.report_ms, (asks ? 640 : 540) + FILTER_SILENCE_US / 1000);
    }
}

Test(executor_probe, two_sockets_of_three_that_hear_another_ip_make_it_so)
{
    probe_bed.lucky = FILTER_SOCKETS; /* of the other one the answers got lost */
    probe_bed.lucky_too = EARLY_FIRST;
    probe_bed_attach();
    probe_bed_run_to(140 + PROBE_BED_RTT_MS);
    cr_assert(probe_bed.report.filter_asked && probe_bed.report.filter_other_ip &&
              probe_bed.report.filter_other_port);
    cr_assert_eq(probe_bed.report_ms, 140 + PROBE_BED_RTT_MS);
}

Test(executor_probe, silence_of_an_address_that_answers_nobody_says_nothing)
{
    probe_bed.deaf = 1u << 3; /* borrowed from a host that has died */
    probe_bed_attach();
    probe_bed_run_to(10000);
    cr_assert_not(probe_bed.report.filter_asked);
    cr_assert_not(probe_bed_measuring());
}

Test(executor_probe, an_address_that_two_probers_tell_of_is_asked_once)
{
    struct msg m = {.type = MSG_attached};
    struct input in = {
        .kind = IN_LINK, .link = {true, false}
    };
    struct prober_info other = probe_bed.prober;

    for (int i = 0; i < 4; i++)
        other.addrs[i] = probe_bed.prober.addrs[i ^ 2];
    probe_bed_step(&in);
    m.attached = (struct msg_attached){
        .refresh_s = 20, .probers = {2, {probe_bed.prober, other}}
    };
    in = (struct input){.kind = IN_MSG};
    in.msg = &m;
    in.from = (struct sender){.service = SERVICE_coordinator};
    probe_bed_step(&in);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_str_eq(probe_bed_times(0, i, PLAIN), "0 ");
}

/* ---- hairpin --------------------------------------------------------------------------------- */

Test(executor_probe, two_own_sockets_send_to_each_others_outer_address_and_silence_tells_none)
{
    probe_bed_attach();
    probe_bed_run_to(2000);
    cr_assert_str_eq(probe_bed_times(0, PROBE_BED_SELF, PLAIN), "80 180 330 ");
    cr_assert_str_eq(probe_bed_times(HAIRPIN_SOCK, PROBE_BED_SELF, PLAIN), "80 180 330 ");
    cr_assert_eq(probe_bed.report.hairpin, HAIRPIN_NONE);
    cr_assert(probe_bed_measuring(), "the classifier has not answered");
    probe_bed_classified();
    probe_bed_run_to(8000);
    cr_assert_not(probe_bed_measuring());
}

Test(executor_probe, one_packet_that_is_led_back_tells_and_its_source_tells_how)
{
    probe_bed.hairpin = HAIRPIN_EXTERNAL;
    probe_bed_attach();
    probe_bed_run_to(5000);
    cr_assert_eq(probe_bed.report.hairpin, HAIRPIN_EXTERNAL);
    cr_assert_str_eq(probe_bed_times(0, PROBE_BED_SELF, PLAIN), "80 ");
    probe_bed_open();
    probe_bed.hairpin = HAIRPIN_INTERNAL;
    probe_bed_attach();
    probe_bed_run_to(5000);
    cr_assert_eq(probe_bed.report.hairpin, HAIRPIN_INTERNAL);
}

Test(executor_probe, a_host_without_nat_sends_nothing_to_itself)
{
    probe_bed.core.conf.local = probe_bed.seen;
    probe_bed_attach();
    probe_bed_run_to(5000);
    cr_assert_str_eq(probe_bed_times(0, PROBE_BED_SELF, PLAIN), "");
    cr_assert_eq(probe_bed.report.hairpin, HAIRPIN_UNKNOWN);
}

Test(executor_probe, what_no_token_vouches_for_is_not_sent_to)
{
    probe_bed.signs = false; /* anybody could have said that this is our address */
    probe_bed_attach();
    probe_bed_run_to(5000);
    cr_assert_str_eq(probe_bed_times(0, PROBE_BED_SELF, PLAIN), "");
    cr_assert_eq(probe_bed.report.hairpin, HAIRPIN_UNKNOWN);
}

Test(executor_probe, a_refresh_does_not_ask_for_hairpin_again)
{
    probe_bed_attach();
    probe_bed_run_to(200);
    probe_bed_classified();
    probe_bed_run_to(5000);
    probe_bed_classified();
    probe_bed_run_to(PROBE_EVERY_US / 1000 + 5000);
    cr_assert_str_eq(probe_bed_times(0, PROBE_BED_SELF, PLAIN), "80 180 330 ");
}

/* ---- more ports ------------------------------------------------------------------------------ */

Test(executor_probe,
     more_ports_are_looked_at_where_few_are_drawn_from_a_block_or_may_be_steps_apart)
{
    static const struct {
        uint8_t allocation;
        uint16_t hi;
        bool again;
    } rows[] = {
        {ALLOC_CONTIGUOUS, 5003, false},
        {ALLOC_UNKNOWN,    5024, true },
        {ALLOC_RANDOM,     6000, true },
        {ALLOC_RANDOM,     9000, false}, /* of no block */
        {ALLOC_PRESERVE,   6000, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        probe_bed_open();
        probe_bed_attach();
        probe_bed_run_to(200);
        probe_bed_classified_as(&(struct profile){.mapping = NAT_EI,
                                                  .allocation = rows[i].allocation,
                                                  .port_lo = 5000,
                                                  .port_hi = rows[i].hi});
        cr_assert_eq(probe_bed_times(RANGE_FIRST, 0, PLAIN)[0] != '\0', rows[i].again, "row %zu",
                     i);
    }
}

Test(executor_probe, one_sample_asks_another_ip_too_and_none_of_those_that_measure_the_filter)
{
    probe_bed_attach();
    probe_bed_run_to(200);
    cr_assert_str_eq(probe_bed_times(SAMPLES_MAX, 2, PLAIN), "0 ");
    for (uint16_t sock = 1; sock <= FILTER_SOCKETS; sock++)
        for (unsigned to = 1; to < 4; to++)
            cr_assert_str_eq(probe_bed_times(sock, to, PLAIN), "");
    const struct observation *o = &probe_bed.report.seen.v[4 + SAMPLES_MAX];
    cr_assert(o->sock == SAMPLES_MAX && addr_eq(&o->prober, &probe_bed.core.targets[2].addr));
    for (uint8_t i = 0; i < EARLY_SOCKETS; i++) /* the numbers go on, in the order of sending */
        cr_assert_eq((++o)->sock, SAMPLES_MAX + 1 + i);
}

/* What becomes of a number first in these outputs; SOCKET_MOVE when nothing does. */
static enum socket_op first_of(uint16_t sock)
{
    for (size_t i = 0; i < probe_bed.out.n; i++) {
        const struct output *o = &probe_bed.out.v[i];
        uint16_t last = o->socket.op == SOCKET_CLOSE ? o->socket.to : o->socket.sock;
        if (o->kind == OUT_SOCKET && o->socket.sock <= sock && sock <= last)
            return o->socket.op;
    }
    return SOCKET_MOVE;
}

/* The profile of a NAT that may draw from a small block: more ports are looked at. */
static void look_at_more(void)
{
    probe_bed_classified_as(&(struct profile){
        .mapping = NAT_EI, .allocation = ALLOC_RANDOM, .port_lo = 5000, .port_hi = 5024});
    cr_assert_eq(probe_bed.core.range.state, RANGE_ASKING);
}

static void more_are_closed(void)
{
    if (probe_bed.core.range.next_us != NEVER) {
        cr_assert_eq(executor_deadline(&probe_bed.core), probe_bed.now_ms * 1000);
        probe_bed_step(&(struct input){.kind = IN_TICK});
    }
    for (uint16_t i = 0; i < RANGE_SOCKETS; i++)
        cr_assert_eq(first_of((uint16_t)(RANGE_FIRST + i)), SOCKET_CLOSE);
    cr_assert_eq(probe_bed.core.range.next_us, NEVER);
}

Test(executor_probe, sockets_of_a_look_are_closed_when_another_network_or_round_ends_it)
{
    struct executor_sockets sockets = {
        addr_v4(10, 0, 0, 3, 5000), {5001, 5002, 5003}
    };
    struct input change = {.kind = IN_NETWORK, .network.sockets = &sockets};

    probe_bed_attach();
    probe_bed_run_to(200);
    look_at_more();
    probe_bed_step(&change);
    more_are_closed();
    probe_bed_attach();
    probe_bed_run_to(400);
    look_at_more();
    probe_bed.core.drifted = true;
    probe_bed.core.next_probe_us = probe_bed.now_ms * 1000;
    probe_bed_step(&(struct input){.kind = IN_TICK});
    cr_assert(probe_bed.core.probing && probe_bed.core.range.state == RANGE_OFF);
    more_are_closed();
}

/* Where the NAT stands is told by mappings of that round: a spare's may be as old as the process. */
Test(executor_probe, a_refresh_of_spares_shows_no_newest_port)
{
    probe_bed.core.conf.modes = 1u << MODE_RAW;
    probe_bed_attach();
    probe_bed_run_to(200);
    probe_bed_classified();
    struct sight first = probe_bed.core.sight;
    cr_assert_eq(first.port, probe_bed.seen.port + SAMPLES_MAX, "the last sample's");
    probe_bed_run_to(PROBE_EVERY_US / 1000 + 3000);
    cr_assert(!probe_bed.core.full_round && !probe_bed.core.probing);
    cr_assert_eq(probe_bed.core.sight.at_us, first.at_us);
    cr_assert_eq(probe_bed.core.sight.port, first.port);
}

/* ---- one at a time, and again ---------------------------------------------------------------- */

Test(executor_probe, no_second_round_begins_while_one_is_under_way)
{
    probe_bed.deaf = 0xf;
    probe_bed_attach();
    uint32_t serial = probe_bed.core.probe_serial;
    for (int64_t ms = 20; ms < PROBE_GIVE_UP_US / 1000; ms += 100) {
        probe_bed_run_to(ms);
        probe_bed_step(&(struct input){.kind = IN_NETWORK}); /* the network changes all the time */
        probe_bed_attach();                                  /* and so does the connection */
        cr_assert(probe_bed.core.probing);
        cr_assert_eq(probe_bed.core.probe_serial, serial);
    }
}

Test(executor_probe, a_round_without_answers_leaves_the_earlier_profile)
{
    probe_bed_attach();
    probe_bed_run_to(200);
    probe_bed_classified();
    probe_bed_run_to(5000);
    probe_bed.deaf = 0xf;
    probe_bed_run_to(PROBE_EVERY_US / 1000 + 2500);
    cr_assert(probe_bed.core.profile_known);
    cr_assert_eq(probe_bed.core.profile.mapping, NAT_EI);
    cr_assert(addr_eq(&probe_bed.core.reflexive, &probe_bed.seen));
    cr_assert_eq(probe_bed.report.seen.n, 0, "what it tells is that nothing was seen");
}

Test(executor_probe, an_address_that_drifts_has_all_measured_again_at_once)
{
    probe_bed_attach();
    probe_bed_run_to(200);
    probe_bed_classified();
    probe_bed_run_to(5000);
    probe_bed_classified();
    size_t before = probe_bed.n_sent;
    probe_bed_run_to(20000);
    cr_assert_eq(probe_bed.n_sent, before);
    probe_bed.seen.port += 100;
    probe_bed_run_to(PROBE_EVERY_US / 1000 + 3000);
    cr_assert(probe_bed.core.full_round, "with samples");
    cr_assert_geq(probe_bed.n_reports, 6,
                  "three, the refresh, and the mapping and its filtering again");
    cr_assert_eq(probe_bed.report.seen.v[0].seen.port, probe_bed.seen.port);
    cr_assert(probe_bed.report.filter_asked);
}
