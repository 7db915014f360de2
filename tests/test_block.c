/* test_block.c - a subscriber's block of ports, told from those that were drawn; see services/classifier/block.h. */
#include "services/classifier/block.h"

#include <criterion/criterion.h>

TestSuite(block, .timeout = 10);

enum { N = 12 };

/* So many ports, evenly from one to the other. */
static bool told(uint16_t first, uint16_t last, size_t n, uint16_t *lo, uint16_t *hi)
{
    uint16_t ports[N];

    for (size_t i = 0; i < n; i++)
        ports[i] = (uint16_t)(first + (last - first) * i / (n - 1));
    return block_of(ports, n, lo, hi);
}

Test(block, is_the_smallest_power_of_two_that_holds_all_ports)
{
    static const struct {
        uint16_t first, last, lo, hi;
    } rows[] = {
        {1030,  1270,  1024,  1279 },
        {1030,  1290,  1024,  1535 }, /* past the edge of 256 */
        {2060,  3000,  2048,  3071 },
        {3100,  5000,  3072,  5119 }, /* of 2,048, counted from 1,024 */
        {4100,  6100,  4096,  6143 }, /* counted from 0: from 1,024 there is an edge at 5,120 */
        {65300, 65535, 65280, 65535},
    };
    uint16_t lo, hi;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert(told(rows[i].first, rows[i].last, N, &lo, &hi), "row %zu", i);
        cr_assert(lo == rows[i].lo && hi == rows[i].hi, "row %zu: %u-%u", i, lo, hi);
    }
}

Test(block, is_not_known_of_few_ports_or_such_as_lie_across_an_edge_or_far_apart)
{
    uint16_t lo = 0, hi = 0, same[N] = {2100, 2200, 2300, 2400};

    cr_assert(told(1030, 1270, BLOCK_SAMPLES_MIN, &lo, &hi));
    cr_assert_not(told(1030, 1270, BLOCK_SAMPLES_MIN - 1, &lo, &hi));
    for (size_t i = 4; i < N; i++)
        same[i] = same[i % 4];
    cr_assert_not(block_of(same, N, &lo, &hi), "four different ones");
    cr_assert_not(told(1900, 2200, N, &lo, &hi), "a block of this size is none of theirs");
    cr_assert_not(told(1024, 40000, N, &lo, &hi));
    cr_assert_not(told(30000, 34000, N, &lo, &hi), "more than the largest");
}
