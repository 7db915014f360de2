/*
 * matrix.h - every class of NAT against every other, in both directions: what theory says of a pair, and
 * what came of trying it.
 *
 * class_pairs.csv beside this has the theory: for each unordered pair its tier, first for a NAT that lets a
 * kept port serve several mappings ("overload", as Linux does), then for one that doesn't.
 */
#ifndef MATRIX_H
#define MATRIX_H

#include "lib/profile.h"

#include <stddef.h>

enum {
    MATRIX_CLASSES = 27, /* mapping x allocation x filtering, without none and unknown */
    MATRIX_CELLS = MATRIX_CLASSES * MATRIX_CLASSES,
    MATRIX_RUNS_MAX = 2000,
    MATRIX_TEXT = 24,
};

/* What it takes to open a pair, the easiest first; hard ones need luck or a small range of ports. */
#define MATRIX_TIERS_X(X) X(T0) X(T1) X(T1p) X(T2) X(T3half) X(T3lin) X(T3scan) X(T3sq)
enum matrix_tier {
#define X(name) MATRIX_##name,
    MATRIX_TIERS_X(X)
#undef X
        MATRIX_TIERS
};
extern const char *const matrix_tier_name[MATRIX_TIERS];

struct matrix_class {
    enum behaviour mapping, filtering;
    enum allocation allocation;
    char text[MATRIX_TEXT]; /* "apd/random/ei": mapping, allocation, filtering */
};

/* One attempt: whether both sides had a direct path, what it took, and the initiator's reason. */
struct matrix_run {
    bool direct;
    uint8_t verdict, rounds; /* rounds: of the technique, where it has some */
    uint32_t us;             /* request until both directions were proven; of direct ones */
    uint32_t packets;        /* that both sides sent towards each other */
};

/* All attempts of one class (the initiator's) at another. */
struct matrix_cell {
    uint8_t from, to;
    enum matrix_tier tier;
    bool wanted;
    struct matrix_run *runs; /* n of them */
};

struct matrix {
    unsigned n; /* runs a cell */
    struct matrix_cell cell[MATRIX_CELLS];
};

struct matrix_class matrix_class(unsigned i);

/* Fill in the cells, all wanted and without memory for runs.  False when the file is none or incomplete. */
bool matrix_read_tiers(struct matrix *m, const char *csv, bool overload);

/* Can it be opened at all without luck? */
static inline bool matrix_reachable(enum matrix_tier t) { return t <= MATRIX_T2; }

#endif
