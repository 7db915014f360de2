/*
 * block.h - the block of ports that a NAT draws a subscriber's from, told from ports that it drew.  Pure.
 *
 * Carriers give each subscriber a power of two of ports, and begin to count at 0 or 1024 (RFC 7422 section 2).  The
 * smallest such block that holds all of n ports drawn at random is a half of the true one with a probability of
 * 2^(1-n) only; of another size or place than these none is told.
 */
#ifndef BLOCK_H
#define BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BLOCK_MIN = 64, /* ports */
    BLOCK_MAX = 2048,
    BLOCK_SAMPLES_MIN = 10, /* different ports: wrong once in 500 */
};

/* False when it can't be told. */
bool block_of(const uint16_t *ports, size_t n, uint16_t *lo, uint16_t *hi);

#endif
