/*
 * test_attack.c - attacks on a suite of real programs in natlab: none succeeds.
 *
 * MANY=1 makes as many attempts as `make attack` does.  ATTACK=name makes that one alone; with WITHOUT=1 against
 * a build that lacks what stops it, where it has to succeed.
 */
#include "tests/attack/attack.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(attack, .timeout = 1200);

static const struct attack *const all[] = {
    attack_on_peers, attack_by_guesses, attack_by_punches, attack_on_servers, attack_on_coordinator,
    attack_on_names, attack_on_doors,   attack_on_paths,   attack_by_relay,
};
enum { CONNS = 96, CONNS_OF_IP = 64 };
enum { GROUPS = sizeof all / sizeof *all };

static unsigned attempts, successes, attacks;

static void make(const struct attack *a)
{
    const char *only = getenv("ATTACK");

    for (; a->name; a++) {
        if (only && strcmp(only, a->name) != 0)
            continue;
        unsigned n = getenv("MANY") ? a->many : a->few;
        int64_t began = zclock_mono();
        uint64_t in = a->run(n);
        printf("%-30s %6u attempts %6lu succeeded  %5ld ms\n", a->name, n, in,
               zclock_mono() - began);
        fflush(stdout);
        attempts += n;
        attacks++;
        successes += in > 0;
        if (!getenv("WITHOUT"))
            cr_expect_eq(in, 0, "%s succeeded", a->name);
    }
}

Test(attack, none_of_them_succeeds)
{
    char limits[256]; /* small enough for one host to reach them */

    snprintf(limits, sizeof limits,
             "NATTERJACK_COORDINATOR_CONNECTIONS=%d NATTERJACK_COORDINATOR_CONNECTIONS_PER_IP=%d"
             " NATTERJACK_COORDINATOR_HANDSHAKE_LIMIT=%d",
             CONNS, CONNS_OF_IP, ATTACK_HANDSHAKE_S);
    attack_open(limits);
    struct ground_run bob = ground_listen(&attack.ground, "bob");
    for (size_t i = 0; i < GROUPS; i++)
        make(all[i]);
    printf("%u attacks, %u attempts, %u succeeded\n", attacks, attempts, successes);
    if (getenv("WITHOUT"))
        cr_assert_eq(successes, attacks, "without its defence it must succeed");
    cr_assert_gt(attacks, 0);
    close(bob.out);
    attack_close();
}

/* In the tree that this is run from. */
Test(attack, each_has_a_build_without_its_defence)
{
    char path[128];

    cr_assert_eq(system("tests/attack/without.sh --check"), 0);
    for (size_t i = 0; i < GROUPS; i++)
        for (const struct attack *a = all[i]; a->name; a++) {
            snprintf(path, sizeof path, "tests/attack/without/%s.patch", a->name);
            cr_assert_eq(access(path, R_OK), 0, "%s", path);
        }
}
