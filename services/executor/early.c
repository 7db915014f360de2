/*
 * early.c - what becomes of a packet that comes too early, and how one is opened for without sending any.
 *
 * A NAT clashes when what comes in unasked owns its port towards the sender, as in Linux without an input
 * filter: what its own side then sends to that sender leaves by another port than the sender was told.  Seen
 * from outside: a socket that has asked one prober address alone has two others send to it in vain, and then
 * asks these two, and one that has sent nothing.  When that one sees the port that the first one saw, and one
 * of the two doesn't, their packets have taken it.
 *
 * Such a peer is spared by packets whose TTL ends between the own NATs and its own.  How large that is, is
 * measured as it is used: a socket sends to a prober address with so many hops, and has the first one make it
 * answer.  What comes in has an open door; and as long as the packet itself gets no answer it did not arrive.
 * A NAT whose mapping ends with the error that comes back keeps its door shut, and is known by its other port.
 * Where each destination sees another port the first address can't make the second one answer: see hops.c.
 * The sockets are of this test alone: those of others have sent to one prober address only, and must.  Their ports
 * show as well as the samples' how the NAT chooses them.
 *
 * Nobody else is told of a TTL: one is looked for when all else is known, or a session waits, where something is
 * kept out.  Where socket 0 is seen at two addresses the clash can't be seen, and is not looked for.
 *
 * What is missing may be lost, so no word rests on few packets: that nothing took a port on eight that asked for it,
 * or seven; that a TTL falls short, and that its error ends no mapping, on LOW_AGAIN and one more.
 */
#include "services/executor/internal.h"

#include <string.h>

enum { FAR = EARLY_FAR, FIRST_TTL = 2 };
enum { SILENCE_US = 300 * 1000 }; /* or two round trips, after the last try */
enum { LOW_AGAIN = 5 };           /* an error may get lost, and a mapping outlive that */

/* What a socket asks, and by the number that makes its transaction ids differ. */
enum ask { ASK_HERE, ASK_LOW, ASK_IN, ASK_IN_PORT, ASK_OUT };

/* In this order: a mapping that had to be another one may be used for others that are made after it. */
static const uint8_t outs[FAR + 1] = {0, 2, 1, 3};
static const uint32_t retry_us[EARLY_TRIES - 1] = {100000, 150000, 250000};

/* What is open then is closed with the next tick, which is due at once. */
void executor_early_reset(struct executor *x)
{
    bool open = x->early.open;

    x->early = (struct early_test){.open = open, .next_us = open ? x->now_us : NEVER};
}

/* With the round that measures everything, so that it is known as soon as that. */
void executor_early_start(struct executor *x)
{
    const struct addr *server = executor_filter_server(x);

    executor_early_reset(x);
    if (!server)
        return;
    memcpy(x->early.server, server, sizeof x->early.server);
    x->early.state = EARLY_DUE;
    x->early.tried = FIRST_TTL - 1; /* ends in the first NAT: others open as much */
    x->early.next_us = x->now_us;
    x->early.opened = x->opened + x->opened_asking;
}

static void send(struct executor *x, const struct early_socket *s, enum ask ask, size_t to,
                 struct outputs *out)
{
    uint8_t txid[STUN_TXID_BYTES];
    uint16_t sock = (uint16_t)(EARLY_FIRST + (s - x->early.from));

    memcpy(txid, s->txid, sizeof txid);
    txid[0] = (uint8_t)(txid[0] ^ (4 * ask + to));
    struct stun m = stun_request(txid);
    m.has_cookie = true; /* one of zeroes asks for one */
    if (ask == ASK_IN || ask == ASK_IN_PORT) {
        m.has_change = true;
        m.change = STUN_CHANGE_PORT | (ask == ASK_IN ? (uint32_t)STUN_CHANGE_IP : 0);
        memcpy(m.cookie, s->cookie, sizeof m.cookie);
    } else {
        m.has_peer = true;
        m.peer = x->conf.id;
    }
    x->early.cut |= !x->early.ways && !executor_may_measure(x, MEASURE_REST);
    if ((x->early.cut && !x->early.ways) || !executor_may_knock(x, &x->early.server[to]))
        return;
    struct output *o = executor_datagram(out, sock, &x->early.server[to]);
    o->dgram.len = (uint16_t)stun_encode(&m, o->dgram.data);
    o->dgram.ttl = ask == ASK_LOW ? s->ttl : 0;
}

/* Which addresses a socket asks at the end: the control the three others, or where hops.c begins, the rest the first one again. */
static bool wants(const struct executor *x, const struct early_socket *s, size_t to)
{
    if (s != &x->early.from[EARLY_CONTROL])
        return to == 0 && s->out[to].len == 0;
    return s->out[to].len == 0 && (executor_moves(x) ? to == FAR : to > 0);
}

/* How many more mappings the own NAT has for it, at least: what others take is told from that. */
static uint32_t mappings(const struct executor *x, const struct early_socket *s)
{
    bool moves = x->profile.mapping == NAT_APD || x->profile.mapping == NAT_AD;

    switch (s->phase) {
    case EARLY_HERE: return 1;
    case EARLY_IN: return s->ttl > 0 && moves;
    case EARLY_OUT: return s->ttl == 0 && moves;
    default: return 0;
    }
}

static void try(struct executor *x, struct early_socket *s, struct outputs *out)
{
    int64_t wait_us = s->tries < EARLY_TRIES - 1   ? (int64_t)retry_us[s->tries]
                      : 2 * s->rtt_us > SILENCE_US ? 2 * s->rtt_us
                                                   : (int64_t)SILENCE_US;

    if (s->phase == EARLY_HERE)
        send(x, s, ASK_HERE, 0, out);
    if (s->phase == EARLY_IN && s->ttl > 0)
        send(x, s, ASK_LOW, FAR, out);
    if (s->phase == EARLY_IN)
        send(x, s, ASK_IN, 0, out);
    if (s->phase == EARLY_IN && s->ttl == 0) /* what is let in takes no port */
        send(x, s, s->heard_port ? ASK_IN : ASK_IN_PORT, 0, out);
    bool again = s->phase == EARLY_OUT && s->ttl > 0 && s->tries == 0; /* its error comes first */
    if (again && wait_us < s->rtt_us)
        wait_us = s->rtt_us;
    for (size_t i = 0; i < LOW_AGAIN && again; i++)
        send(x, s, ASK_LOW, FAR, out);
    for (size_t i = 0; i <= FAR && s->phase == EARLY_OUT && !again; i++)
        if (wants(x, s, outs[i]))
            send(x, s, ASK_OUT, outs[i], out);
    if (s->phase == EARLY_WAY)
        send(x, s, ASK_LOW, FAR, out);
    if (s->tries == 0) {
        s->began_us = x->now_us;
        x->opened_asking += mappings(x, s);
    }
    s->next_us = x->now_us + wait_us;
    s->tries++;
}

void executor_early_enter(struct executor *x, struct early_socket *s, enum early_phase to,
                          struct outputs *out)
{
    s->phase = to;
    s->asked = s->asked || to == EARLY_IN;
    s->tries = 0;
    s->next_us = NEVER;
    if (to != EARLY_DONE)
        try(x, s, out);
}

static void close_all(struct executor *x, struct outputs *out)
{
    if (x->early.open)
        executor_socket(SOCKET_CLOSE, EARLY_FIRST, EARLY_FIRST + EARLY_SOCKETS - 1, out);
    x->early.open = false;
}

static void begin(struct executor *x, size_t i, uint8_t ttl, struct outputs *out)
{
    struct early_socket *s = &x->early.from[i];
    uint16_t sock = (uint16_t)(EARLY_FIRST + i);

    *s = (struct early_socket){.ttl = ttl};
    rng_bytes(&x->rng, s->txid, sizeof s->txid);
    executor_socket(SOCKET_CLOSE, sock, sock, out);
    executor_socket(SOCKET_OPEN, sock, sock, out);
    x->early.open = true;
    executor_early_enter(x, s, EARLY_HERE, out);
}

/* With the next TTLs. */
static void next_turn(struct executor *x, struct outputs *out)
{
    for (size_t i = EARLY_CONTROL + 1; i < EARLY_SOCKETS; i++)
        begin(x, i, ++x->early.tried, out);
}

/* With one TTL, which mostly does, and a socket that has shown its port with the round. */
static void first_turn(struct executor *x, struct outputs *out)
{
    struct early_socket *s = &x->early.from[EARLY_CONTROL + 1];

    x->early.tried = FIRST_TTL;
    if (s->seen.len != 0)
        executor_early_enter(x, s, EARLY_IN, out);
    else if (s->phase == EARLY_DONE)
        begin(x, EARLY_CONTROL + 1, FIRST_TTL, out);
}

/* ---- what it shows -------------------------------------------------------------------------------------- */

static void control_done(struct executor *x, struct outputs *out)
{
    if (x->early.told)
        return;
    x->early.told = true;
    x->early.clash = executor_clash_seen(x);
    if (executor_clash(x) != CLASH_UNKNOWN && x->filter.state == FILTER_KNOWN && !x->probing &&
        x->told) /* else the report that is to come says it */
        executor_probe_report(x, out);
}

static void conclude(struct executor *x, struct outputs *out)
{
    struct early_test *e = &x->early;

    if (executor_restricts(x) && !e->ways)
        return;
    if (executor_restricts(x) && executor_keeps(x)) {
        bool over = executor_hops_end(e);
        if (e->ttl == 0 && !over) {
            next_turn(x, out);
            return;
        }
    } else if (executor_restricts(x) &&
               (executor_moves(x) || e->from[EARLY_CONTROL].out[2].len != 0) &&
               executor_hops_next(x, out)) {
        return;
    }
    if (!executor_restricts(x))
        e->ttl = 0, e->kills = false;
    if (e->kills)
        e->ttl = 0;
    e->state = EARLY_KNOWN;
    close_all(x, out);
}

static void look(struct executor *x, struct outputs *out)
{
    struct early_socket *control = &x->early.from[EARLY_CONTROL];

    x->early.ways = true;
    if (executor_moves(x)) /* seen anew, for hops.c */
        control->out[FAR].len = 0;
    if (executor_restricts(x) && executor_moves(x))
        executor_early_enter(x, control, EARLY_OUT, out);
    else if (executor_restricts(x))
        first_turn(x, out);
    else if (control->phase == EARLY_DONE)
        conclude(x, out);
}

static void done(struct executor *x, struct early_socket *s, struct outputs *out)
{
    executor_early_enter(x, s, EARLY_DONE, out);
    bool opens = s->heard && !s->far && addr_eq(&s->out[0], &s->seen);
    if (s == &x->early.from[EARLY_CONTROL])
        control_done(x, out);
    else if (opens && (x->early.ttl == 0 || s->ttl < x->early.ttl))
        x->early.ttl = s->ttl;
    else if (!opens && x->early.ttl == s->ttl)
        x->early.ttl = 0;
    for (size_t i = 0; i < EARLY_SOCKETS; i++)
        if (x->early.from[i].phase != EARLY_DONE)
            return;
    conclude(x, out);
}

/* ---- time and answers ----------------------------------------------------------------------------------- */

static void schedule(struct early_test *e)
{
    e->next_us = NEVER;
    for (size_t i = 0; i < EARLY_SOCKETS && e->state == EARLY_ASKING; i++)
        if (e->from[i].phase != EARLY_DONE && e->from[i].next_us < e->next_us)
            e->next_us = e->from[i].next_us;
}

/* Of a TTL: the packets arrive, nothing needs it or can come of it, or fewer hops have opened as well and are looked at already. */
static bool is_no_use(const struct executor *x, const struct early_socket *s)
{
    bool fewer = false;

    if (s == &x->early.from[EARLY_CONTROL])
        return false;
    for (const struct early_socket *t = &x->early.from[EARLY_CONTROL + 1]; t < s; t++)
        fewer = fewer || t->phase == EARLY_OUT;
    return s->far || executor_lets_in(x) || (s->phase != EARLY_OUT && executor_moves(x)) ||
           (s->phase == EARLY_OUT && fewer);
}

static void silent(struct executor *x, struct early_socket *s, struct outputs *out)
{
    if (s->phase == EARLY_IN)
        executor_early_enter(x, s, EARLY_OUT, out);
    else
        done(x, s, out);
}

void executor_early_tick(struct executor *x, struct outputs *out)
{
    struct early_test *e = &x->early;

    if (executor_hops_due(x))
        look(x, out);
    else if (e->next_us > x->now_us)
        return;
    if (e->state == EARLY_OFF)
        close_all(x, out);
    if (e->state == EARLY_DUE) {
        e->state = EARLY_ASKING;
        begin(x, EARLY_CONTROL, 0, out);
        next_turn(x, out);
    }
    for (size_t i = 0; i < EARLY_SOCKETS && e->state == EARLY_ASKING; i++) {
        struct early_socket *s = &e->from[i];
        if (s->phase == EARLY_DONE || s->next_us > x->now_us)
            continue;
        if (is_no_use(x, s))
            done(x, s, out);
        else if (s->tries < EARLY_TRIES)
            try(x, s, out);
        else
            silent(x, s, out);
    }
    schedule(e);
}

/* Is this the answer to that question, from where it should come? */
static bool answers(const struct executor *x, const struct early_socket *s, const struct input *in,
                    const struct stun *m, enum ask ask, size_t to, size_t from)
{
    return m->txid[0] == (uint8_t)(s->txid[0] ^ (4 * ask + to)) &&
           addr_eq(&in->dgram.src, &x->early.server[from]);
}

static void keep_first(struct early_test *e, size_t i, const struct input *in)
{
    int64_t rtt_ms = e->from[i].rtt_us / 1000;

    e->first[i].seen = e->from[i].seen;
    e->first[i].local_port = in->dgram.local_port;
    e->first[i].rtt_ms = (uint16_t)(rtt_ms < UINT16_MAX ? rtt_ms : UINT16_MAX);
}

static void on_here(struct executor *x, struct early_socket *s, const struct input *in,
                    const struct stun *m, struct outputs *out)
{
    s->seen = m->mapped;
    s->rtt_us = x->now_us - s->began_us;
    if (!x->early.ways)
        keep_first(&x->early, (size_t)(s - x->early.from), in);
    memcpy(s->cookie, m->cookie, sizeof s->cookie);
    bool control = s == &x->early.from[EARLY_CONTROL];
    if (control ? !executor_moves(x) : x->early.ways && s->ttl <= x->early.tried)
        executor_early_enter(x, s, EARLY_IN, out);
    else
        done(x, s, out);
}

static void on_in(struct executor *x, struct early_socket *s, struct outputs *out)
{
    s->heard = true;
    if (s == &x->early.from[EARLY_CONTROL]) {
        done(x, s, out);
        return;
    }
    if (!s->far && x->early.ttl == 0 && executor_restricts(x))
        x->early.ttl = s->ttl; /* until more is known: who has just come may call at once */
    s->phase = EARLY_OUT;
    if (!is_no_use(x, s))
        executor_early_enter(x, s, EARLY_OUT, out);
}

static void on_out(struct executor *x, struct early_socket *s, size_t to, const struct stun *m,
                   struct outputs *out)
{
    s->out[to] = m->mapped;
    for (size_t i = 0; i <= FAR; i++)
        if (wants(x, s, i))
            return;
    done(x, s, out);
}

bool executor_early_datagram(struct executor *x, const struct input *in, const struct stun *m,
                             struct outputs *out)
{
    struct early_test *e = &x->early;
    size_t i = (size_t)(in->dgram.sock - EARLY_FIRST);
    struct early_socket *s = &e->from[i < EARLY_SOCKETS ? i : 0];

    if (in->dgram.sock < EARLY_FIRST || i >= EARLY_SOCKETS || e->state != EARLY_ASKING ||
        m->type != STUN_BINDING_RESPONSE || m->mapped.len == 0 ||
        memcmp(m->txid + 1, s->txid + 1, sizeof s->txid - 1) != 0)
        return false;
    if (s->phase == EARLY_HERE && m->has_cookie && answers(x, s, in, m, ASK_HERE, 0, 0))
        on_here(x, s, in, m, out);
    s->far = s->far || answers(x, s, in, m, ASK_LOW, FAR, FAR);
    if (s->phase == EARLY_IN && answers(x, s, in, m, ASK_IN, 0, FAR))
        on_in(x, s, out);
    if (s->phase != EARLY_DONE && ((s->phase == EARLY_WAY && s->far) || is_no_use(x, s)))
        done(x, s, out);
    s->heard_port = s->heard_port || answers(x, s, in, m, ASK_IN_PORT, 0, 1);
    for (size_t to = 0; to <= FAR && s->phase == EARLY_OUT; to++)
        if (wants(x, s, to) && answers(x, s, in, m, ASK_OUT, to, to))
            on_out(x, s, to, m, out);
    schedule(e);
    return true;
}
