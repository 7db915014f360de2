/*
 * test_blocks_lab.c - block-birthday with real programs behind modelled NATs: both random inside blocks, and both sides
 * agreed to try them.  RUNS=n: so many pairs of each kind, for figures.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
enum { HOSTS = 6, SPEC_MAX = 96 };

TestSuite(blocks_lab, .timeout = 600);

/* Each host is behind a NAT of its own, and calls the next one once: no port is taken by an earlier attempt. */
static unsigned met(const char *block, const char *overload, const char *percent)
{
    char spec[HOSTS][SPEC_MAX], name[HOSTS][8];
    const char *args[HOSTS + 3] = {"--delay", "20ms"};
    unsigned direct = 0;

    for (size_t i = 0; i < HOSTS; i++) {
        snprintf(name[i], sizeof name[i], "h%zu", i);
        snprintf(spec[i], sizeof spec[i], "%s=apd/random/apd,block=%s,overload=%s", name[i], block,
                 overload);
        args[2 + i] = spec[i];
    }
    args[2 + HOSTS] = NULL;
    ground_open(&ground, args);
    for (size_t i = 1; i < HOSTS; i += 2)
        ground_listen_with(&ground, name[i], ARGS("--blocks", percent, "--blocks-lifted"));
    for (size_t i = 0; i < HOSTS; i += 2) {
        int status;
        json_t *line = ground_connect(
            &ground, name[i], name[i + 1],
            ARGS("--ping", "2", "--blocks", percent, "--blocks-lifted", "--timeout", "20"),
            &status);
        printf("blocks of %s, overload %s, %s %%: %s, %s, connect %.0f ms, total %.0f ms\n", block,
               overload, percent, ground_text(line, "path"), ground_text(line, "verdict"),
               ground_number(line, "connect_ms"), ground_number(line, "total_ms"));
        cr_assert_eq(ground_number(line, "received"), 2);
        if (status == 0)
            cr_assert_str_eq(ground_text(line, "technique"), "block-birthday");
        else
            cr_assert_str_eq(ground_text(line, "verdict"), "block-missed");
        direct += status == 0;
        json_decref(line);
    }
    ground_close(&ground);
    return direct;
}

Test(blocks_lab, two_random_nats_meet_in_their_blocks)
{
    unsigned runs = ground_times("RUNS", 0), direct = 0, all = 0;

    cr_assert_geq(met("256", "on", "255"), HOSTS / 2 - 1);
    for (unsigned i = 0; i < runs; i++) {
        const char *block = (const char *[]){"256", "512", "1024"}[i % 3];
        direct += met(block, "on", "255");
        all += HOSTS / 2;
        printf("overload: %u of %u\n", direct, all);
    }
    for (unsigned i = 0, one = 0; i < runs; i++) {
        one += met((const char *[]){"256", "512", "1024"}[i % 3], "off", "100");
        printf("a port each: %u of %u\n", one, (i + 1) * HOSTS / 2);
    }
}
