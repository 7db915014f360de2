/* allocation.c - see allocation.h. */
#include "services/classifier/allocation.h"

#include "services/classifier/block.h"

#include <stdlib.h>

enum {
    MANY = BLOCK_SAMPLES_MIN,
    SLACK = 4, /* ports that others may have taken for each that was seen: of few, and of many */
    SLACK_MANY = 1,
    PAUSES = 2, /* beside when an answer was lost: they had more time then */
    PAUSES_MANY = 3,
    LUCKY_MIN = 6 /* sockets, of which one may have drawn its own port */
};
#define LUCK 1e-5

struct mappings allocation_mappings(const struct observation_list *l)
{
    struct mappings m = {0};

    for (size_t i = 0; i < l->n; i++) {
        bool known = false;
        for (size_t j = 0; j < i; j++)
            known =
                known || (l->v[j].sock == l->v[i].sock && addr_eq(&l->v[j].seen, &l->v[i].seen));
        if (!known)
            m.v[m.n++] = (struct mapping){l->v[i].sock, l->v[i].seen.port, l->v[i].local_port};
    }
    return m;
}

/* Sockets that have their own port somewhere: one may by chance. */
static size_t keepers(const struct mappings *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n; i++) {
        bool again = m->v[i].port != m->v[i].local_port;
        for (size_t j = 0; j < i && !again; j++)
            again = m->v[j].sock == m->v[i].sock && m->v[j].port == m->v[j].local_port;
        n += !again;
    }
    return n;
}

static size_t sockets(const struct mappings *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n; i++) {
        bool again = false;
        for (size_t j = 0; j < i && !again; j++)
            again = m->v[j].sock == m->v[i].sock;
        n += !again;
    }
    return n;
}

/* Does a single one have its own port, and too few others are seen for that to be luck? */
static bool is_alone(const struct mappings *m) { return keepers(m) > 0 && sockets(m) < LUCKY_MIN; }

/* Has the socket this port's neighbour below, its own, somewhere else?  Of socket 0 that answer may be lost. */
static bool has_another(const struct mappings *m, size_t i)
{
    bool found = m->v[i].sock == 0;

    for (size_t j = 0; j < m->n && !found; j++)
        found = m->v[j].sock == m->v[i].sock && m->v[j].port == m->v[j].local_port;
    return found;
}

bool allocation_all_kept(const struct mappings *m)
{
    for (size_t i = 0; i < m->n; i++) {
        int above = m->v[i].port - m->v[i].local_port;
        if (above < 0 || above > OBSERVATIONS_MAX || (above > 0 && !has_another(m, i)))
            return false;
    }
    return keepers(m) > 0;
}

int allocation_spread(const struct mappings *m)
{
    int lo = m->v[0].port, hi = lo;

    for (size_t i = 1; i < m->n; i++) {
        lo = m->v[i].port < lo ? m->v[i].port : lo;
        hi = m->v[i].port > hi ? m->v[i].port : hi;
    }
    return hi - lo;
}

/* ---- steps ----------------------------------------------------------------------------------------------- */

static int gcd(int a, int b)
{
    while (b != 0) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

/* How many mappings were made from the one before to this one, by the numbers of fresh sockets. */
static int steps_between(const struct mapping *before, const struct mapping *m)
{
    return m->sock > before->sock ? m->sock - before->sock : 1;
}

/* The step when all ports lie exactly where it puts them, answers lost on the way included; or 0. */
static int exact_delta(const struct mappings *m)
{
    int delta = 0;

    for (size_t i = 1; i < m->n; i++) {
        int steps = steps_between(&m->v[i - 1], &m->v[i]);
        int d = m->v[i].port - m->v[i - 1].port;
        if (d % steps != 0 || (i > 1 && d / steps != delta))
            return 0;
        delta = d / steps;
    }
    return delta;
}

/* How many of the ports are in order, at most, when the rest is left out. */
static size_t in_order(const struct mappings *m, int way)
{
    size_t longest[OBSERVATIONS_MAX], most = 0;

    for (size_t i = 0; i < m->n; i++) {
        longest[i] = 1;
        for (size_t j = 0; j < i; j++)
            if ((m->v[i].port - m->v[j].port) * way > 0 && longest[j] + 1 > longest[i])
                longest[i] = longest[j] + 1;
        most = longest[i] > most ? longest[i] : most;
    }
    return most;
}

/*
 * How likely is it that n ports drawn from the smallest block lie within so many places, with so many of them in order?
 * Sequences that do: either way, C(places - 1, n - 1) sets, C(n, ordered) choices of those out of order and n! / ordered! of
 * where these are.
 */
static double luck(size_t n, size_t ordered, int places)
{
    double p = 2;

    for (size_t i = 1; i < n; i++)
        p *= (double)(places - (int)i) / (double)i / BLOCK_MIN;
    for (size_t i = ordered + 1; i <= n; i++)
        p *= (double)i * (double)i / (double)(i - ordered);
    return p;
}

struct steps {
    int delta;                  /* the largest of which all distances are multiples, either way */
    int gaps[OBSERVATIONS_MAX]; /* between neighbours, the narrowest first */
    size_t n;
    size_t ordered;
};

static void sort(int *v, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && v[j] < v[j - 1]; j--) {
            int t = v[j];
            v[j] = v[j - 1];
            v[j - 1] = t;
        }
}

static struct steps steps_of(const struct mappings *m)
{
    struct steps s = {.n = m->n - 1};
    int ports[OBSERVATIONS_MAX], ups = 0;

    for (size_t i = 0; i < m->n; i++) {
        ports[i] = m->v[i].port;
        int d = i > 0 ? ports[i] - ports[i - 1] : 0;
        s.delta = gcd(s.delta, d);
        ups += (d > 0) - (d < 0);
    }
    size_t up = in_order(m, 1), down = in_order(m, -1);
    s.ordered = up > down ? up : down;
    if (ups == 0) /* as many up as down: from the first to the last */
        ups = m->v[m->n - 1].port - m->v[0].port;
    sort(ports, m->n);
    for (size_t i = 0; i < s.n; i++)
        s.gaps[i] = ports[i + 1] - ports[i];
    sort(s.gaps, s.n);
    s.delta = ups < 0 ? -s.delta : s.delta;
    return s;
}

/* The way through all ports, in steps, without the widest gaps. */
static int way(const struct steps *s, size_t without)
{
    int sum = 0;

    for (size_t i = 0; i + without < s->n; i++)
        sum += s->gaps[i];
    return sum / abs(s->delta);
}

static bool is_step(int delta) { return delta != 0 && abs(delta) <= DELTA_MAX; }

/* The step, when it can't be by luck; or 0. */
static int certain_delta(const struct mappings *m)
{
    if (m->n < RANDOM_MAPPINGS_MIN)
        return 0;
    struct steps s = steps_of(m);
    int exact = exact_delta(m);
    if (is_step(exact))
        return luck(m->n, m->n, (int)m->n) * (exact * exact > 1 ? DELTA_MAX : 1) < LUCK ? exact : 0;
    if (!is_step(s.delta))
        return 0;
    double p = luck(m->n, s.ordered, way(&s, 0) + 1);
    /* One gap of any width, anywhere: what others took before further ports were looked at. */
    double paused = luck(m->n, s.ordered, way(&s, 1) + 2) * (double)s.n * BLOCK_MIN;
    p = (paused < p ? paused : p) * (s.delta * s.delta > 1 ? DELTA_MAX : 1);
    return p < LUCK ? s.delta : 0;
}

/* May these be steps, between which others took ports? */
static bool may_be_steps(const struct mappings *m)
{
    struct steps s = steps_of(m);
    bool many = m->n >= MANY;

    if (is_step(exact_delta(m)))
        return true;
    return is_step(s.delta) &&
           way(&s, many ? PAUSES_MANY : PAUSES) <= (int)m->n * (many ? SLACK_MANY : SLACK);
}

/* Those that show another port than the ones before: what is seen twice tells nothing of steps. */
static struct mappings different(const struct mappings *m, uint8_t first_sock)
{
    struct mappings d = {0};

    for (size_t i = 0; i < m->n; i++) {
        bool again = m->v[i].sock < first_sock;
        for (size_t j = 0; j < d.n && !again; j++)
            again = d.v[j].port == m->v[i].port;
        if (!again)
            d.v[d.n++] = m->v[i];
    }
    return d;
}

enum allocation allocation_of(const struct mappings *m, int16_t *delta)
{
    if (m->n == 0)
        return ALLOC_UNKNOWN;
    if (allocation_all_kept(m) || keepers(m) > 1) /* others' ports were taken */
        return ALLOC_PRESERVE;
    /* Socket 0 may have got its port long before the fresh ones got theirs. */
    struct mappings all = different(m, 0), samples = different(m, 1);
    if (all.n < RANDOM_MAPPINGS_MIN)
        return ALLOC_UNKNOWN;
    int d = certain_delta(&all);
    if (d == 0)
        d = certain_delta(&samples);
    /* Where a NAT starts anew the requests that are under way come in any order. */
    if (d < 0 && samples.n == 0)
        return ALLOC_UNKNOWN;
    *delta = (int16_t)d;
    if (d != 0)
        return ALLOC_CONTIGUOUS;
    return is_alone(m) || may_be_steps(&all) ? ALLOC_UNKNOWN : ALLOC_RANDOM;
}
