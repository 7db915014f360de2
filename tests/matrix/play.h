/* play.h - one attempt between two classes of NAT, by the real cores in virtual time. */
#ifndef MATRIX_PLAY_H
#define MATRIX_PLAY_H

#include "tests/matrix/matrix.h"
#include "tests/sim/world.h"

/* What all attempts have in common. */
struct play_conf {
    int64_t delay_us; /* one way between any two hosts */
    uint32_t loss_ppm;
    uint32_t background_per_s; /* ports that others take of a contiguous NAT */
    uint16_t block;            /* ports of a random NAT's subscriber; 0: all */
    bool no_overload;          /* a kept port serves one mapping only */
    bool reuse;                /* a random one serves several */
    uint8_t share;             /* percent of its block that either side opens at most; 0: none */
};

/* In steps: open the world and let both measure; begin; and say what has come of it. */
void play_open(struct world *w, const struct play_conf *conf, const struct matrix_class *a,
               const struct matrix_class *b, uint64_t seed);
size_t play_connect(struct world *w);
struct matrix_run play_result(struct world *w, size_t result);

/* All of it, to the end of the attempt. */
struct matrix_run play(struct world *w, const struct play_conf *conf, const struct matrix_class *a,
                       const struct matrix_class *b, uint64_t seed);

#endif
