/*
 * test_compare.c - ours beside libnice and aioice: which pairs of NATs they open, how fast, with how many
 * packets, and what losses do to that.
 *
 * Here a few pairs, once.  `make compare` tries all, RUNS=n times each, and a ladder of losses, LADDER=n times
 * each, and writes the tables to $COMPARE_OUT.
 */
#include "tests/lib/contest.h"
#include "tests/matrix/matrix.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAIRS_A_LAB = 20, /* each has two hosts of its own, and a lab has 64 */
    AT_ONCE = 20,
    RUNS_MAX = 200,
    SPEC_MAX = 80,
    SLOTS = 30, /* pairs of the ladder that run at once: on two cores they take a fifth of them */
};

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct ground ground;

TestSuite(compare, .timeout = 14400);

/* Tiers as in tests/matrix/class_pairs.csv, all represented; linux kinds are the kernel's own NAT. */
static const char *const pairs[][2] = {
    {"ei/preserve/ad",     "ei/preserve/ad"    }, /* the first ones are those of the short version */
    {"linux",              "ei/random/apd"     },
    {"apd/random/apd",     "ei/preserve/ei"    },
    {"ei/preserve/ei",     "ei/preserve/apd"   },
    {"ei/preserve/ei",     "apd/random/apd"    },
    {"ei/contiguous/apd",  "ei/random/ei"      },
    {"ad/contiguous/ad",   "ei/preserve/ei"    },
    {"open",               "linux"             },
    {"ei/preserve/apd",    "ei/preserve/apd"   },
    {"ei/preserve/apd",    "ei/random/apd"     },
    {"ei/random/apd",      "ei/contiguous/apd" },
    {"ei/preserve/ad",     "apd/random/apd"    },
    {"apd/random/ad",      "ei/random/ad"      },
    {"ad/preserve/apd",    "ei/preserve/apd"   },
    {"apd/preserve/apd",   "apd/preserve/apd"  },
    {"apd/preserve/ad",    "apd/random/apd"    },
    {"linux",              "linux"             },
    {"linux-open",         "ei/preserve/apd"   },
    {"linux",              "ei/preserve/ad"    },
    {"ei/preserve/apd",    "ad/contiguous/apd" },
    {"apd/contiguous/apd", "ei/preserve/apd"   },
    {"apd/contiguous/apd", "apd/contiguous/apd"},
    {"ad/contiguous/ad",   "ad/preserve/apd"   },
    {"ei/preserve/ad",     "ad/contiguous/ei"  },
    {"ad/contiguous/apd",  "ad/contiguous/apd" },
    {"apd/contiguous/apd", "linux"             },
    {"ei/preserve/apd",    "apd/random/apd"    },
    {"apd/random/apd",     "ei/preserve/apd"   },
    {"apd/preserve/apd",   "apd/random/apd"    },
    {"ei/preserve/apd",    "ad/random/apd"     },
    {"ad/preserve/apd",    "apd/random/apd"    },
    {"ad/random/ei",       "apd/preserve/apd"  },
    {"ad/contiguous/apd",  "ad/random/ad"      },
    {"linux",              "apd/random/apd"    },
    {"linux-random",       "ei/preserve/apd"   },
    {"linux",              "linux-random"      },
    {"apd/random/apd",     "apd/random/apd"    },
    {"linux-random",       "linux-random"      },
    {"apd/contiguous/apd", "apd/random/apd"    },
    {"ad/random/apd",      "ad/random/apd"     },
};

struct result {
    unsigned runs, direct;
    double ms[RUNS_MAX], packets[RUNS_MAX]; /* of direct ones; of all */
};

static struct matrix matrix;
static struct result results[COUNT(pairs)][CONTESTANTS];

/* ---- what many results add up to ---- */

struct sum {
    unsigned runs, direct, opened;
    size_t n_ms, n_packets;
    double ms[COUNT(pairs) * RUNS_MAX], packets[COUNT(pairs) * RUNS_MAX];
};

static struct sum sum;

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(double *v, size_t n, double q)
{
    if (n == 0)
        return NAN;
    qsort(v, n, sizeof *v, by_size);
    return v[(size_t)(q * (double)(n - 1) + 0.5)];
}

static bool opened(const struct result *r) { return r->direct * 2 >= r->runs && r->direct > 0; }

static void add(const struct result *r)
{
    memcpy(sum.ms + sum.n_ms, r->ms, r->direct * sizeof *r->ms);
    memcpy(sum.packets + sum.n_packets, r->packets, r->runs * sizeof *r->packets);
    sum.n_ms += r->direct;
    sum.n_packets += r->runs;
    sum.runs += r->runs;
    sum.direct += r->direct;
    sum.opened += opened(r);
}

static void clear(void) { sum.runs = sum.direct = sum.opened = 0, sum.n_ms = sum.n_packets = 0; }

static void note(struct result *r, const struct bout *b)
{
    cr_assert_lt(r->runs, RUNS_MAX);
    if (b->direct)
        r->ms[r->direct++] = b->ms;
    r->packets[r->runs++] = (double)b->packets;
}

/* ---- 40 pairs ---- */

/* The class whose theory is a kind's; the kernel keeps a port as long as nobody else wants it. */
static const char *class_of(const char *kind)
{
    static const char *const other[][2] = {
        {"open",         "ei/preserve/ei"  },
        {"linux",        "apd/preserve/apd"},
        {"linux-open",   "apd/preserve/ei" },
        {"linux-random", "apd/random/apd"  },
    };

    for (size_t i = 0; i < COUNT(other); i++)
        if (strcmp(kind, other[i][0]) == 0)
            return other[i][1];
    return kind;
}

static enum matrix_tier tier(size_t pair)
{
    enum matrix_tier found = MATRIX_TIERS;

    for (size_t i = 0; i < MATRIX_CELLS; i++) {
        const struct matrix_cell *c = &matrix.cell[i];
        struct matrix_class from = matrix_class(c->from), to = matrix_class(c->to);
        if (strcmp(from.text, class_of(pairs[pair][0])) == 0 &&
            strcmp(to.text, class_of(pairs[pair][1])) == 0)
            found = c->tier;
    }
    cr_assert_lt(found, MATRIX_TIERS, "no such pair: %s, %s", pairs[pair][0], pairs[pair][1]);
    return found;
}

/* Pairs first to last, in one lab of their own: each of the three in turn, then again. */
static void play(size_t first, size_t last, unsigned runs)
{
    static char specs[2 * PAIRS_A_LAB][SPEC_MAX], hosts[2 * PAIRS_A_LAB][24];
    const char *args[2 * PAIRS_A_LAB + 8] = {"--seed", "1", "--delay", "20ms"};
    struct bout bouts[PAIRS_A_LAB] = {0};
    size_t n = last - first;

    for (size_t i = 0; i < n; i++) {
        contest_host(specs[2 * i], SPEC_MAX, "a", i, pairs[first + i][0]);
        contest_host(specs[2 * i + 1], SPEC_MAX, "b", i, pairs[first + i][1]);
        args[4 + 2 * i] = specs[2 * i];
        args[5 + 2 * i] = specs[2 * i + 1];
        bouts[i].from = hosts[2 * i];
        bouts[i].to = hosts[2 * i + 1];
        snprintf(hosts[2 * i], sizeof *hosts, "a%zu", i);
        snprintf(hosts[2 * i + 1], sizeof *hosts, "b%zu", i);
    }
    ground_open(&ground, args);
    contest_open(&ground);
    contest_listen(&ground, bouts, n);
    for (unsigned run = 0; run < runs; run++)
        for (size_t i = 0; i < n; i += AT_ONCE)
            for (enum contestant who = 0; who < CONTESTANTS; who++) {
                size_t some = n - i < AT_ONCE ? n - i : AT_ONCE;
                contest_prepare(&ground, who, bouts + i, some);
                contest_run(&ground, bouts + i, some);
                for (size_t k = i; k < i + some; k++)
                    note(&results[first + k][who], &bouts[k]);
            }
    ground_close(&ground);
}

static void print_tiers(FILE *to, enum contestant who)
{
    static const char *const names[] = {"T0", "T1", "T1p", "T2", "T3"};

    for (size_t t = 0; t < COUNT(names); t++) {
        unsigned n = 0, open = 0;
        for (size_t i = 0; i < COUNT(pairs); i++) {
            enum matrix_tier is = tier(i);
            if (is == t || (t == MATRIX_T3half && is > t)) {
                n++;
                open += opened(&results[i][who]);
            }
        }
        fprintf(to, " %u of %u |", open, n);
    }
}

static void print_pairs(FILE *to, unsigned runs)
{
    fprintf(
        to,
        "40 pairs of NATs, %u runs each, %d pairs at once, 20 ms one way between any two hosts. "
        "A pair is opened when at least half of its runs are direct.\n\n"
        "| | pairs opened | T0 | T1 | T1p | T2 | T3 | runs direct | median ms | p99 ms | "
        "packets, median | median ms, p99 ms where all three do it |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        runs, AT_ONCE);
    for (enum contestant who = 0; who < CONTESTANTS; who++) {
        clear();
        for (size_t i = 0; i < COUNT(pairs); i++)
            add(&results[i][who]);
        fprintf(to, "| %s | **%u of %zu** |", contestant_name[who], sum.opened, COUNT(pairs));
        print_tiers(to, who);
        fprintf(to, " %u of %u | %.0f | %.0f | %.0f |", sum.direct, sum.runs,
                quantile(sum.ms, sum.n_ms, 0.5), quantile(sum.ms, sum.n_ms, 0.99),
                quantile(sum.packets, sum.n_packets, 0.5));
        clear();
        for (size_t i = 0; i < COUNT(pairs); i++)
            if (opened(&results[i][OURS]) && opened(&results[i][LIBNICE]) &&
                opened(&results[i][AIOICE]))
                add(&results[i][who]);
        fprintf(to, " %.0f, %.0f |\n", quantile(sum.ms, sum.n_ms, 0.5),
                quantile(sum.ms, sum.n_ms, 0.99));
    }
}

/* Each pair, for who wants to know which. */
static void print_each(void)
{
    for (size_t i = 0; i < COUNT(pairs); i++) {
        printf("%-20s %-20s %-6s", pairs[i][0], pairs[i][1], matrix_tier_name[tier(i)]);
        for (enum contestant who = 0; who < CONTESTANTS; who++) {
            struct result *r = &results[i][who];
            printf("  %3u/%-3u %6.0f ms %5.0f pk", r->direct, r->runs,
                   quantile(r->ms, r->direct, 0.5), quantile(r->packets, r->runs, 0.5));
        }
        printf("\n");
    }
    fflush(stdout);
}

static FILE *table(const char *mode)
{
    const char *path = getenv("COMPARE_OUT");
    FILE *f = path ? fopen(path, mode) : stdout;

    cr_assert_not_null(f);
    return f;
}

static void close_table(FILE *f)
{
    if (f != stdout)
        fclose(f);
    fflush(stdout);
}

Test(compare, ours_opens_the_pairs_of_nats_that_libnice_and_aioice_open)
{
    unsigned runs = ground_times("RUNS", 0);
    size_t n = runs > 0 ? COUNT(pairs) : 3;

    cr_assert(matrix_read_tiers(&matrix, "tests/matrix/class_pairs.csv", true));
    for (size_t i = 0; i < n; i += PAIRS_A_LAB)
        play(i, i + PAIRS_A_LAB < n ? i + PAIRS_A_LAB : n, runs > 0 ? runs : 1);
    for (size_t i = 0; i < n; i++)
        for (enum contestant who = 0; who < CONTESTANTS; who++) {
            cr_assert(opened(&results[i][OURS]) || !opened(&results[i][who]), "%s to %s",
                      pairs[i][0], pairs[i][1]);
            cr_assert(runs > 0 || results[i][who].packets[0] > 0, "all of them send some");
        }
    if (runs == 0)
        return;
    print_each();
    FILE *f = table("w");
    print_pairs(f, runs);
    close_table(f);
}

/* ---- the ladder of losses ---- */

static const struct rung {
    const char *what, *delay;
    const char *loss; /* of one access line, each way */
    bool both;        /* of both lines; else of one, by turns */
} rungs[] = {
    {"5 %, 300 ms",                      "150ms", "loss=5%",            false},
    {"12 % in bursts of 250 ms, 450 ms", "225ms", "burst=250ms/1833ms", false},
    {"25 % in bursts of 400 ms, 800 ms", "400ms", "burst=400ms/1200ms", false},
    {"20 % on each line, 80 ms",         "40ms",  "loss=20%",           true },
};

static struct result ladder[COUNT(rungs)][CONTESTANTS];

/* On one side, which changes from run to run, or on both. */
static void set_losses(const struct rung *r, const struct bout *bouts, unsigned run)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (r->both || (run + i) % 2 == 0)
            cr_assert(lab_set(&ground.lab, bouts[i].from, r->loss));
        if (r->both || (run + i) % 2 == 1)
            cr_assert(lab_set(&ground.lab, bouts[i].to, r->loss));
    }
}

static void end_losses(const struct bout *bouts)
{
    for (size_t i = 0; i < SLOTS; i++)
        for (const char *const *none = ARGS("loss=0", "burst=0"); *none; none++) {
            cr_assert(lab_set(&ground.lab, bouts[i].from, *none));
            cr_assert(lab_set(&ground.lab, bouts[i].to, *none));
        }
}

static void climb(const struct rung *r, struct result result[CONTESTANTS], unsigned runs)
{
    static char specs[2 * SLOTS][SPEC_MAX], hosts[2 * SLOTS][24];
    const char *args[2 * SLOTS + 8] = {"--seed", "1", "--delay", r->delay};
    struct bout bouts[SLOTS] = {0};

    for (size_t i = 0; i < 2 * SLOTS; i++) {
        contest_host(specs[i], SPEC_MAX, i % 2 ? "b" : "a", i / 2,
                     i % 2 ? "ei/random/apd" : "ei/preserve/apd");
        args[4 + i] = specs[i];
        snprintf(hosts[i], sizeof *hosts, "%s%zu", i % 2 ? "b" : "a", i / 2);
        *(i % 2 ? &bouts[i / 2].to : &bouts[i / 2].from) = hosts[i];
    }
    ground_open(&ground, args);
    contest_open(&ground);
    contest_listen(&ground, bouts, SLOTS);
    for (unsigned run = 0; run * SLOTS < runs; run++)
        for (enum contestant who = 0; who < CONTESTANTS; who++) {
            contest_prepare(&ground, who, bouts, SLOTS);
            set_losses(r, bouts, run);
            contest_run(&ground, bouts, SLOTS);
            end_losses(bouts);
            for (size_t i = 0; i < SLOTS && result[who].runs < runs; i++)
                note(&result[who], &bouts[i]);
        }
    ground_close(&ground);
}

Test(compare, ours_connects_through_losses)
{
    unsigned runs = ground_times("LADDER", 0);

    if (runs == 0)
        return;
    FILE *f = table("a");
    fprintf(f,
            "\nei/preserve/apd and ei/random/apd, attached or gathered before losses begin, %u "
            "runs each, %d at once.\n\n"
            "| losses, round trip | | connected | median ms | p99 ms | packets, median |\n"
            "| --- | --- | --- | --- | --- | --- |\n",
            runs, SLOTS);
    for (size_t i = 0; i < COUNT(rungs); i++) {
        climb(&rungs[i], ladder[i], runs);
        for (enum contestant who = 0; who < CONTESTANTS; who++) {
            struct result *r = &ladder[i][who];
            fprintf(f, "| %s | %s | %.1f %% | %.0f | %.0f | %.0f |\n",
                    who == OURS ? rungs[i].what : "", contestant_name[who],
                    100.0 * r->direct / r->runs, quantile(r->ms, r->direct, 0.5),
                    quantile(r->ms, r->direct, 0.99), quantile(r->packets, r->runs, 0.5));
        }
        fflush(f);
    }
    close_table(f);
}
