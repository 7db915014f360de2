/* tally.h - what many attempts add up to: rates with Wilson's interval, and quantiles. */
#ifndef MATRIX_TALLY_H
#define MATRIX_TALLY_H

#include "tests/matrix/matrix.h"

struct tally {
    unsigned runs, direct;
    double rate, low, high;        /* of direct ones; low to high: 95 % (Wilson 1927) */
    double ms_p50, ms_p90, ms_p99; /* of direct ones; 0 when there are none */
    double packets_p50;            /* of all */
};

struct tally tally_cell(const struct matrix *m, const struct matrix_cell *c);

/* All wanted cells of a tier, or with MATRIX_TIERS all that are reachable. */
struct tally tally_tier(const struct matrix *m, enum matrix_tier t);

/* Unordered pairs, wanted in both directions: how many, and in how many of them most attempts were direct. */
struct pairs {
    unsigned n, opened;
};
struct pairs tally_pairs(const struct matrix *m, enum matrix_tier t);

#endif
