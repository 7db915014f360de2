/*
 * matrix-sim - every class of NAT against every other in virtual time, with the real cores.
 *
 *     matrix-sim [options]
 *
 * Runs are spread over processes; a run depends on its seed alone, so nothing else changes the result.
 */
#include "tests/matrix/report.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct args {
    struct play_conf play;
    unsigned runs, jobs;
    uint64_t seed;
    const char *from, *to, *tier, *pairs, *out, *name;
};

static const char usage[] =
    "usage: matrix-sim [options]\n"
    "  --runs N          attempts of each class at each other (default 2)\n"
    "  --seed N          of the first; the report has each pair's own (default 1)\n"
    "  --from GLOB       initiators, as 'apd/random/*'; --to GLOB: targets\n"
    "  --tier NAME       only the pairs of this tier (T0, T1, T1p, T2, ...)\n"
    "  --delay MS        one way between any two hosts (default 20); --loss PPM of each line, each "
    "way\n"
    "  --background N    ports a second that others take of a contiguous NAT (default 20)\n"
    "  --block N         ports of a random NAT's own block (default: the whole range)\n"
    "  --share PERCENT   of its block that either side opens at most (default 0: none)\n"
    "  --no-overload     a preserving NAT has one mapping a port; --reuse: a random one has "
    "several\n"
    "  --jobs N          processes (default: one for each processor)\n"
    "  --out DIR         write NAME.json, .svg and .png there; --name NAME (default matrix-sim)\n"
    "  --pairs FILE      what theory says (default tests/matrix/class_pairs.csv)\n";

static bool number(const char *text, unsigned long most, unsigned long *out)
{
    char *end;

    errno = 0;
    *out = strtoul(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *out <= most;
}

enum {
    OPT_TEXT = 256, /* from here on: an index into texts */
    OPT_NO_OVERLOAD = 512,
    OPT_REUSE = 513
};

static bool parse(struct args *a, int argc, char **argv)
{
    static const struct option options[] = {
        {"runs",        1, NULL, 'r'            },
        {"seed",        1, NULL, 's'            },
        {"delay",       1, NULL, 'd'            },
        {"loss",        1, NULL, 'l'            },
        {"background",  1, NULL, 'b'            },
        {"block",       1, NULL, 'B'            },
        {"jobs",        1, NULL, 'j'            },
        {"from",        1, NULL, OPT_TEXT       },
        {"to",          1, NULL, OPT_TEXT + 1   },
        {"tier",        1, NULL, OPT_TEXT + 2   },
        {"out",         1, NULL, OPT_TEXT + 3   },
        {"name",        1, NULL, OPT_TEXT + 4   },
        {"pairs",       1, NULL, OPT_TEXT + 5   },
        {"share",       1, NULL, 'S'            },
        {"reuse",       0, NULL, OPT_REUSE      },
        {"no-overload", 0, NULL, OPT_NO_OVERLOAD},
        {NULL,          0, NULL, 0              }
    };
    const char **texts[] = {&a->from, &a->to, &a->tier, &a->out, &a->name, &a->pairs};
    unsigned long n = 0;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (o < OPT_TEXT && (o == '?' || !number(optarg, UINT32_MAX, &n)))
            return false;
        switch (o) {
        case 'r': a->runs = (unsigned)n; break;
        case 's': a->seed = n; break;
        case 'd': a->play.delay_us = (int64_t)n * 1000; break;
        case 'l': a->play.loss_ppm = (uint32_t)n; break;
        case 'b': a->play.background_per_s = (uint32_t)n; break;
        case 'B': a->play.block = (uint16_t)n; break;
        case 'j': a->jobs = (unsigned)n; break;
        case 'S': a->play.share = (uint8_t)(n < UINT8_MAX ? n : UINT8_MAX); break;
        case OPT_NO_OVERLOAD: a->play.no_overload = true; break;
        case OPT_REUSE: a->play.reuse = true; break;
        default: *texts[o - OPT_TEXT] = optarg;
        }
    }
    return optind == argc && a->runs > 0 && a->runs <= MATRIX_RUNS_MAX && a->jobs > 0;
}

static void narrow(struct matrix *m, const struct args *a)
{
    for (size_t i = 0; i < MATRIX_CELLS; i++) {
        struct matrix_cell *c = &m->cell[i];
        struct matrix_class from = matrix_class(c->from), to = matrix_class(c->to);
        c->wanted = fnmatch(a->from, from.text, 0) == 0 && fnmatch(a->to, to.text, 0) == 0 &&
                    (!a->tier || strcmp(a->tier, matrix_tier_name[c->tier]) == 0);
    }
}

/* Every jobs-th run from this one on. */
static void play_share(struct matrix *m, const struct args *a, size_t first)
{
    struct world *w = malloc(sizeof *w);

    for (size_t i = first; w && i < (size_t)MATRIX_CELLS * m->n; i += a->jobs) {
        struct matrix_cell *c = &m->cell[i / m->n];
        struct matrix_class from = matrix_class(c->from), to = matrix_class(c->to);
        unsigned run = (unsigned)(i % m->n);
        if (c->wanted)
            c->runs[run] = play(w, &a->play, &from, &to, report_seed(a->seed, i / m->n, run));
    }
    _exit(w ? 0 : 1);
}

static bool play_all(struct matrix *m, const struct args *a)
{
    size_t bytes = (size_t)MATRIX_CELLS * a->runs * sizeof(struct matrix_run);
    struct matrix_run *runs =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool ok = runs != MAP_FAILED;
    int status;

    m->n = a->runs;
    for (size_t i = 0; ok && i < MATRIX_CELLS; i++)
        m->cell[i].runs = runs + i * a->runs;
    for (unsigned j = 0; ok && j < a->jobs; j++) {
        pid_t pid = fork();
        if (pid == 0)
            play_share(m, a, j);
        ok = pid > 0;
    }
    while (wait(&status) > 0)
        ok = ok && status == 0;
    return ok;
}

int main(int argc, char **argv)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct args a = {
        .play = {.delay_us = 20000, .background_per_s = 20},
        .runs = 2,
        .jobs = processors > 0 ? (unsigned)processors : 1,
        .seed = 1,
        .from = "*",
        .to = "*",
        .name = "matrix-sim",
        .pairs = "tests/matrix/class_pairs.csv"
    };
    static struct matrix m;
    char title[128];

    if (!parse(&a, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    if (!matrix_read_tiers(&m, a.pairs, !a.play.no_overload)) {
        fprintf(stderr, "matrix-sim: %s is not the table of pairs\n", a.pairs);
        return 1;
    }
    narrow(&m, &a);
    if (!play_all(&m, &a)) {
        fprintf(stderr, "matrix-sim: a process failed\n");
        return 1;
    }
    report_print(&m);
    snprintf(title, sizeof title,
             "27 x 27 classes in virtual time, %u attempts each, %g ms one way", m.n,
             (double)a.play.delay_us / 1e3);
    struct report_conf conf = {&a.play, a.seed, a.name, title};
    if (a.out && !report_write(&m, &conf, a.out)) {
        fprintf(stderr, "matrix-sim: can't write to %s\n", a.out);
        return 1;
    }
    return 0;
}
