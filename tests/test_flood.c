/*
 * test_flood.c - floods at all ports of a suite at once, from forged sources and many addresses: the suite stays
 * small, and how many peers connect meanwhile.
 *
 * Of a suite that has the machine's cores, what one core sends is within what it takes.  So for the others
 * each of its processes is held to a share of a core; what it can take is measured first, port by port, in
 * the same run, and ten times that is offered.  FLOOD_S=n lasts so many seconds, `make flood` 60.  The peers are
 * across the laboratory's lines.
 */
#include "tests/attack/attack.h"
#include "tests/attack/floods.h"
#include "tests/lib/share.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RSS_MAX_KIB = 256 * 1024,
    TIMES = 10,
    TOLD = 12, /* so that it is no less when the machine has other work */
    SETTLE_MS = 5000,
    MEASURE_MS = 1000,
    GOOD_PERCENT = 99,
    CI_S = 2,
};

TestSuite(flood, .timeout = 600);

/* A share of a core in percent, and what is offered to find out what it can take. */
static const struct {
    const char *process;
    unsigned percent;
    uint64_t saturating;
} doors[FLOOD_DOORS] = {
    {"prober",      1, 150000},
    {"relay",       1, 150000},
    {"coordinator", 6, 500   },
    {"coordinator", 0, 500   },
};

static long rss_kib(const char *process)
{
    char path[64], line[256];
    long kib = 0;

    snprintf(path, sizeof path, "/proc/%d/status", (int)ground_pid(&attack.ground, process));
    FILE *f = fopen(path, "re");
    cr_assert(f);
    while (fgets(line, sizeof line, f))
        sscanf(line, "VmHWM: %ld", &kib);
    fclose(f);
    return kib;
}

static void rest(int ms)
{
    uint8_t data[64];
    int64_t end = zclock_mono() + ms, left;

    while ((left = end - zclock_mono()) > 0)
        attack_hear(attack.udp, data, sizeof data, (int)left);
}

/* What a door has taken until now: datagrams that its process has read, handshakes that it has gone into. */
static uint64_t taken(enum flood_door door)
{
    if (door >= FLOOD_FRONT)
        return floods_answered(door);
    json_t *state = ground_admin(&attack.ground, "state", doors[door].process);
    double n = ground_number(json_object_get(state, "shell"), "datagrams_in");
    json_decref(state);
    return n > 0 ? (uint64_t)n : 0;
}

/* A door's, alone, with more than enough offered. */
static uint64_t capacity(enum flood_door door)
{
    floods_set(door, doors[door].saturating);
    rest(SETTLE_MS);
    uint64_t before = taken(door);
    int64_t began = zclock_mono();
    rest(MEASURE_MS);
    uint64_t per_s = (taken(door) - before) * 1000 / (uint64_t)(zclock_mono() - began);
    floods_set(door, 0);
    return per_s;
}

static bool hold_all(void)
{
    for (unsigned i = 0; i < FLOOD_DOORS; i++)
        if (doors[i].percent > 0 &&
            !share_hold(ground_pid(&attack.ground, doors[i].process), doors[i].percent))
            return false;
    return true;
}

static void expect_small(void)
{
    static const char *const processes[] = {"coordinator", "classifier", "prober", "relay"};
    long all = 0;

    for (size_t i = 0; i < sizeof processes / sizeof *processes; i++) {
        long kib = rss_kib(processes[i]);
        printf("%-12s %6ld KiB at most\n", processes[i], kib);
        all += kib;
    }
    cr_expect_lt(all, RSS_MAX_KIB);
}

/* Peers are on these; and on one that nobody was on before the flood. */
enum { HOSTS = 3 };
static const char *const hosts[HOSTS + 1] = {"alice", "carol", "victim", "mallory"};

/* Peers on so many of them from that one on connect to Bob, one after the other, for so long; every other one by the
 * relay. */
static struct tally {
    unsigned tried, good, direct;
    int64_t ms;
} connect_for(unsigned seconds, unsigned first, unsigned n)
{
    struct tally t = {0};
    int64_t began = zclock_mono();
    int status;

    while ((t.ms = zclock_mono() - began) < (int64_t)seconds * 1000 || t.tried == 0) {
        json_decref(ground_connect(
            &attack.ground, hosts[first + t.tried % n], "bob",
            ARGS("--ping", "1", "--timeout", "10", "--policy", t.tried / n % 2 ? "relay" : "auto"),
            &status));
        t.tried++;
        t.good += status == 0 || status == 3;
        t.direct += status == 0;
    }
    return t;
}

static void print(enum flood_door first, const struct tally *t, const uint64_t before[],
                  const uint64_t can[])
{
    for (enum flood_door d = first; d < FLOOD_DOORS; d++) {
        uint64_t offered = (floods_sent(d) - before[d]) * 1000 / (uint64_t)t->ms;
        printf("%-7s is offered %6lu a second", flood_name[d], offered);
        if (can)
            cr_expect_geq(offered, TIMES * can[d], "%s is not flooded", flood_name[d]);
        if (can)
            printf(", takes %6lu: %.1f times", can[d], (double)offered / (double)can[d]);
        printf("\n");
    }
    printf("%ld s: %u of %u connects, %u direct\n", t->ms / 1000, t->good, t->tried, t->direct);
    fflush(stdout);
}

static struct ground_run bob;

static void open_all(void)
{
    attack_open("");
    bob = ground_listen(&attack.ground, "bob");
    floods_open();
}

static void close_all(void)
{
    expect_small();
    floods_close();
    close(bob.out);
    attack_close();
    share_release();
}

/* All that one core sends, at a suite that has what it needs; a tenth of it in CI, where other tests have their turn. */
Test(flood, at_every_port_leaves_the_suite_small_and_peers_connecting)
{
    uint64_t before[FLOOD_DOORS] = {0};
    unsigned seconds = ground_times("FLOOD_S", 0);

    open_all();
    for (enum flood_door d = 0; d < FLOOD_DOORS; d++)
        floods_set(d, seconds > 0 ? doors[d].saturating : doors[d].saturating / 10);
    struct tally t = connect_for(seconds > 0 ? seconds : CI_S, 0, HOSTS + 1);
    print(FLOOD_PROBER, &t, before, NULL);
    for (enum flood_door d = 0; d < FLOOD_DOORS; d++)
        cr_expect_gt(d < FLOOD_FRONT ? taken(d) : floods_sent(d), 0, "not at the %s",
                     flood_name[d]);
    cr_expect_geq(t.good * 100, t.tried * GOOD_PERCENT);
    close_all();
}

/*
 * Peers that were there connect for so many seconds while each door from this one on is offered twelve times what it
 * takes, which is measured first; then for a fourth of it peers from where none was.
 */
static void crowd(enum flood_door first, unsigned seconds)
{
    uint64_t can[FLOOD_DOORS], before[FLOOD_DOORS];
    struct tally t = connect_for(1, 0, HOSTS);

    cr_assert(t.good == t.tried && t.tried >= HOSTS, "all, before it");
    cr_assert(hold_all(), "no process can be held to a share of a core here");
    for (enum flood_door d = first; d < FLOOD_DOORS; d++) {
        can[d] = capacity(d);
        cr_assert_gt(can[d], 0, "the flood does not get to the %s", flood_name[d]);
    }
    for (enum flood_door d = first; d < FLOOD_DOORS; d++) {
        before[d] = floods_sent(d);
        floods_set(d, TOLD * can[d]);
    }
    t = connect_for(seconds, 0, HOSTS);
    print(first, &t, before, can);
    cr_expect_geq(t.good * 100, t.tried * GOOD_PERCENT);
    t = connect_for(seconds / 4, HOSTS, 1);
    printf("from where nobody was: %u of %u\n", t.good, t.tried);
    for (enum flood_door d = first; d < FLOOD_DOORS; d++)
        floods_set(d, 0);
}

/* What peers send waits in queues that strangers can't fill (services/prober/doors_shell.h, relay/steer_shell.h). */
Test(flood, of_ten_times_what_a_suite_takes_lets_those_in_who_have_been_there)
{
    unsigned seconds = ground_times("FLOOD_S", 0);

    if (seconds == 0)
        cr_skip("only for make flood: it takes a minute");
    open_all();
    crowd(FLOOD_PROBER, seconds);
    rest(SETTLE_MS);
    struct tally t = connect_for(1, 0, HOSTS + 1);
    cr_expect_eq(t.good, t.tried, "after it");
    close_all();
}

/* And more of them in the same time: theirs alone (services/coordinator/queues_shell.h). */
Test(flood, of_ten_times_what_the_coordinator_takes_does_too)
{
    unsigned seconds = ground_times("FLOOD_S", 0);

    if (seconds == 0)
        cr_skip("only for make flood: it takes a minute");
    open_all();
    crowd(FLOOD_FRONT, seconds);
    close_all();
}
