/*
 * test_prediction.c - real peers behind modelled NATs that give out ports one after the other, while others
 * behind the same NATs take some: through the whole suite.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TestSuite(prediction, .timeout = 1500);

/* Each of these is direct by the technique nearly always; one of a few may be relayed, and says why. */
static void expect_mostly(const char *from, const char *to, const char *technique, unsigned runs)
{
    unsigned direct = 0;

    for (unsigned i = 0; i < runs; i++) {
        int status;
        json_t *line = ground_connect(&ground, from, to, ARGS("--ping", "2"), &status);
        printf("%s to %s: %s, %s, connect %.0f ms\n", from, to, ground_text(line, "path"),
               ground_text(line, "verdict"), ground_number(line, "connect_ms"));
        cr_assert_eq(ground_number(line, "received"), 2);
        if (status == 0)
            cr_assert_str_eq(ground_text(line, "technique"), technique);
        else
            cr_assert(strstr(ground_text(line, "verdict"), "-missed"), "%s",
                      ground_text(line, "verdict"));
        direct += status == 0;
        json_decref(line);
    }
    cr_assert_geq(direct * 3, runs * 2, "%s to %s: %u of %u", from, to, direct, runs);
}

Test(prediction, ports_given_out_in_order_are_foreseen)
{
    unsigned runs = ground_times("RUNS", 3);

    ground_open(&ground,
                ARGS("--delay", "20ms", "cone=ei/preserve/apd", "steps=apd/contiguous/apd,rate=20",
                     "wide=ad/contiguous/apd,rate=20,delta=3",
                     "to-steps=apd/contiguous/apd,rate=20", "keeps=apd/preserve/apd,overload=off",
                     "to-keeps=apd/preserve/apd,overload=off",
                     "to-random=ad/random/apd,lifetime=30s"));
    ground_listen(&ground, "to-steps");
    ground_listen(&ground, "to-random");
    ground_listen(&ground, "to-keeps");
    expect_mostly("cone", "to-steps", "prediction", runs);
    expect_mostly("steps", "to-steps", "prediction", runs);
    expect_mostly("wide", "to-steps", "prediction", runs);
    expect_mostly("keeps", "to-keeps", "prediction", 1);
    expect_mostly("keeps", "to-steps", "prediction", 1);
    expect_mostly("wide", "to-random", "birthday", 1);
    ground_close(&ground);
}
