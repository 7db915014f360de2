/*
 * test_told.c - what the classifier's core says of every class of NAT, of which the laboratory's model plays one host's
 * round of probing with 5 % loss, thousands of times: the truth or that it is not known, and nothing else.
 *
 * RUNS=n plays each class so often; an assertion prints its seed.
 */
#include "services/classifier/block.h"
#include "services/classifier/classify.h"
#include "tests/natlab/nat.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CLASSES = 27,
    LOSS_PPM = 25000, /* of each of the two lines that a packet takes */
    MILLION = 1000000,
    PROBED = 4, /* addresses of two ips */
    SAMPLES = 3,
    LOOKS = 3, /* sockets that look for more than ports */
    MORE_MAX = 7,
    ENOUGH = 12, /* ports */
    TARGETS = PROBED + SAMPLES + 1 + LOOKS + MORE_MAX,
};

static struct nat nat;
static struct rng rng;
static struct msg_reflex_report report;
static int64_t now_us;

TestSuite(told, .timeout = 300);

/* A question that is asked until it is answered. */
struct target {
    uint8_t sock, prober;
    uint16_t local_port;
    bool answered;
    struct addr seen;
};

static struct target targets[TARGETS];
static size_t n_targets;

static struct addr prober(size_t i)
{
    return addr_v4(203, 0, 113, (uint8_t)(10 + i / 2), (uint16_t)(3478 + i % 2));
}

static struct addr inside(uint16_t port) { return addr_v4(10, 0, 0, 2, port); }

/* Of a socket: different ones have different ports. */
static uint16_t any_port(void)
{
    uint16_t port = (uint16_t)(32768 + rng_below(&rng, 28232));

    for (size_t i = 0; i < n_targets; i++)
        if (targets[i].local_port == port)
            return any_port();
    return port;
}

static bool lost(void) { return rng_below(&rng, MILLION) < LOSS_PPM; }

static void add_target(uint8_t sock, uint16_t local_port, uint8_t to)
{
    targets[n_targets++] = (struct target){.sock = sock, .local_port = local_port, .prober = to};
}

static void ask(struct target *t)
{
    struct addr src = inside(t->local_port), dst = prober(t->prober);

    if (lost() || nat_out(&nat, now_us, NAT_UDP, &src, &dst) != NAT_PASS || lost())
        return;
    t->seen = src;
    t->answered = !lost() && !lost();
}

/* From one of them on, as executors do; who is answered is not asked again. */
static void ask_all(size_t from)
{
    static const int64_t pauses_ms[] = {100, 150, 250, 500, 500};

    for (size_t k = 0; k < sizeof pauses_ms / sizeof *pauses_ms; k++) {
        for (size_t i = from; i < n_targets; i++)
            if (!targets[i].answered)
                ask(&targets[i]);
        now_us += pauses_ms[k] * 1000;
    }
}

static struct finding tell(void)
{
    struct finding f;

    report = (struct msg_reflex_report){.local = inside(targets[0].local_port)};
    for (size_t i = 0; i < n_targets && report.seen.n < OBSERVATIONS_MAX; i++)
        if (targets[i].answered)
            report.seen.v[report.seen.n++] =
                (struct observation){targets[i].sock, targets[i].local_port, 40,
                                     prober(targets[i].prober), targets[i].seen};
    classify(&report, &f);
    return f;
}

/*
 * Socket 0 asks all, each sample the first one, and the last of them one of another ip as well; and so do those that are
 * opened to look for more than ports.
 */
static void choose_targets(void)
{
    n_targets = 0;
    uint16_t port = any_port();
    for (uint8_t i = 0; i < PROBED; i++)
        add_target(0, port, i);
    for (uint8_t i = 1; i <= SAMPLES; i++)
        add_target(i, any_port(), 0);
    add_target(SAMPLES, targets[n_targets - 1].local_port, 2);
    for (uint8_t i = 1; i <= LOOKS; i++)
        add_target((uint8_t)(SAMPLES + i), any_port(), 0);
}

static size_t count_ports(void)
{
    size_t n = 0;

    for (size_t i = 0; i < n_targets; i++) {
        bool again = !targets[i].answered;
        for (size_t j = 0; j < i; j++)
            again = again || (targets[j].answered && targets[j].seen.port == targets[i].seen.port);
        n += !again;
    }
    return n;
}

/* Further sockets where a block is likely, as executors ask by. */
static struct finding ask_more(void)
{
    size_t from = n_targets, seen = count_ports();

    for (uint8_t i = 0; i < MORE_MAX && seen + i < ENOUGH; i++)
        add_target((uint8_t)(SAMPLES + LOOKS + 1 + i), any_port(), 0);
    ask_all(from);
    return tell();
}

/* Somebody else's are a few of the ports that this host's sockets would have. */
static void take_ports(void)
{
    for (uint64_t n = 1 + rng_below(&rng, 2); n > 0; n--) {
        const struct target *t = &targets[rng_below(&rng, n_targets)];
        struct addr to = prober(t->prober), from = addr_v4(10, 0, 0, 3, t->local_port);
        struct addr outside = nat.conf.external[0];
        outside.port = t->local_port;
        if (nat.conf.claims)
            nat_in(&nat, now_us, NAT_UDP, &to, &outside);
        else
            nat_out(&nat, now_us, NAT_UDP, &from, &to);
    }
}

/* Of the first word, and of the one after further sockets had asked, or the same where that was not needed. */
struct tally {
    unsigned n, wrong, unknown, unknown_first, blocks, half_blocks;
};

/* The block is the smaller half when all draws were from there. */
static void judge_block(const struct profile *p, struct tally *t)
{
    uint32_t lo = nat.conf.lo + nat.subscribers[0].block * nat.conf.block, hi = lo + nat.conf.block;

    t->blocks++;
    t->half_blocks += p->block_lo != lo || p->block_hi != hi - 1;
    bool wrong = nat.conf.block == 0 || p->block_lo < lo || p->block_hi >= hi;
    t->wrong += wrong;
    if (wrong)
        printf("block %u-%u of %u-%u\n", p->block_lo, p->block_hi, lo, hi - 1);
}

/* Is all of it known? */
static bool judge(const struct finding *f, uint64_t seed, const char *name, struct tally *t)
{
    const struct profile *p = &f->profile;
    const struct nat_conf *c = &nat.conf;
    bool shared = c->allocation == ALLOC_PRESERVE && c->overload;
    bool mapping = p->mapping == (shared ? NAT_EI : c->mapping);
    bool allocation = p->allocation == c->allocation;
    bool wrong = (!mapping && p->mapping != NAT_UNKNOWN) ||
                 (!allocation && p->allocation != ALLOC_UNKNOWN) ||
                 (p->allocation == ALLOC_CONTIGUOUS && p->delta != c->delta);

    if (p->block_hi != 0)
        judge_block(p, t);
    t->wrong += wrong;
    if (!wrong)
        return mapping && allocation;
    printf("seed %lu: %s, block %u, delta %d, %u/s: said %s/%s delta %d, of\n", seed, name,
           c->block, c->delta, c->background_per_s, behaviour_name[p->mapping],
           allocation_name[p->allocation], p->delta);
    for (size_t i = 0; i < report.seen.n; i++)
        printf("  %u:%u at %zu: %u\n", report.seen.v[i].sock, report.seen.v[i].local_port, i,
               report.seen.v[i].seen.port);
    return true;
}

static void play(struct nat_conf conf, bool busy, uint64_t seed, const char *name, struct tally *t)
{
    rng_seed(&rng, seed);
    now_us = MILLION;
    conf.external[0] = addr_v4(198, 51, 100, 1, 0);
    nat_init(&nat, &conf, seed ^ 0x7a7);
    choose_targets();
    if (busy)
        take_ports();
    ask_all(0);
    struct finding f = tell();
    const struct profile *p = &f.profile;
    bool known = judge(&f, seed, name, t);
    t->n++;
    t->unknown_first += !known;
    if (count_ports() < ENOUGH &&
        (p->allocation == ALLOC_RANDOM || p->allocation == ALLOC_UNKNOWN) &&
        p->port_hi - p->port_lo < BLOCK_MAX) {
        f = ask_more();
        known = judge(&f, seed, name, t);
    }
    t->unknown += !known;
}

static struct nat_conf class(size_t i, uint64_t seed, char name[static 32])
{
    static const char *const scope[] = {"ei", "ad", "apd"};
    static const char *const allocation[] = {"preserve", "contiguous", "random"};
    static const uint16_t blocks[] = {0, 64, 128, 256, 512, 1024, 2048};
    static const int32_t deltas[] = {1, 1, 2, 3, -1};
    struct nat_conf c = {.mapping = (enum behaviour)(NAT_EI + i / 9),
                         .allocation = (enum allocation)(ALLOC_PRESERVE + i / 3 % 3),
                         .filtering = (enum behaviour)(NAT_EI + i % 3),
                         .inbound_refreshes = true};

    snprintf(name, 32, "%s/%s/%s", scope[i / 9], allocation[i / 3 % 3], scope[i % 3]);
    c.overload = c.allocation == ALLOC_PRESERVE && seed % 2 == 0;
    c.block = c.allocation == ALLOC_RANDOM ? blocks[seed % 7] : 0;
    c.delta = deltas[seed / 5 % 5];
    c.background_per_s = (uint32_t)(seed / 25 % 3 * 20);
    return c;
}

static unsigned runs(void)
{
    const char *text = getenv("RUNS");

    return text ? (unsigned)strtoul(text, NULL, 10) : 2000;
}

static void print(const struct tally *t, const char *what)
{
    printf("%-24s %6u: %u wrong, %u unknown at first, %u then; %u blocks, %u of them halves\n",
           what, t->n, t->wrong, t->unknown_first, t->unknown, t->blocks, t->half_blocks);
}

Test(told, of_every_class_is_the_truth_or_nothing)
{
    struct tally all = {0};
    char name[32];

    for (size_t i = 0; i < CLASSES; i++) {
        struct tally t = {0};
        for (uint64_t seed = 0; seed < runs(); seed++) {
            struct nat_conf c = class(i, seed, name);
            play(c, false, seed * CLASSES + i, name, &t);
        }
        print(&t, name);
        all.n += t.n;
        all.wrong += t.wrong;
        all.unknown_first += t.unknown_first;
        all.unknown += t.unknown;
        all.blocks += t.blocks;
        all.half_blocks += t.half_blocks;
    }
    print(&all, "all classes");
    cr_assert_eq(all.wrong, 0);
    cr_assert_leq(all.unknown * 500, all.n);
    cr_assert_leq(all.half_blocks * 1000, all.blocks);
}

/* As behind Linux: by what has come in unasked where no filter stops it, and by another host with the same port. */
Test(told, a_nat_that_keeps_ports_does_so_when_a_few_of_them_are_taken)
{
    struct nat_conf c = {.mapping = NAT_APD,
                         .allocation = ALLOC_PRESERVE,
                         .filtering = NAT_APD,
                         .inbound_refreshes = true,
                         .overload = true};
    struct tally t = {0};

    for (uint64_t seed = 0; seed < runs(); seed++) {
        c.claims = seed % 2;
        play(c, true, seed, "linux with taken ports", &t);
    }
    print(&t, "linux with taken ports");
    cr_assert_eq(t.wrong, 0);
}
