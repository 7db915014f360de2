/*
 * test_failover.c - real peers whose direct path is taken from them while pings flow, 100 ms apart: how many are
 * lost tells how long nothing did, and the listener that the path was relayed and is direct again, and after how long.
 *
 * FAILOVER_RUNS=n (`make natlab-check`: 20) does it so often, and as often with a mapping that expires, which takes its
 * time; how the times are spread is printed.  In virtual time they are in test_alive.c.
 */
#include "lib/service.h"
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { LOST_MAX = 10 /* of 100 ms each */, RUNS_MAX = 200 };

TestSuite(failover, .timeout = 1200);

static struct ground ground;

static void restart(const char *host) { cr_assert(lab_set(&ground.lab, host, "flush=now")); }
static void renumber(const char *host) { cr_assert(lab_set(&ground.lab, host, "renumber=now")); }

static void lose_address(const char *host)
{
    int status;
    pid_t pid = lab_spawn(&ground.lab, host, -1,
                          ARGS("ip", "addr", "del", "198.51.100.1/32", "dev", "wan0"));

    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
}

/* Each on a host of its own, all at once. */
static const struct kind {
    const char *what, *name, *host;
    void (*change)(const char *host);
} kinds[] = {
    {"NAT restarted",      "restarts",  "restarts=ei/random/apd",                                 restart     },
    {"new public address", "renumbers", "renumbers=ei/random/apd,ip=198.51.100.11+198.51.100.12",
     renumber                                                                                                 },
    {"interface changed",  "moves",     "moves=open,ip=198.51.100.1+198.51.100.2",                lose_address},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* What the listener said of one of them, and when. */
struct course {
    enum { NOTHING, DIRECT, CHANGED, RELAYED, AGAIN } is;
    int64_t changed_us, left_us, back_us;
    char session[64];
};

static size_t kind_of(const char *name)
{
    for (size_t k = 0; k < KINDS; k++)
        if (strcmp(kinds[k].name, name) == 0)
            return k;
    cr_assert_fail("%s?", name);
    return KINDS;
}

/* The listener's next line. */
static void follow(struct ground_run *listener, struct course *c)
{
    json_t *line = ground_line(listener, GROUND_WAIT_MS);

    if (!line)
        for (size_t k = 0; k < KINDS; k++)
            cr_assert_eq(c[k].is, AGAIN, "%s: no path that is %s", kinds[k].what,
                         c[k].is == CHANGED ? "relayed" : "direct");
    struct course *one = &c[kind_of(ground_text(line, "name"))];
    const char *path = ground_text(line, "path");
    int64_t now_us = service_now_us();
    if (one->is == NOTHING && strcmp(path, "direct") == 0) {
        one->is = DIRECT;
        snprintf(one->session, sizeof one->session, "%s", ground_text(line, "session"));
    } else if (one->is == CHANGED && strcmp(path, "relayed") == 0) {
        one->is = RELAYED;
        one->left_us = now_us - one->changed_us;
    } else if (one->is == RELAYED && strcmp(path, "direct") == 0) {
        one->is = AGAIN;
        one->back_us = now_us - one->changed_us;
    }
    json_decref(line);
}

/* Until the caller is sure of it too, which is told nowhere else. */
static void await_both(const struct course *c)
{
    for (bool both = false; !both;) {
        json_t *session = ground_admin(&ground, "session", c->session);
        both = strcmp(ground_text(session, "state"), "direct") == 0;
        json_decref(session);
    }
}

static bool all(const struct course *c, int is)
{
    for (size_t k = 0; k < KINDS; k++)
        if ((int)c[k].is < is)
            return false;
    return true;
}

/* Sessions of pings; the changes in the middle; and all are direct at the end. */
static void round_of_all(struct course c[KINDS], double lost[KINDS])
{
    struct ground_run r[KINDS];

    ground_open(&ground, ARGS("--delay", "5ms", kinds[0].host, kinds[1].host, kinds[2].host,
                              "bob=ei/random/apd"));
    struct ground_run bob = ground_listen(&ground, "bob");
    for (size_t k = 0; k < KINDS; k++) {
        c[k] = (struct course){.is = NOTHING};
        r[k] =
            ground_start(&ground, kinds[k].name, "connect",
                         ARGS("bob", "--name", kinds[k].name, "--ping", "30", "--timeout", "10"));
    }
    while (!all(c, DIRECT))
        follow(&bob, c);
    for (size_t k = 0; k < KINDS; k++)
        await_both(&c[k]);
    for (size_t k = 0; k < KINDS; k++) {
        c[k].is = CHANGED;
        c[k].changed_us = service_now_us();
        kinds[k].change(kinds[k].name);
    }
    while (!all(c, AGAIN))
        follow(&bob, c);
    for (size_t k = 0; k < KINDS; k++) {
        int status;
        json_t *line = ground_result(&r[k], &status);
        lost[k] = ground_number(line, "sent") - ground_number(line, "received");
        cr_assert_eq(status, 0, "%s: %s", kinds[k].what, ground_text(line, "verdict"));
        json_decref(line);
    }
    ground_close(&ground);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print(const char *what, const char *which, double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    printf("%s: %s p50 %.0f, p99 %.0f, most %.0f\n", what, which, v[n / 2],
           v[(n * 99 + 99) / 100 - 1], v[n - 1]);
}

Test(failover,
     a_nat_that_restarts_another_public_address_and_another_network_cost_a_second_of_pings)
{
    static double left_ms[KINDS][RUNS_MAX], back_ms[KINDS][RUNS_MAX], lost[KINDS][RUNS_MAX];
    unsigned n = ground_times("FAILOVER_RUNS", 1);

    cr_assert_leq(n, RUNS_MAX);
    for (unsigned i = 0; i < n; i++) {
        struct course c[KINDS];
        double pings[KINDS];
        round_of_all(c, pings);
        for (size_t k = 0; k < KINDS; k++) {
            left_ms[k][i] = (double)c[k].left_us / 1000;
            back_ms[k][i] = (double)c[k].back_us / 1000;
            lost[k][i] = pings[k];
            cr_assert_leq(pings[k], LOST_MAX, "%s", kinds[k].what);
        }
    }
    for (size_t k = 0; k < KINDS; k++) {
        print(kinds[k].what, "ms until left,", left_ms[k], n);
        print(kinds[k].what, "ms until direct,", back_ms[k], n);
        print(kinds[k].what, "of 30 pings lost,", lost[k], n);
    }
}

/* ---- a mapping that expires ---------------------------------------------------------------------------------- */

enum { SLEEPERS = 10 };

/* One datagram, a rest in which nothing but keepalives is sent and the NAT forgets, and data again. */
static struct ground_run rest_on(const char *host)
{
    char command[512];

    snprintf(command, sizeof command,
             "printf x; sleep 20; date +%%s%%N > %s/%s; for i in $(seq 150); do printf x; sleep "
             "0.02; done",
             ground.dir, host);
    return ground_start(&ground, host, "connect",
                        ARGS("bob", "--name", host, "--timeout", "10", "--exec-udp", command));
}

/* Since the host's program sent again. */
static double since_it_woke_ms(const char *host)
{
    char path[96];
    long long woke_ns = 0;
    struct timespec now;

    snprintf(path, sizeof path, "%s/%s", ground.dir, host);
    FILE *f = fopen(path, "re");
    cr_assert(f && fscanf(f, "%lld", &woke_ns) == 1, "%s has lost its path before", host);
    fclose(f);
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)(now.tv_sec * 1000000000LL + now.tv_nsec - woke_ns) / 1e6;
}

/* Ten at once: how long after the first datagram each path is direct again. */
static void rest_of_all(double back_ms[SLEEPERS])
{
    char host[SLEEPERS][16], spec[SLEEPERS][64];
    const char *args[SLEEPERS + 4] = {"--delay", "5ms", "bob=ei/random/apd"};
    bool left[SLEEPERS] = {false};
    struct ground_run r[SLEEPERS];

    for (size_t i = 0; i < SLEEPERS; i++) {
        snprintf(host[i], sizeof host[i], "h%zu", i);
        snprintf(spec[i], sizeof spec[i], "%.16s=ei/random/apd,lifetime=2s", host[i]);
        args[3 + i] = spec[i];
    }
    ground_open(&ground, args);
    struct ground_run bob = ground_listen(&ground, "bob");
    for (size_t i = 0; i < SLEEPERS; i++)
        r[i] = rest_on(host[i]);
    for (size_t n = 0; n < SLEEPERS;) {
        json_t *line = ground_line(&bob, 2 * GROUND_WAIT_MS);
        cr_assert_not_null(line, "%zu of %d are direct again", n, SLEEPERS);
        size_t i = (size_t)atoi(ground_text(line, "name") + 1);
        bool direct = strcmp(ground_text(line, "path"), "direct") == 0;
        if (direct && left[i]) {
            back_ms[i] = since_it_woke_ms(host[i]);
            left[i] = false;
            n++;
        } else {
            left[i] = left[i] || !direct;
        }
        json_decref(line);
    }
    for (size_t i = 0; i < SLEEPERS; i++) {
        int status;
        json_decref(ground_result(&r[i], &status));
        cr_assert_eq(status, 0);
    }
    ground_close(&ground);
}

Test(failover, a_mapping_that_expired_while_a_path_slept_is_opened_anew_by_the_first_datagram)
{
    static double back_ms[RUNS_MAX + SLEEPERS];
    unsigned n = ground_times("FAILOVER_RUNS", 0);

    if (n == 0)
        cr_skip_test("FAILOVER_RUNS says how often");
    for (unsigned i = 0; i < n; i += SLEEPERS)
        rest_of_all(back_ms + i);
    print("mapping expired", "ms until direct,", back_ms, (n + SLEEPERS - 1) / SLEEPERS * SLEEPERS);
}
