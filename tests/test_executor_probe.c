/*
 * test_executor_probe.c - when an executor asks probers, in virtual time: the rounds, what the NAT lets in,
 * and what it tells of both; the test plays a prober of two addresses and the coordinator.
 */
#include "lib/stun.h"
#include "lib/token.h"
#include "services/executor/executor.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

enum { RTT_MS = 40, SENT_MAX = 256, TO_SELF = 4 };

static struct executor core;
static struct outputs out;
static struct prober_info prober;
static uint8_t prober_secret[64];
static int64_t now_ms;
static struct addr seen; /* of socket 0; the samples' ports follow */
static uint16_t deaf;    /* bit i: what is sent to the prober's address i gets no answer */
static bool lets_in_port, lets_in_ip, signs, only_cookies;
static uint16_t lucky, lucky_too; /* sockets whose ports the NAT lets all in by; 0: none */
static enum hairpin hairpin;      /* what becomes of packets to the own outer addresses */
static uint32_t rtt_ms;

static size_t n_reports;
static struct msg_reflex_report report; /* the last one */
static int64_t report_ms;

/* What was sent: when, by which socket, to which of the prober's addresses, what it asked for. */
static struct sent {
    int64_t ms;
    uint16_t sock;
    unsigned to;   /* or TO_SELF */
    uint16_t self; /* then to which of our sockets */
    uint32_t change;
    struct stun m;
    bool answered;
} sent[SENT_MAX];
static size_t n_sent;

static void setup(void)
{
    uint8_t seed[32] = {1}, authority[64], key[32] = {9};
    struct executor_conf conf = {.local = addr_v4(10, 0, 0, 2, 5000), .n_samples = SAMPLES_MAX};

    cr_assert_geq(sodium_init(), 0);
    crypto_sign_seed_keypair(conf.authority, authority, seed);
    seed[0] = 2;
    crypto_sign_seed_keypair(prober.key, prober_secret, seed);
    cert_sign('p', prober.key, authority, prober.cert);
    prober.n_addrs = 4;
    for (uint8_t i = 0; i < 4; i++)
        prober.addrs[i] = addr_v4(203, 0, 113, (uint8_t)(10 + i / 2), (uint16_t)(3478 + i % 2));
    conf.fence = fence_of(&prober.addrs[0], 1);
    conf.homes[0] = prober.addrs[0];
    conf.homes[1] = prober.addrs[2];
    conf.n_homes = 2;
    memset(conf.secret, 3, sizeof conf.secret);
    crypto_scalarmult_base(conf.id.b, conf.secret);
    for (uint16_t s = 0; s < SAMPLES_MAX; s++)
        conf.sample_ports[s] = (uint16_t)(5001 + s);
    seen = addr_v4(198, 51, 100, 1, 5000);
    executor_init(&core, &conf, key);
    now_ms = 0;
    n_sent = n_reports = 0;
    deaf = 0;
    lets_in_port = lets_in_ip = false;
    lucky = lucky_too = 0;
    hairpin = HAIRPIN_NONE;
    signs = true;
    only_cookies = false;
    rtt_ms = RTT_MS;
}

TestSuite(executor_probe, .init = setup, .timeout = 20);

/* ---- the world ------------------------------------------------------------------------------------ */

static void note(const struct output *o)
{
    if (o->kind == OUT_MSG && o->msg.type == MSG_reflex_report) {
        report = o->msg.reflex_report;
        report_ms = now_ms;
        n_reports++;
    }
    if (o->kind != OUT_DATAGRAM)
        return;
    struct sent *s = &sent[n_sent++];
    cr_assert_leq(n_sent, SENT_MAX);
    *s = (struct sent){.ms = now_ms, .sock = o->dgram.sock};
    while (s->to < TO_SELF && !addr_eq(&prober.addrs[s->to], &o->dgram.dst))
        s->to++;
    if (s->to == TO_SELF)
        cr_assert(addr_ip_eq(&o->dgram.dst, &seen));
    s->self = (uint16_t)(o->dgram.dst.port - seen.port);
    cr_assert(stun_parse(o->dgram.data, o->dgram.len, &s->m));
    s->change = s->m.change;
}

static void step(struct input *in)
{
    in->now_us = now_ms * 1000;
    in->wall_ms = 1700000000000 + now_ms;
    executor_step(&core, in, &out);
    for (size_t i = 0; i < out.n; i++)
        note(&out.v[i]);
}

/* What one of our sockets sent to another one's outer address comes in, if the NAT is so. */
static void lead_back(struct sent *s)
{
    struct input in = {.kind = IN_DATAGRAM};
    uint8_t buf[STUN_MAX];

    s->answered = true;
    if (hairpin == HAIRPIN_NONE)
        return;
    in.dgram.data = buf;
    in.dgram.len = stun_encode(&s->m, buf);
    in.dgram.src = hairpin == HAIRPIN_EXTERNAL ? seen : core.conf.local;
    in.dgram.src.port = (uint16_t)(in.dgram.src.port + s->sock);
    in.dgram.sock = s->self;
    step(&in);
}

static void answer(struct sent *s)
{
    struct stun a = {.type = STUN_BINDING_RESPONSE, .mapped = seen};
    struct token t = {.addr = seen, .peer = core.conf.id, .time_ms = 1700000000000 + now_ms};
    struct input in = {.kind = IN_DATAGRAM};
    unsigned from = s->to;
    uint8_t buf[STUN_MAX];

    s->answered = true;
    if (s->change == STUN_CHANGE_PORT)
        from ^= 1;
    else if (s->change != 0)
        from ^= 3;
    bool open = s->sock != 0 && (s->sock == lucky || s->sock == lucky_too);
    if ((deaf & 1u << from) || (s->change == STUN_CHANGE_PORT && !lets_in_port && !open) ||
        (s->change > STUN_CHANGE_PORT && !lets_in_ip && !open))
        return;
    memcpy(a.txid, s->m.txid, sizeof a.txid);
    a.mapped.port = (uint16_t)(seen.port + s->sock);
    if (s->m.has_peer && (only_cookies || sodium_is_zero(s->m.cookie, sizeof s->m.cookie))) {
        a.has_cookie = true;
        memset(a.cookie, 5, sizeof a.cookie);
    } else if (s->m.has_peer && signs) {
        t.addr = a.mapped;
        token_sign(&t, prober_secret, &a.token);
    }
    in.dgram.data = buf;
    in.dgram.len = stun_encode(&a, buf);
    in.dgram.src = prober.addrs[from];
    in.dgram.sock = s->sock;
    step(&in);
}

/* Everything until then, in order: ticks, and answers a round trip after what they answer. */
static void run_to(int64_t ms)
{
    for (;;) {
        struct sent *next = NULL;
        for (size_t i = 0; i < n_sent && !next; i++)
            if (!sent[i].answered)
                next = &sent[i];
        int64_t tick_ms = (executor_deadline(&core) + 999) / 1000;
        if (executor_deadline(&core) == NEVER)
            tick_ms = INT64_MAX;
        if (next && next->ms + rtt_ms <= ms && next->ms + rtt_ms <= tick_ms) {
            now_ms = next->ms + rtt_ms > now_ms ? next->ms + rtt_ms : now_ms;
            next->to == TO_SELF ? lead_back(next) : answer(next);
        } else if (tick_ms <= ms) {
            now_ms = tick_ms > now_ms ? tick_ms : now_ms;
            step(&(struct input){.kind = IN_TICK});
        } else {
            break;
        }
    }
    now_ms = ms;
}

static void attach(void)
{
    struct msg m = {.type = MSG_attached};
    struct input in = {
        .kind = IN_LINK, .link = {true, false}
    };

    step(&in);
    m.attached = (struct msg_attached){
        .refresh_s = 20, .probers = {1, {prober}}
    };
    in = (struct input){.kind = IN_MSG};
    in.msg = &m;
    in.from = (struct sender){.service = SERVICE_coordinator};
    step(&in);
}

static void classified_as(const struct profile *p)
{
    struct msg m = {.type = MSG_nat_profile};
    struct input in = {.kind = IN_MSG};

    m.nat_profile =
        (struct msg_nat_profile){.serial = core.probe_serial, .reflexive = seen, .profile = *p};
    in.msg = &m;
    in.from = (struct sender){.service = SERVICE_coordinator};
    step(&in);
}

static void classified(void) { classified_as(&(struct profile){.mapping = NAT_EI}); }

static const char *times(uint16_t sock, unsigned to, uint32_t change)
{
    static char text[512];
    size_t n = 0;

    text[0] = '\0';
    for (size_t i = 0; i < n_sent; i++)
        if (sent[i].sock == sock && sent[i].to == to && sent[i].change == change)
            n += (size_t)snprintf(text + n, sizeof text - n, "%ld ", (long)sent[i].ms);
    return text;
}

static bool measuring(void)
{
    return executor_filter_pending(&core) || executor_hairpin_pending(&core);
}

enum { PLAIN = 0, BOTH = STUN_CHANGE_IP | STUN_CHANGE_PORT };

/* ---- rounds --------------------------------------------------------------------------------------- */

Test(executor_probe, an_address_that_does_not_answer_is_asked_at_0_100_250_500_and_1000_ms)
{
    deaf = 1u << 3;
    attach();
    run_to(5000);
    cr_assert_str_eq(times(0, 3, PLAIN), "0 100 250 500 1000 ");
    cr_assert_str_eq(times(0, 0, PLAIN), "0 40 ", "a cookie, then a token");
}

Test(executor_probe, a_token_that_takes_twice_800_ms_is_waited_for)
{
    rtt_ms = 800;
    deaf = 1u << 3;
    attach();
    run_to(800 + PROBE_GIVE_UP_US / 1000);
    cr_assert_geq(core.tokens.n, 1);
    cr_assert_eq(report_ms, 800 + PROBE_GIVE_UP_US / 1000, "as long again, after the cookie");
}

Test(executor_probe, cookies_without_end_do_not_make_a_round_endless)
{
    rtt_ms = 1000;
    only_cookies = true;
    attach();
    run_to(PROBE_LONGEST_US / 1000 - 1);
    cr_assert(core.probing);
    run_to(PROBE_LONGEST_US / 1000);
    cr_assert_not(core.probing);
    cr_assert_eq(core.tokens.n, 0);
}

Test(executor_probe, the_mapping_is_told_at_once_and_the_filtering_after_a_second_of_silence)
{
    attach();
    run_to(200);
    cr_assert_eq(n_reports, 1);
    cr_assert_eq(report.hairpin, HAIRPIN_UNKNOWN);
    cr_assert_eq(report_ms, 2 * RTT_MS, "as soon as every answer is there");
    cr_assert_not(report.filter_asked);
    cr_assert_eq(report.seen.n, 4 + SAMPLES_MAX);
    run_to(5000);
    cr_assert_str_eq(times(1, 0, BOTH), "40 140 290 540 ");
    cr_assert_str_eq(times(2, 0, STUN_CHANGE_PORT), "40 140 290 540 ");
    cr_assert_eq(n_reports, 3, "hairpin is told before");
    cr_assert_eq(report_ms, 540 + FILTER_SILENCE_US / 1000);
    cr_assert(report.filter_asked && !report.filter_other_ip && !report.filter_other_port);
}

Test(executor_probe, on_a_slow_line_silence_takes_three_round_trips)
{
    rtt_ms = 450;
    attach();
    run_to(8000);
    cr_assert(report.filter_asked);
    cr_assert_eq(report_ms, 450 + 500 + 3 * 450);
}

Test(executor_probe,
     an_answer_from_another_ip_tells_at_once_and_one_from_another_port_waits_for_that)
{
    lets_in_port = lets_in_ip = true;
    attach();
    run_to(200);
    cr_assert_eq(report_ms, 2 * RTT_MS);
    cr_assert(report.filter_asked && report.filter_other_ip);
    setup();
    lets_in_port = true;
    attach();
    run_to(5000);
    cr_assert_str_eq(times(1, 0, STUN_CHANGE_PORT), "40 ", "which needs no other try");
    cr_assert_eq(report_ms, 540 + FILTER_SILENCE_US / 1000);
    cr_assert(report.filter_asked && !report.filter_other_ip && report.filter_other_port);
}

Test(executor_probe, one_port_that_is_open_from_before_does_not_make_the_host_reachable)
{
    for (uint16_t which = 1; which <= FILTER_SOCKETS; which++) {
        setup();
        lucky = which;
        attach();
        run_to(5000);
        cr_assert(report.filter_asked && !report.filter_other_ip && !report.filter_other_port);
        cr_assert_eq(report_ms, 540 + FILTER_SILENCE_US / 1000);
    }
}

Test(executor_probe, two_sockets_of_three_that_hear_another_ip_make_it_so)
{
    lucky = FILTER_SOCKETS; /* of the other one all four answers got lost */
    lucky_too = EARLY_FIRST;
    attach();
    run_to(5000);
    cr_assert(report.filter_asked && report.filter_other_ip && report.filter_other_port);
    cr_assert_eq(report_ms, 540 + FILTER_SILENCE_US / 1000);
}

Test(executor_probe, silence_of_an_address_that_answers_nobody_says_nothing)
{
    deaf = 1u << 3; /* borrowed from a host that has died */
    attach();
    run_to(10000);
    cr_assert_not(report.filter_asked);
    cr_assert_not(measuring());
}

Test(executor_probe, an_address_that_two_probers_tell_of_is_asked_once)
{
    struct msg m = {.type = MSG_attached};
    struct input in = {
        .kind = IN_LINK, .link = {true, false}
    };
    struct prober_info other = prober;

    for (int i = 0; i < 4; i++)
        other.addrs[i] = prober.addrs[i ^ 2];
    step(&in);
    m.attached = (struct msg_attached){
        .refresh_s = 20, .probers = {2, {prober, other}}
    };
    in = (struct input){.kind = IN_MSG};
    in.msg = &m;
    in.from = (struct sender){.service = SERVICE_coordinator};
    step(&in);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_str_eq(times(0, i, PLAIN), "0 ");
}

/* ---- hairpin -------------------------------------------------------------------------------------- */

Test(executor_probe, two_own_sockets_send_to_each_others_outer_address_and_silence_tells_none)
{
    attach();
    run_to(2000);
    cr_assert_str_eq(times(0, TO_SELF, PLAIN), "80 180 330 ");
    cr_assert_str_eq(times(HAIRPIN_SOCK, TO_SELF, PLAIN), "80 180 330 ");
    cr_assert_eq(report.hairpin, HAIRPIN_NONE);
    cr_assert(measuring(), "the classifier has not answered");
    classified();
    run_to(8000);
    cr_assert_not(measuring());
}

Test(executor_probe, one_packet_that_is_led_back_tells_and_its_source_tells_how)
{
    hairpin = HAIRPIN_EXTERNAL;
    attach();
    run_to(5000);
    cr_assert_eq(report.hairpin, HAIRPIN_EXTERNAL);
    cr_assert_str_eq(times(0, TO_SELF, PLAIN), "80 ");
    setup();
    hairpin = HAIRPIN_INTERNAL;
    attach();
    run_to(5000);
    cr_assert_eq(report.hairpin, HAIRPIN_INTERNAL);
}

Test(executor_probe, a_host_without_nat_sends_nothing_to_itself)
{
    core.conf.local = seen;
    attach();
    run_to(5000);
    cr_assert_str_eq(times(0, TO_SELF, PLAIN), "");
    cr_assert_eq(report.hairpin, HAIRPIN_UNKNOWN);
}

Test(executor_probe, what_no_token_vouches_for_is_not_sent_to)
{
    signs = false; /* anybody could have said that this is our address */
    attach();
    run_to(5000);
    cr_assert_str_eq(times(0, TO_SELF, PLAIN), "");
    cr_assert_eq(report.hairpin, HAIRPIN_UNKNOWN);
}

Test(executor_probe, a_refresh_does_not_ask_for_hairpin_again)
{
    attach();
    run_to(200);
    classified();
    run_to(5000);
    classified();
    run_to(PROBE_EVERY_US / 1000 + 5000);
    cr_assert_str_eq(times(0, TO_SELF, PLAIN), "80 180 330 ");
}

/* ---- more ports ------------------------------------------------------------------------------------ */

Test(executor_probe, more_ports_are_looked_at_when_few_may_be_steps_apart_by_chance)
{
    static const struct {
        int16_t delta;
        uint16_t hi;
        bool again;
    } rows[] = {
        {1,  5000, false},
        {1,  5005, true }, /* farther than as many steps as ports were seen */
        {8,  5024, true }, /* of a block of 256 random ones four may well lie so */
        {-2, 5006, true },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        setup();
        attach();
        run_to(200);
        classified_as(&(struct profile){.mapping = NAT_EI,
                                        .allocation = ALLOC_CONTIGUOUS,
                                        .delta = rows[i].delta,
                                        .port_lo = 5000,
                                        .port_hi = rows[i].hi});
        cr_assert_eq(times(RANGE_FIRST, 0, PLAIN)[0] != '\0', rows[i].again, "row %zu", i);
    }
}

/* What becomes of a number first in these outputs; SOCKET_MOVE when nothing does. */
static enum socket_op first_of(uint16_t sock)
{
    for (size_t i = 0; i < out.n; i++) {
        const struct output *o = &out.v[i];
        uint16_t last = o->socket.op == SOCKET_CLOSE ? o->socket.to : o->socket.sock;
        if (o->kind == OUT_SOCKET && o->socket.sock <= sock && sock <= last)
            return o->socket.op;
    }
    return SOCKET_MOVE;
}

/* The profile of a NAT that may draw from a small block: more ports are looked at. */
static void look_at_more(void)
{
    classified_as(&(struct profile){
        .mapping = NAT_EI, .allocation = ALLOC_RANDOM, .port_lo = 5000, .port_hi = 5024});
    cr_assert_eq(core.range.state, RANGE_ASKING);
}

static void more_are_closed(void)
{
    if (core.range.next_us != NEVER) {
        cr_assert_eq(executor_deadline(&core), now_ms * 1000);
        step(&(struct input){.kind = IN_TICK});
    }
    for (uint16_t i = 0; i < RANGE_SOCKETS; i++)
        cr_assert_eq(first_of((uint16_t)(RANGE_FIRST + i)), SOCKET_CLOSE);
    cr_assert_eq(core.range.next_us, NEVER);
}

Test(executor_probe, sockets_of_a_look_are_closed_when_another_network_or_round_ends_it)
{
    struct executor_sockets sockets = {
        addr_v4(10, 0, 0, 3, 5000), {5001, 5002, 5003}
    };
    struct input change = {.kind = IN_NETWORK, .network.sockets = &sockets};

    attach();
    run_to(200);
    look_at_more();
    step(&change);
    more_are_closed();
    attach();
    run_to(400);
    look_at_more();
    core.drifted = true;
    core.next_probe_us = now_ms * 1000;
    step(&(struct input){.kind = IN_TICK});
    cr_assert(core.probing && core.range.state == RANGE_OFF);
    more_are_closed();
}

/* ---- one at a time, and again --------------------------------------------------------------------- */

Test(executor_probe, no_second_round_begins_while_one_is_under_way)
{
    deaf = 0xf;
    attach();
    uint32_t serial = core.probe_serial;
    for (int64_t ms = 20; ms < PROBE_GIVE_UP_US / 1000; ms += 100) {
        run_to(ms);
        step(&(struct input){.kind = IN_NETWORK}); /* the network changes all the time */
        attach();                                  /* and so does the connection */
        cr_assert(core.probing);
        cr_assert_eq(core.probe_serial, serial);
    }
}

Test(executor_probe, a_round_without_answers_leaves_the_earlier_profile)
{
    attach();
    run_to(200);
    classified();
    run_to(5000);
    deaf = 0xf;
    run_to(PROBE_EVERY_US / 1000 + 2500);
    cr_assert(core.profile_known);
    cr_assert_eq(core.profile.mapping, NAT_EI);
    cr_assert(addr_eq(&core.reflexive, &seen));
    cr_assert_eq(report.seen.n, 0, "what it tells is that nothing was seen");
}

Test(executor_probe, an_address_that_drifts_has_all_measured_again_at_once)
{
    attach();
    run_to(200);
    classified();
    run_to(5000);
    classified();
    size_t before = n_sent;
    run_to(20000);
    cr_assert_eq(n_sent, before);
    seen.port += 100;
    run_to(PROBE_EVERY_US / 1000 + 3000);
    cr_assert(core.full_round, "with samples");
    cr_assert_geq(n_reports, 6, "three, the refresh, and the mapping and its filtering again");
    cr_assert_eq(report.seen.v[0].seen.port, seen.port);
    cr_assert(report.filter_asked);
}
