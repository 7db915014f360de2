/* probe_bed.c - see probe_bed.h. */
#include "tests/lib/probe_bed.h"
#include "lib/token.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

struct probe_bed probe_bed;

void probe_bed_open(void)
{
    uint8_t seed[32] = {1}, authority[64], key[32] = {9};
    struct executor_conf conf = {.local = addr_v4(10, 0, 0, 2, 5000), .n_samples = SAMPLES_MAX};

    cr_assert_geq(sodium_init(), 0);
    memset(&probe_bed, 0, sizeof probe_bed);
    probe_bed.hairpin = HAIRPIN_NONE;
    crypto_sign_seed_keypair(conf.authority, authority, seed);
    seed[0] = 2;
    crypto_sign_seed_keypair(probe_bed.prober.key, probe_bed.prober_secret, seed);
    cert_sign('p', probe_bed.prober.key, authority, probe_bed.prober.cert);
    probe_bed.prober.n_addrs = 4;
    for (uint8_t i = 0; i < 4; i++)
        probe_bed.prober.addrs[i] =
            addr_v4(203, 0, 113, (uint8_t)(10 + i / 2), (uint16_t)(3478 + i % 2));
    conf.fence = fence_of(&probe_bed.prober.addrs[0], 1);
    conf.homes[0] = probe_bed.prober.addrs[0];
    conf.homes[1] = probe_bed.prober.addrs[2];
    conf.n_homes = 2;
    memset(conf.secret, 3, sizeof conf.secret);
    crypto_scalarmult_base(conf.id.b, conf.secret);
    for (uint16_t s = 0; s < SAMPLES_MAX; s++)
        conf.sample_ports[s] = (uint16_t)(5001 + s);
    probe_bed.seen = addr_v4(198, 51, 100, 1, 5000);
    executor_init(&probe_bed.core, &conf, key);
    probe_bed.signs = true;
    probe_bed.rtt_ms = PROBE_BED_RTT_MS;
}

static void note(const struct output *o)
{
    if (o->kind == OUT_MSG && o->msg.type == MSG_reflex_report) {
        probe_bed.report = o->msg.reflex_report;
        probe_bed.report_ms = probe_bed.now_ms;
        probe_bed.n_reports++;
    }
    if (o->kind != OUT_DATAGRAM)
        return;
    struct probe_bed_sent *s = &probe_bed.sent[probe_bed.n_sent++];
    cr_assert_leq(probe_bed.n_sent, PROBE_BED_SENT_MAX);
    *s = (struct probe_bed_sent){.ms = probe_bed.now_ms, .sock = o->dgram.sock};
    while (s->to < PROBE_BED_SELF && !addr_eq(&probe_bed.prober.addrs[s->to], &o->dgram.dst))
        s->to++;
    if (s->to == PROBE_BED_SELF)
        cr_assert(addr_ip_eq(&o->dgram.dst, &probe_bed.seen));
    s->self = (uint16_t)(o->dgram.dst.port - probe_bed.seen.port);
    cr_assert(stun_parse(o->dgram.data, o->dgram.len, &s->m));
    s->change = s->m.change;
}

void probe_bed_step(struct input *in)
{
    in->now_us = probe_bed.now_ms * 1000;
    in->wall_ms = 1700000000000 + probe_bed.now_ms;
    executor_step(&probe_bed.core, in, &probe_bed.out);
    for (size_t i = 0; i < probe_bed.out.n; i++)
        note(&probe_bed.out.v[i]);
}

/* What one of our sockets sent to another one's outer address comes in, if the NAT is so. */
static void lead_back(struct probe_bed_sent *s)
{
    struct input in = {.kind = IN_DATAGRAM};
    uint8_t buf[STUN_MAX];

    s->answered = true;
    if (probe_bed.hairpin == HAIRPIN_NONE)
        return;
    in.dgram.data = buf;
    in.dgram.len = stun_encode(&s->m, buf);
    in.dgram.src =
        probe_bed.hairpin == HAIRPIN_EXTERNAL ? probe_bed.seen : probe_bed.core.conf.local;
    in.dgram.src.port = (uint16_t)(in.dgram.src.port + s->sock);
    in.dgram.sock = s->self;
    probe_bed_step(&in);
}

static void answer(struct probe_bed_sent *s)
{
    struct stun a = {.type = STUN_BINDING_RESPONSE, .mapped = probe_bed.seen};
    struct token t = {.addr = probe_bed.seen,
                      .peer = probe_bed.core.conf.id,
                      .time_ms = 1700000000000 + probe_bed.now_ms};
    struct input in = {.kind = IN_DATAGRAM};
    unsigned from = s->to;
    uint8_t buf[STUN_MAX];

    s->answered = true;
    if (s->change == STUN_CHANGE_PORT)
        from ^= 1;
    else if (s->change != 0)
        from ^= 3;
    bool open = s->sock != 0 && (s->sock == probe_bed.lucky || s->sock == probe_bed.lucky_too);
    if ((probe_bed.deaf & 1u << from) ||
        (s->change == STUN_CHANGE_PORT && !probe_bed.lets_in_port && !open) ||
        (s->change > STUN_CHANGE_PORT && !probe_bed.lets_in_ip && !open))
        return;
    memcpy(a.txid, s->m.txid, sizeof a.txid);
    a.mapped.port = (uint16_t)(probe_bed.seen.port + s->sock);
    if (s->m.has_peer &&
        (probe_bed.only_cookies || sodium_is_zero(s->m.cookie, sizeof s->m.cookie))) {
        a.has_cookie = true;
        memset(a.cookie, 5, sizeof a.cookie);
    } else if (s->m.has_peer && probe_bed.signs) {
        t.addr = a.mapped;
        token_sign(&t, probe_bed.prober_secret, &a.token);
    }
    in.dgram.data = buf;
    in.dgram.len = stun_encode(&a, buf);
    in.dgram.src = probe_bed.prober.addrs[from];
    in.dgram.sock = s->sock;
    probe_bed_step(&in);
}

void probe_bed_run_to(int64_t ms)
{
    for (;;) {
        struct probe_bed_sent *next = NULL;
        for (size_t i = 0; i < probe_bed.n_sent && !next; i++)
            if (!probe_bed.sent[i].answered)
                next = &probe_bed.sent[i];
        int64_t tick_ms = (executor_deadline(&probe_bed.core) + 999) / 1000;
        if (executor_deadline(&probe_bed.core) == NEVER)
            tick_ms = INT64_MAX;
        if (next && next->ms + probe_bed.rtt_ms <= ms && next->ms + probe_bed.rtt_ms <= tick_ms) {
            probe_bed.now_ms = next->ms + probe_bed.rtt_ms > probe_bed.now_ms
                                   ? next->ms + probe_bed.rtt_ms
                                   : probe_bed.now_ms;
            next->to == PROBE_BED_SELF ? lead_back(next) : answer(next);
        } else if (tick_ms <= ms) {
            probe_bed.now_ms = tick_ms > probe_bed.now_ms ? tick_ms : probe_bed.now_ms;
            probe_bed_step(&(struct input){.kind = IN_TICK});
        } else {
            break;
        }
    }
    probe_bed.now_ms = ms;
}

void probe_bed_attach(void)
{
    struct msg m = {.type = MSG_attached};
    struct input in = {
        .kind = IN_LINK, .link = {true, false}
    };

    probe_bed_step(&in);
    m.attached = (struct msg_attached){
        .refresh_s = 20, .probers = {1, {probe_bed.prober}}
    };
    in = (struct input){.kind = IN_MSG};
    in.msg = &m;
    in.from = (struct sender){.service = SERVICE_coordinator};
    probe_bed_step(&in);
}

void probe_bed_classified_as(const struct profile *p)
{
    struct msg m = {.type = MSG_nat_profile};
    struct input in = {.kind = IN_MSG};

    m.nat_profile = (struct msg_nat_profile){
        .serial = probe_bed.core.probe_serial, .reflexive = probe_bed.seen, .profile = *p};
    in.msg = &m;
    in.from = (struct sender){.service = SERVICE_coordinator};
    probe_bed_step(&in);
}

void probe_bed_classified(void) { probe_bed_classified_as(&(struct profile){.mapping = NAT_EI}); }

const char *probe_bed_times(uint16_t sock, unsigned to, uint32_t change)
{
    static char text[512];
    size_t n = 0;

    text[0] = '\0';
    for (size_t i = 0; i < probe_bed.n_sent; i++)
        if (probe_bed.sent[i].sock == sock && probe_bed.sent[i].to == to &&
            probe_bed.sent[i].change == change)
            n += (size_t)snprintf(text + n, sizeof text - n, "%ld ", (long)probe_bed.sent[i].ms);
    return text;
}

bool probe_bed_measuring(void)
{
    return executor_filter_pending(&probe_bed.core) || executor_hairpin_pending(&probe_bed.core);
}
