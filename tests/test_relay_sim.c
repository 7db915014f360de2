/*
 * test_relay_sim.c - the relay's core against a bad network, bad peers and its own death.
 *
 * Two peers bind, keep and send to each other while datagrams are lost, doubled and reordered, their
 * NATs rebind and the relay restarts empty.  Whatever happens:
 *   1. once the network is only as bad as its loss, both sides become ready and data flows both ways;
 *   2. the relay sends only to addresses that a peer has used, and forwards only what the other sent;
 *   3. its tables agree with each other and stay bounded.
 * On failure the assertion prints the seed; run it alone with SEED=n.
 */
#include "tests/lib/relay_bed.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { INFLIGHT_MAX = 4096, TROUBLE_MS = 40000, HORIZON_MS = 80000, STEP_MS = 10 };
enum { RETRY_MS = 500, KEEP_MS = 2000, DATA_MS = 400, SESSION = 7 };

struct peer {
    char address; /* changes when its NAT rebinds */
    uint8_t side, nonce[RELAY_NONCE];
    bool bound, ready;
    int64_t bind_ms, keep_ms, data_ms;
    unsigned received, sent;
    struct ticket ticket;
};

struct flight {
    int64_t at_ms;
    bool to_relay;
    char from; /* the address it was sent from; or, from the relay, to */
    size_t len;
    uint8_t data[256];
};

static struct relay_bed b;
static struct peer peers[2];
static struct flight inflight[INFLIGHT_MAX];
static size_t n_inflight;
static unsigned loss_pct, seed;
static char next_address; /* 'A' up to here have been used */

TestSuite(relay_sim, .timeout = 120);

static uint64_t below(uint64_t n) { return rng_below(&b.rng, n); }

static void send(bool to_relay, char address, const uint8_t *data, size_t len)
{
    unsigned copies = below(100) < loss_pct ? 0 : below(5) == 0 ? 2 : 1;

    for (; copies > 0; copies--) {
        cr_assert(n_inflight < INFLIGHT_MAX && len <= sizeof inflight[0].data);
        struct flight *f = &inflight[n_inflight++];
        *f = (struct flight){b.now_ms + (int64_t)below(300), to_relay, address, len, {0}};
        memcpy(f->data, data, len);
    }
}

/* ---- a peer --------------------------------------------------------------------------------------- */

static struct path_id end_of(unsigned side)
{
    struct sid sid = relay_bed_sid(SESSION);

    return path_id(&sid, side);
}

static void peer_control(struct peer *p, uint8_t op, const uint8_t *cookie)
{
    struct relay_control c = {.op = op, .path = end_of(p->side)};
    uint8_t wire[RELAY_CONTROL_MAX];

    memcpy(c.nonce, p->nonce, sizeof c.nonce);
    if (op != RELAY_KEEP)
        relay_bed_seal(&b, &p->ticket, c.ticket);
    if (cookie)
        memcpy(c.cookie, cookie, sizeof c.cookie);
    send(true, p->address, wire, relay_encode(&c, wire));
}

static void peer_data(struct peer *p)
{
    uint8_t wire[DATA_OVERHEAD] = {PACKET_DATA};
    struct path_id to = end_of(!p->side);

    memcpy(wire + 1, to.b, sizeof to.b);
    wire[9] = p->side; /* who sent it, so that an echo would be noticed */
    p->sent++;
    send(true, p->address, wire, sizeof wire);
}

static void peer_run(struct peer *p)
{
    if (!p->bound && b.now_ms >= p->bind_ms) {
        p->bind_ms = b.now_ms + RETRY_MS;
        peer_control(p, RELAY_BIND, NULL);
    }
    if (p->bound && b.now_ms >= p->keep_ms) {
        p->keep_ms = b.now_ms + KEEP_MS;
        peer_control(p, RELAY_KEEP, NULL);
    }
    if (p->ready && b.now_ms >= p->data_ms) {
        p->data_ms = b.now_ms + DATA_MS;
        peer_data(p);
    }
}

static void peer_receive(struct peer *p, const struct flight *f)
{
    struct relay_control c;
    struct path_id own = end_of(p->side);

    if (!relay_parse(f->data, f->len, &c)) {
        cr_assert(f->len == DATA_OVERHEAD && memcmp(f->data + 1, own.b, sizeof own.b) == 0 &&
                      f->data[9] == !p->side,
                  "seed %u: side %u got what was not for it", seed, p->side);
        p->received++;
        return;
    }
    bool ours = memcmp(c.nonce, p->nonce, sizeof c.nonce) == 0;
    if (c.op == RELAY_CHALLENGE && ours && !p->bound)
        peer_control(p, RELAY_PROVE, c.cookie);
    if ((c.op == RELAY_BOUND && ours) || c.op == RELAY_KEPT) {
        cr_assert_leq(c.status, RELAY_READY, "seed %u", seed);
        p->bound = true;
        p->ready = c.status == RELAY_READY;
    }
    if ((c.op == RELAY_UNKNOWN || c.op == RELAY_AGAIN) && p->bound) {
        p->bound = p->ready = false;
        p->bind_ms = b.now_ms;
        rng_bytes(&b.rng, p->nonce, sizeof p->nonce);
        if (c.op == RELAY_AGAIN) {
            p->bind_ms += RETRY_MS;
            memcpy(p->nonce, c.path.b, sizeof p->nonce);
            peer_control(p, RELAY_PROVE, c.cookie);
        }
    }
}

/* ---- the network ---------------------------------------------------------------------------------- */

static void take_outputs(void)
{
    for (size_t i = 0; i < b.out.n; i++) {
        const struct output *o = &b.out.v[i];
        if (o->kind != OUT_DATAGRAM)
            continue;
        char to = (char)o->dgram.dst.ip[3];
        struct addr usual = relay_bed_peer(to);
        cr_assert(addr_eq(&usual, &o->dgram.dst) && to >= 'A' && to < next_address,
                  "seed %u: sent to an address that nobody used", seed);
        send(false, to, o->dgram.data, o->dgram.len);
    }
    cr_assert(b.r.by_path.n == 2 * b.r.by_sid.n && b.r.by_sid.n <= 1, "seed %u", seed);
    relay_bed_forget(&b);
}

static void deliver(const struct flight *f)
{
    if (f->to_relay) {
        relay_bed_datagram(&b, f->from, f->data, f->len);
        take_outputs();
        return;
    }
    for (unsigned i = 0; i < 2; i++)
        if (peers[i].address == f->from) /* else that mapping is gone */
            peer_receive(&peers[i], f);
}

static void deliver_due(void)
{
    for (size_t i = 0; i < n_inflight;)
        if (inflight[i].at_ms <= b.now_ms) {
            struct flight f = inflight[i];
            inflight[i] = inflight[--n_inflight];
            deliver(&f);
        } else {
            i++;
        }
}

/* One life; returns a fingerprint of all that happened. */
static uint64_t run(unsigned with_seed)
{
    uint64_t hash = 0;
    unsigned before[2] = {0, 0};

    seed = with_seed;
    relay_bed_open(&b, 2, seed);
    loss_pct = seed % 50;
    n_inflight = 0;
    for (uint8_t i = 0; i < 2; i++)
        peers[i] = (struct peer){
            .address = (char)('A' + i),
            .side = i,
            .nonce = {0, i},
            .bind_ms = (int64_t)below(3000),
            .ticket = relay_bed_ticket(&b, SESSION, i)
        };
    next_address = 'C';
    for (; b.now_ms < HORIZON_MS; b.now_ms += STEP_MS) {
        if (b.now_ms < TROUBLE_MS && below(1000) == 0)
            relay_bed_restart(&b, below(1u << 30));
        if (b.now_ms < TROUBLE_MS && below(1000) == 0 && next_address <= 'Z')
            peers[below(2)].address = next_address++;
        for (unsigned i = 0; i < 2; i++)
            peer_run(&peers[i]);
        deliver_due();
        if (relay_deadline(&b.r) <= b.now_ms * 1000) {
            relay_bed_tick(&b);
            take_outputs();
        }
        if (b.now_ms == HORIZON_MS - 20000)
            for (unsigned i = 0; i < 2; i++)
                before[i] = peers[i].received;
        hash = hash * 31 + n_inflight + peers[0].received * 7 + peers[1].received;
    }
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(peers[i].bound && peers[i].ready, "seed %u: side %u is not ready", seed, i);
        cr_assert_gt(peers[i].received, before[i] + 5, "seed %u: no data to side %u", seed, i);
    }
    relay_bed_close(&b);
    return hash;
}

Test(relay_sim, heals_whatever_the_seed)
{
    const char *only = getenv("SEED");

    if (only)
        run((unsigned)atoi(only));
    for (unsigned s = 1; !only && s <= 200; s++)
        run(s);
}

Test(relay_sim, same_seed_same_run)
{
    uint64_t a = run(42), again = run(42), other = run(43);

    cr_assert_eq(a, again);
    cr_assert_neq(a, other);
}

/* ---- hostile bytes -------------------------------------------------------------------------------- */

static struct relay_control proof;

/* A peer X with a good cookie, so that every forged ticket really is opened. */
static void get_cookie(void)
{
    struct relay_control c = {.op = RELAY_BIND, .nonce = {9}}, answer;

    relay_bed_control(&b, 'X', &c);
    cr_assert(relay_parse(b.out.v[0].dgram.data, b.out.v[0].dgram.len, &answer));
    proof = answer;
    proof.op = RELAY_PROVE;
}

Test(relay_sim, accepts_none_of_ten_thousand_forged_tickets)
{
    uint8_t good[TICKET_BYTES];
    struct ticket t;

    relay_bed_open(&b, 16, 1);
    t = relay_bed_ticket(&b, SESSION, 0);
    relay_bed_seal(&b, &t, good);
    get_cookie();
    for (unsigned i = 0; i < 10000; i++) {
        if (i % 2 == 0) {
            memcpy(proof.ticket, good, sizeof good);
            uint8_t flip = (uint8_t)(1 + below(255));
            proof.ticket[below(sizeof good)] ^= flip;
        } else {
            rng_bytes(&b.rng, proof.ticket, sizeof proof.ticket);
            proof.ticket[0] = 1;
        }
        relay_bed_control(&b, 'X', &proof);
    }
    cr_assert_eq(b.r.n.bad_ticket, 10000);
    cr_assert(b.r.n.bound == 0 && b.r.by_sid.n == 0);
    memcpy(proof.ticket, good, sizeof good);
    relay_bed_control(&b, 'X', &proof);
    cr_assert(b.r.n.bound == 1 && b.r.by_sid.n == 1);
    relay_bed_close(&b);
}

/* Random bytes, or a packet that was right before some of it was changed. */
static size_t garbage(uint8_t wire[static DATAGRAM_MAX])
{
    struct relay_control c = {.op = (uint8_t)(1 + below(7)), .path = end_of((unsigned)below(2))};
    size_t len = (size_t)below(DATAGRAM_MAX + 1);

    rng_bytes(&b.rng, wire, DATAGRAM_MAX);
    switch (below(4)) {
    case 0: return len;
    case 1: wire[0] = (uint8_t)(PACKET_RELAY + below(8)); return len % 200;
    case 2:
        wire[0] = (uint8_t)(PACKET_PUNCH + below(3));
        memcpy(wire + 1, c.path.b, sizeof c.path.b);
        return wire[0] == PACKET_DATA ? len : PUNCH_BYTES;
    default:
        memcpy(c.ticket, wire, sizeof c.ticket);
        len = relay_encode(&c, wire);
        if (below(2) == 0)
            wire[below(len)] ^= (uint8_t)(1u << below(8));
        return len;
    }
}

Test(relay_sim, survives_a_hundred_thousand_datagrams_of_garbage)
{
    static uint8_t wire[DATAGRAM_MAX];
    struct ticket t0, t1;

    relay_bed_open(&b, 16, 1);
    t0 = relay_bed_ticket(&b, SESSION, 0), t1 = relay_bed_ticket(&b, SESSION, 1);
    t0.expires_ms = t1.expires_ms = b.wall_ms + 100000000;
    relay_bed_bind(&b, 'A', &t0, 1), relay_bed_bind(&b, 'B', &t1, 2);
    for (unsigned i = 0; i < 100000; i++) {
        char from = (char)('A' + below(26));
        size_t len = garbage(wire);
        uint64_t forwarded = b.r.n.forwarded_packets;
        relay_bed_datagram(&b, from, wire, len);
        relay_bed_forget(&b);
        cr_assert_leq(b.out.n, 1);
        cr_assert(b.out.n == 0 || b.out.v[0].dgram.len <= len + (from < 'C'), "datagram %u", i);
        cr_assert(b.r.n.forwarded_packets == forwarded || from < 'C');
        if (i % 100 == 0) {
            relay_bed_run(&b, b.now_ms + 1000);
            relay_bed_keep(&b, 'A', SESSION, 0), relay_bed_keep(&b, 'B', SESSION, 1);
            relay_bed_forget(&b);
        }
    }
    cr_assert(b.r.by_sid.n == 1 && b.r.by_path.n == 2 && b.r.due.n == 1);
    relay_bed_data(&b, 'A', SESSION, 1, 50);
    relay_bed_data(&b, 'B', SESSION, 0, 50);
    relay_bed_expect(&b, "[1000000] B: 0b 50 bytes\n[1000000] A: 0b 50 bytes\n");
    relay_bed_close(&b);
}

/* Far more sessions than there is room for come and go; the table stays whole. */
Test(relay_sim, a_full_table_empties_and_fills_again)
{
    relay_bed_open(&b, 64, 1);
    for (unsigned i = 0; i < 5000; i++) {
        struct ticket t = relay_bed_ticket(&b, (uint8_t)below(256), (uint8_t)below(2));
        t.expires_ms = b.wall_ms + b.now_ms + 1 + (int64_t)below(20000);
        relay_bed_bind(&b, (char)('A' + below(26)), &t, (uint8_t)i);
        relay_bed_run(&b, b.now_ms + (int64_t)below(100));
        relay_bed_forget(&b);
        cr_assert(b.r.by_path.n == 2 * b.r.by_sid.n && b.r.due.n == b.r.by_sid.n);
    }
    cr_assert_gt(b.r.n.refused_full, 100);
    cr_assert_gt(b.r.n.sessions_ended, 100);
    relay_bed_run(&b, b.now_ms + 120000);
    cr_assert(b.r.by_sid.n == 0 && b.r.by_path.n == 0 && b.r.due.n == 0);
    cr_assert_eq(b.r.n.sessions_opened, b.r.n.sessions_ended);
    relay_bed_close(&b);
}
