/* test_rng.c - the generator: one key, one stream; no way back; no value favoured. */
#include "lib/rng.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

static void setup(void) { cr_assert_geq(sodium_init(), 0); }

TestSuite(rng, .init = setup, .timeout = 30);

/* RFC 8439 appendix A.1 vector 1, from its byte 32 on: the first 32 become the next key. */
Test(rng, is_the_published_chacha20)
{
    static const uint8_t want[32] = {0xda, 0x41, 0x59, 0x7c, 0x51, 0x57, 0x48, 0x8d,
                                     0x77, 0x24, 0xe0, 0x3f, 0xb8, 0xd8, 0x4a, 0x37,
                                     0x6a, 0x43, 0xb8, 0xf4, 0x15, 0x18, 0xa1, 0x1c,
                                     0xc3, 0x87, 0xb6, 0x69, 0xb2, 0xee, 0x65, 0x86};
    static const uint8_t next_key[32] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90,
                                         0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28,
                                         0xbd, 0xd2, 0x19, 0xb8, 0xa0, 0x8d, 0xed, 0x1a,
                                         0xa8, 0x36, 0xef, 0xcc, 0x8b, 0x77, 0x0d, 0xc7};
    uint8_t key[32] = {0}, got[32];
    struct rng r;

    rng_init(&r, key);
    rng_bytes(&r, got, sizeof got);
    cr_assert_arr_eq(got, want, sizeof want);
    cr_assert_arr_eq(r.key, next_key, sizeof next_key);
}

Test(rng, one_key_gives_one_stream_however_it_is_drawn)
{
    struct rng a, b, sizes;
    uint8_t whole[20000], parts[20000];

    rng_seed(&a, 42), rng_seed(&b, 42), rng_seed(&sizes, 1);
    rng_bytes(&a, whole, sizeof whole);
    for (size_t n = 0; n < sizeof parts;) {
        size_t take = rng_below(&sizes, 700);
        if (take > sizeof parts - n)
            take = sizeof parts - n;
        rng_bytes(&b, parts + n, take);
        n += take;
    }
    cr_assert_arr_eq(whole, parts, sizeof whole);
    rng_bytes(&b, NULL, 0);
    cr_assert_eq(rng_u64(&a), rng_u64(&b));
}

Test(rng, other_seeds_and_keys_give_other_streams)
{
    uint64_t first[200];
    struct rng r;

    for (unsigned i = 0; i < 200; i++) { /* seeds of one bit each, then small ones */
        rng_seed(&r, i < 64 ? UINT64_C(1) << i : i * UINT64_C(1000003));
        first[i] = rng_u64(&r);
        for (unsigned j = 0; j < i; j++)
            cr_assert_neq(first[i], first[j]);
    }
    for (unsigned bit = 0; bit < 256; bit++) { /* all of the key counts */
        uint8_t key[32] = {0};
        key[bit / 8] = (uint8_t)(1 << bit % 8);
        rng_init(&r, key);
        uint64_t v = rng_u64(&r);
        for (unsigned j = 0; j < 200; j++)
            cr_assert(v != first[j] ||
                      (bit < 64 && bit == j)); /* a seed is the key's first bytes */
    }
}

static bool holds(const struct rng *r, const uint8_t *p, size_t n)
{
    const uint8_t *in = (const uint8_t *)r;

    for (size_t i = 0; i + n <= sizeof *r; i++)
        if (memcmp(in + i, p, n) == 0)
            return true;
    return false;
}

Test(rng, what_was_drawn_is_not_left_in_memory)
{
    struct rng r;
    uint8_t key[32], before[32], drawn[37];

    memset(key, 0x77, sizeof key);
    rng_init(&r, key);
    for (int i = 0; i < 200; i++) {
        memcpy(before, r.key, sizeof before);
        size_t left = r.left;
        rng_bytes(&r, drawn, sizeof drawn);
        cr_assert(!holds(&r, drawn, 8), "the last bytes drawn");
        cr_assert(!holds(&r, drawn + sizeof drawn - 8, 8));
        cr_assert(!holds(&r, key, sizeof key), "the first key");
        if (r.left > left)
            cr_assert(!holds(&r, before, sizeof before), "the key before the refill");
    }
}

Test(rng, values_are_below_the_bound_and_evenly_spread)
{
    static const uint64_t bounds[] = {1, 2, 3, 7, 10, 100, 255, 256, 257};
    struct rng r;

    rng_seed(&r, 5);
    for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++) {
        enum { DRAWS = 200000 };
        uint64_t n = bounds[b], seen[257] = {0};
        for (int i = 0; i < DRAWS; i++) {
            uint64_t v = rng_below(&r, n);
            cr_assert_lt(v, n);
            seen[v]++;
        }
        double want = (double)DRAWS / (double)n, chi = 0;
        for (uint64_t v = 0; v < n; v++)
            chi += ((double)seen[v] - want) * ((double)seen[v] - want) / want;
        /* Mean n - 1, variance 2 (n - 1): five deviations, and the seed is fixed. */
        double over = chi - (double)(n - 1);
        cr_assert(over <= 0 || over * over < 25 * 2 * (double)(n - 1), "n %zu chi %f", (size_t)n,
                  chi);
    }
}

/* With "% n" alone, values below 2^62 would be twice as likely as others: one half instead of a third. */
Test(rng, large_bounds_have_no_modulo_bias)
{
    uint64_t n = (UINT64_C(1) << 63) + (UINT64_C(1) << 62);
    struct rng r;
    int thirds[3] = {0};

    rng_seed(&r, 6);
    for (int i = 0; i < 90000; i++) {
        uint64_t v = rng_below(&r, n);
        cr_assert_lt(v, n);
        thirds[v >> 62]++;
    }
    for (int i = 0; i < 3; i++)
        cr_assert(thirds[i] > 29000 && thirds[i] < 31000, "third %d: %d", i, thirds[i]);
}

Test(rng, the_bound_just_above_half_is_uniform_and_ends)
{
    uint64_t n = (UINT64_C(1) << 63) + 1; /* nearly every second draw is refused */
    struct rng r;
    int eighths[8] = {0};

    rng_seed(&r, 7);
    for (int i = 0; i < 80000; i++) {
        uint64_t v = rng_below(&r, n);
        cr_assert_lt(v, n);
        eighths[v >> 60 & 7]++;
    }
    for (int i = 0; i < 8; i++)
        cr_assert(eighths[i] > 9500 && eighths[i] < 10500, "eighth %d: %d", i, eighths[i]);
    for (int i = 0; i < 1000; i++)
        cr_assert_leq(rng_below(&r, UINT64_MAX), UINT64_MAX - 1);
}
