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
 * Where each destination sees another port the first address can't make the second one answer: there the way to the
 * prober is measured, by halves, and one hop less is used.  It lies behind the own NATs, and peers are farther.
 * The sockets are of this test alone: those of others have sent to one prober address only, and must.
 */
#include "services/executor/internal.h"

#include <string.h>

enum { CONTROL, PER_TURN = EARLY_SOCKETS - 1 }; /* the first socket; the others try a TTL each */
enum { FAR = 3 };                               /* of the prober's addresses: another ip and port */
enum { SILENCE_US = 300 * 1000 };               /* or two round trips, after the last try */
enum { LOW_AGAIN = 2 }; /* an error may get lost, and a mapping outlive that */

/* What a socket asks, and by the number that makes its transaction ids differ. */
enum ask { ASK_HERE, ASK_LOW, ASK_IN, ASK_IN_PORT, ASK_OUT };

/* In this order: a mapping that had to be another one may be used for others that are made after it. */
static const uint8_t outs[FAR + 1] = {0, 2, 1, 3};
static const uint32_t retry_us[EARLY_TRIES - 1] = {100000, 150000, 250000};

void executor_early_reset(struct executor *x) { x->early = (struct early_test){.next_us = NEVER}; }

/* With the round that measures everything, so that it is known as soon as that. */
void executor_early_start(struct executor *x)
{
    const struct addr *server = executor_filter_server(x);

    executor_early_reset(x);
    if (!server)
        return;
    memcpy(x->early.server, server, sizeof x->early.server);
    x->early.state = EARLY_DUE;
    x->early.tried = 1; /* which ends in the first NAT: another one always opens as much */
    x->early.next_us = x->now_us;
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
    if (!executor_may_knock(x, &x->early.server[to]))
        return;
    struct output *o = executor_datagram(out, sock, &x->early.server[to]);
    o->dgram.len = (uint16_t)stun_encode(&m, o->dgram.data);
    o->dgram.ttl = ask == ASK_LOW ? s->ttl : 0;
}

/* Which addresses a socket asks at the end: the control the three others, the rest the first one again. */
static bool wants(const struct executor *x, const struct early_socket *s, size_t to)
{
    return s->out[to].len == 0 && (s == &x->early.from[CONTROL] ? to > 0 : to == 0);
}

/* How many more mappings the own NAT has for it, at least: what others take is told from that. */
static uint32_t mappings(const struct executor *x, const struct early_socket *s)
{
    bool apd = x->profile.mapping == NAT_APD, moves = apd || x->profile.mapping == NAT_AD;

    switch (s->phase) {
    case EARLY_HERE:
    case EARLY_WAY: return 1;
    case EARLY_IN: return s->ttl > 0 && moves;
    case EARLY_OUT: return s->ttl > 0 ? 0 : apd ? FAR : moves;
    default: return 0;
    }
}

static void try(struct executor *x, struct early_socket *s, struct outputs *out)
{
    int64_t silence_us = 2 * s->rtt_us;

    if (s->phase == EARLY_HERE)
        send(x, s, ASK_HERE, 0, out);
    if (s->phase == EARLY_IN && s->ttl > 0)
        send(x, s, ASK_LOW, FAR, out);
    if (s->phase == EARLY_IN)
        send(x, s, ASK_IN, 0, out);
    if (s->phase == EARLY_IN && s->ttl == 0)
        send(x, s, ASK_IN_PORT, 0, out);
    bool again = s->phase == EARLY_OUT && s->ttl > 0 && s->tries == 0; /* its error comes first */
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
    if (silence_us < SILENCE_US)
        silence_us = SILENCE_US;
    s->next_us = x->now_us + (s->tries < EARLY_TRIES - 1 ? retry_us[s->tries] : silence_us);
    s->tries++;
}

static void enter(struct executor *x, struct early_socket *s, enum early_phase to,
                  struct outputs *out)
{
    s->phase = to;
    s->tries = 0;
    s->next_us = NEVER;
    if (to != EARLY_DONE)
        try(x, s, out);
}

static void close_all(struct executor *x, struct outputs *out)
{
    (void)x;
    executor_socket(SOCKET_CLOSE, EARLY_FIRST, EARLY_FIRST + EARLY_SOCKETS - 1, out);
}

static void begin(struct executor *x, size_t i, uint8_t ttl, enum early_phase phase,
                  struct outputs *out)
{
    struct early_socket *s = &x->early.from[i];
    uint16_t sock = (uint16_t)(EARLY_FIRST + i);

    *s = (struct early_socket){.ttl = ttl};
    rng_bytes(&x->rng, s->txid, sizeof s->txid);
    executor_socket(SOCKET_CLOSE, sock, sock, out);
    executor_socket(SOCKET_OPEN, sock, sock, out);
    enter(x, s, phase, out);
}

/* With the next TTLs. */
static void next_turn(struct executor *x, struct outputs *out)
{
    for (size_t i = CONTROL + 1; i < EARLY_SOCKETS; i++)
        begin(x, i, ++x->early.tried, EARLY_HERE, out);
}

/* ---- what it shows -------------------------------------------------------------------------------------- */

static enum clash clash_of(const struct early_socket *s)
{
    if (s->seen.len == 0 || s->heard)
        return CLASH_UNKNOWN;
    for (size_t i = 1; i <= FAR; i++)
        if (s->out[i].len == 0)
            return CLASH_UNKNOWN;
    if (!addr_eq(&s->out[2], &s->seen)) /* it has not sent anything: so is the mapping */
        return CLASH_UNKNOWN;
    return addr_eq(&s->out[1], &s->seen) && addr_eq(&s->out[FAR], &s->seen) ? CLASH_NONE
                                                                            : CLASH_CLAIMS;
}

static void control_done(struct executor *x, struct outputs *out)
{
    x->early.clash = clash_of(&x->early.from[CONTROL]);
    if (x->early.clash != CLASH_UNKNOWN && x->filter.state == FILTER_KNOWN && !x->probing &&
        x->told) /* else the report that is to come says it */
        executor_probe_report(x, out);
}

/* Between the TTL that does not get to the prober and the one that does.  False: that is known. */
static bool search_way(struct executor *x, struct outputs *out)
{
    struct early_test *e = &x->early;
    const struct early_socket *s = &e->from[CONTROL + 1];

    if (e->reaches == 0)
        e->reaches = EARLY_WAY_MAX + 1;
    else if (s->far)
        e->reaches = s->ttl;
    else
        e->falls_short = s->ttl;
    if (e->reaches - e->falls_short > 1) {
        begin(x, CONTROL + 1, (uint8_t)((e->falls_short + e->reaches) / 2), EARLY_WAY, out);
        return true;
    }
    e->ttl = e->reaches <= EARLY_WAY_MAX ? e->falls_short : 0;
    return false;
}

/* Does the mapping that the control has towards the prober outlive the error?  False: that is known. */
static bool check_way(struct executor *x, struct outputs *out)
{
    struct early_test *e = &x->early;
    struct early_socket *s = &e->from[CONTROL];

    if (e->ttl == 0)
        return false;
    if (e->before.len == 0) {
        e->before = s->out[FAR];
        s->ttl = e->ttl;
        s->out[FAR] = (struct addr){0};
        enter(x, s, EARLY_OUT, out);
        return e->before.len != 0;
    }
    e->kills = s->out[FAR].len != 0 && !addr_eq(&s->out[FAR], &e->before);
    if (!addr_eq(&s->out[FAR], &e->before))
        e->ttl = 0;
    return false;
}

static void conclude(struct executor *x, struct outputs *out)
{
    struct early_test *e = &x->early;
    const struct early_socket *control = &e->from[CONTROL];
    bool far = false, restricts = control->seen.len != 0 && !control->heard;
    bool keeps = addr_eq(&control->out[2], &control->seen);

    for (size_t i = CONTROL + 1; i < EARLY_SOCKETS && restricts; i++) {
        const struct early_socket *s = &e->from[i];
        far = far || s->far;
        e->kills = e->kills || (keeps && s->out[0].len != 0 && !addr_eq(&s->out[0], &s->seen));
    }
    if (!restricts || e->kills)
        e->ttl = 0;
    bool moves = control->out[2].len != 0 && !keeps;
    if (restricts && moves && ((e->before.len == 0 && search_way(x, out)) || check_way(x, out)))
        return;
    if (restricts && keeps && !far && e->ttl == 0 && !e->kills &&
        e->tried + PER_TURN <= EARLY_TTL_MAX) {
        next_turn(x, out);
        return;
    }
    e->state = EARLY_KNOWN;
    close_all(x, out);
}

static void done(struct executor *x, struct early_socket *s, struct outputs *out)
{
    enter(x, s, EARLY_DONE, out);
    bool opens = s->heard && !s->far && addr_eq(&s->out[0], &s->seen);
    if (s == &x->early.from[CONTROL])
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
        if (e->from[i].next_us < e->next_us)
            e->next_us = e->from[i].next_us;
}

static void silent(struct executor *x, struct early_socket *s, struct outputs *out)
{
    if (s->phase == EARLY_IN)
        enter(x, s, EARLY_OUT, out);
    else
        done(x, s, out);
}

void executor_early_tick(struct executor *x, struct outputs *out)
{
    struct early_test *e = &x->early;

    if (e->next_us > x->now_us)
        return;
    if (e->state == EARLY_DUE) {
        e->state = EARLY_ASKING;
        begin(x, CONTROL, 0, EARLY_HERE, out);
        next_turn(x, out);
    }
    for (size_t i = 0; i < EARLY_SOCKETS && e->state == EARLY_ASKING; i++) {
        struct early_socket *s = &e->from[i];
        if (s->next_us > x->now_us)
            continue;
        if (s->tries < EARLY_TRIES)
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

static void on_here(struct executor *x, struct early_socket *s, const struct stun *m,
                    struct outputs *out)
{
    s->seen = m->mapped;
    s->rtt_us = x->now_us - s->began_us;
    memcpy(s->cookie, m->cookie, sizeof s->cookie);
    enter(x, s, EARLY_IN, out);
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
        on_here(x, s, m, out);
    s->far = s->far || answers(x, s, in, m, ASK_LOW, FAR, FAR);
    if (s->phase == EARLY_WAY && s->far)
        done(x, s, out);
    if (s->phase == EARLY_IN && answers(x, s, in, m, ASK_IN, 0, FAR)) {
        s->heard = true;
        if (s->ttl > 0 && !s->far && x->early.ttl == 0)
            x->early.ttl = s->ttl; /* until more is known: who has just come may call at once */
        enter(x, s, s->ttl == 0 ? EARLY_DONE : EARLY_OUT, out);
        if (s->ttl == 0)
            done(x, s, out);
    }
    s->heard_port = s->heard_port || answers(x, s, in, m, ASK_IN_PORT, 0, 1);
    for (size_t to = 0; to <= FAR && s->phase == EARLY_OUT; to++)
        if (wants(x, s, to) && answers(x, s, in, m, ASK_OUT, to, to))
            on_out(x, s, to, m, out);
    schedule(e);
    return true;
}

bool executor_early_heard(const struct executor *x, enum filter_ask ask)
{
    const struct early_socket *s = &x->early.from[CONTROL];

    return ask == FILTER_OTHER_IP ? s->heard : s->heard_port;
}

bool executor_early_pending(const struct executor *x)
{
    return x->early.state == EARLY_DUE ||
           (x->early.state == EARLY_ASKING && x->early.from[CONTROL].phase != EARLY_DONE);
}
