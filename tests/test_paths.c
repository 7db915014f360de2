/*
 * test_paths.c - two real peers behind two real or modelled NATs, through the whole suite: which path
 * comes of it, and why.
 *
 * RUNS=n repeats every pair; `make natlab-check` has 20, and prints medians against the floor that
 * physics sets (DESIGN section 6): F = max(2a, a + b) + d.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TestSuite(paths, .timeout = 1500);

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct times {
    size_t n;
    double connect[200], confirmed[200], total[200];
};

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return n ? v[n / 2] : 0;
}

static void print_times(const char *pair, struct times *t)
{
    double d = (double)ground.delay_us / 1000, floor_ms = 3 * d;
    double connect = median(t->connect, t->n), confirmed = median(t->confirmed, t->n);
    double total = median(t->total, t->n); /* sorts: the last one is the largest */

    printf(
        "%-44s n=%-3zu connect %.1f ms = %.2f F, confirmed %.1f ms = %.2f (F + d), total %.0f ms "
        "(max %.0f)\n",
        pair, t->n, connect, connect / floor_ms, confirmed, confirmed / (floor_ms + d), total,
        t->n ? t->total[t->n - 1] : 0);
    fflush(stdout);
}

static void note_times(struct times *t, const json_t *line)
{
    t->connect[t->n] = ground_number(line, "connect_ms");
    t->confirmed[t->n] = ground_number(line, "confirmed_ms");
    t->total[t->n++] = ground_number(line, "total_ms");
}

static void expect_direct(const char *from, const char *to, unsigned runs)
{
    struct times t = {0};
    char pair[64];

    for (unsigned i = 0; i < runs; i++) {
        int status;
        json_t *line = ground_connect(&ground, from, to, ARGS("--ping", "2"), &status);
        cr_assert_eq(status, 0, "%s to %s, run %u: %s, %s", from, to, i, ground_text(line, "path"),
                     ground_text(line, "verdict"));
        cr_assert_str_eq(ground_text(line, "path"), "direct");
        cr_assert_eq(ground_number(line, "received"), 2);
        note_times(&t, line);
        json_decref(line);
    }
    snprintf(pair, sizeof pair, "%s to %s", from, to);
    print_times(pair, &t);
}

static void expect_relayed(const char *from, const char *to, const char *verdict, unsigned runs)
{
    struct times t = {0};
    char pair[64];

    for (unsigned i = 0; i < runs; i++) {
        int status;
        json_t *line = ground_connect(&ground, from, to, ARGS("--ping", "2"), &status);
        cr_assert_eq(status, 3, "%s to %s, run %u: %s, %s", from, to, i, ground_text(line, "path"),
                     ground_text(line, "verdict"));
        cr_assert_str_eq(ground_text(line, "verdict"), verdict);
        cr_assert_str_neq(ground_text(line, "remedy"), "");
        cr_assert_eq(ground_number(line, "received"), 2);
        cr_assert_eq(ground_number(line, "punch_sent"), 0);
        note_times(&t, line);
        json_decref(line);
    }
    snprintf(pair, sizeof pair, "%s to %s (%s)", from, to, verdict);
    print_times(pair, &t);
}

Test(paths, every_pair_has_the_path_its_nats_allow)
{
    static const char *const stable[] = {"cone", "cone-random", "linux"};
    unsigned runs = ground_times("RUNS", 1);

    ground_open(&ground,
                ARGS("--delay", "20ms", "open=open,ip=198.51.100.1", "cone=ei/preserve/apd",
                     "cone-random=ei/random/apd", "linux=linux", "random=apd/random/apd",
                     "linux-random=linux-random", "to-open=open,ip=198.51.100.2",
                     "to-cone=ei/preserve/apd", "to-cone-random=ei/random/apd", "to-linux=linux",
                     "to-random=apd/random/apd", "to-linux-random=linux-random"));
    printf("natlab: up in %.0f ms\n", (double)ground.lab.up_us / 1e3);
    for (const char *const *to = ARGS("to-open", "to-cone", "to-cone-random", "to-linux",
                                      "to-random", "to-linux-random");
         *to; to++)
        ground_listen(&ground, *to);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++) {
            char to[32];
            snprintf(to, sizeof to, "to-%s", stable[j]);
            expect_direct(stable[i], to, runs);
        }
    for (const char *const *from =
             ARGS("open", "cone", "cone-random", "linux", "random", "linux-random");
         *from; from++)
        expect_direct(*from, "to-open", runs);
    for (const char *const *to =
             ARGS("to-cone", "to-cone-random", "to-linux", "to-random", "to-linux-random");
         *to; to++)
        expect_direct("open", *to, runs);
    for (const char *const *from = ARGS("random", "linux-random"); *from; from++) {
        expect_relayed(*from, "to-random", "both-random", runs);
        expect_relayed(*from, "to-linux-random", "both-random", runs);
    }
    ground_close(&ground);
}

Test(paths, two_hosts_behind_one_address_meet_on_the_lan_or_by_hairpin)
{
    unsigned runs = ground_times("RUNS", 1);

    ground_open(&ground,
                ARGS("--delay", "20ms", "home=apd/random/apd", "to-home=@home",
                     "carrier=ei/preserve/apd,hairpin=external", "carol=ei/preserve/apd@carrier",
                     "to-carol=ei/random/apd@carrier", "other=ei/preserve/apd",
                     "dave=ei/preserve/apd@other", "to-dave=ei/preserve/apd@other"));
    for (const char *const *to = ARGS("to-home", "to-carol", "to-dave"); *to; to++)
        ground_listen(&ground, *to);
    for (unsigned i = 0; i < runs; i++) {
        int status;
        json_t *line = ground_connect(&ground, "home", "to-home", ARGS("--ping", "2"), &status);
        cr_assert_eq(status, 0, "%s", ground_text(line, "verdict"));
        cr_assert_str_eq(ground_text(line, "technique"), "host");
        cr_assert_neq(strncmp(ground_text(line, "remote"), "198.", 4), 0, "not by the router");
        json_decref(line);
        line = ground_connect(&ground, "carol", "to-carol", ARGS("--ping", "2"), &status);
        cr_assert_eq(status, 0, "%s", ground_text(line, "verdict"));
        cr_assert_str_eq(ground_text(line, "verdict"), "direct-host");
        cr_assert_eq(strncmp(ground_text(line, "remote"), "198.", 4), 0, "by the carrier's NAT");
        json_decref(line);
        line = ground_connect(&ground, "dave", "to-dave", ARGS("--ping", "2"), &status);
        cr_assert_eq(status, 3);
        cr_assert_str_eq(ground_text(line, "verdict"), "no-hairpin");
        cr_assert_eq(ground_number(line, "received"), 2);
        json_decref(line);
    }
    ground_close(&ground);
}

/* By chance: of 1,500 tries one in 400 attempts meets nothing, so not each must. */
static void expect_birthday(const char *from, const char *to, unsigned runs)
{
    struct times t = {0};
    char pair[64];

    for (unsigned i = 0; i < runs; i++) {
        int status;
        json_t *line = ground_connect(&ground, from, to, ARGS("--ping", "2"), &status);
        bool direct = status == 0;
        cr_assert_str_eq(ground_text(line, "verdict"),
                         direct ? "direct-birthday" : "birthday-missed");
        cr_assert_eq(ground_number(line, "received"), 2);
        if (direct)
            note_times(&t, line);
        json_decref(line);
    }
    snprintf(pair, sizeof pair, "%s to %s, of %u", from, to, runs);
    print_times(pair, &t);
    cr_assert_geq(t.n * 3, (size_t)runs * 2);
}

/* Not RUNS: a NAT has 4,096 mappings here and an attempt takes 256, so that many in a row would fill it. */
Test(paths, a_random_nat_meets_a_known_port_by_birthday)
{
    unsigned runs = ground_times("BIRTHDAY_RUNS", 3);

    ground_open(&ground,
                ARGS("--delay", "20ms", "cone=ei/preserve/apd", "linux-random=linux-random",
                     "random=apd/random/apd,lifetime=30s", "to-linux=linux"));
    ground_listen(&ground, "random");
    ground_listen(&ground, "to-linux");
    expect_birthday("cone", "random", runs);
    expect_birthday("linux-random", "to-linux", runs);
    ground_close(&ground);
}

Test(paths, ten_per_cent_loss_does_not_keep_two_port_restricted_peers_apart)
{
    unsigned runs = ground_times("LOSS_RUNS", 5);

    ground_open(&ground, ARGS("--delay", "20ms", "--loss", "10%", "alice=ei/preserve/apd",
                              "bob=ei/random/apd"));
    ground_listen(&ground, "bob");
    for (unsigned i = 0; i < runs; i++) {
        int status;
        json_t *line = ground_connect(&ground, "alice", "bob", ARGS("--timeout", "15"), &status);
        cr_assert_eq(status, 0, "run %u: %s, %s", i, ground_text(line, "path"),
                     ground_text(line, "verdict"));
        json_decref(line);
    }
    printf("10 %% loss: %u of %u direct\n", runs, runs);
    ground_close(&ground);
}

/* Ask the kernel of a host to count what leaves for, and comes from, the other peer's public address. */
static void count_with_nft(const char *host, const char *other_ip)
{
    char rules[512];
    int status;

    snprintf(rules, sizeof rules,
             "nft add table ip count &&"
             "nft 'add chain ip count out { type filter hook output priority 0; }' &&"
             "nft 'add chain ip count in { type filter hook input priority 0; }' &&"
             "nft add rule ip count out ip daddr %s counter &&"
             "nft add rule ip count in ip saddr %s counter",
             other_ip, other_ip);
    pid_t pid = lab_spawn(&ground.lab, host, -1, ARGS("/bin/sh", "-c", rules));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
}

/* Packets that the kernel of a host has counted, both ways. */
static long counted(const char *host)
{
    int fd[2], status;
    char text[4096] = "";
    long sum = 0;

    cr_assert_eq(pipe(fd), 0);
    pid_t pid =
        lab_spawn(&ground.lab, host, fd[1], ARGS("/bin/sh", "-c", "nft list table ip count"));
    close(fd[1]);
    size_t n = 0;
    ssize_t got;
    while (n < sizeof text - 1 && (got = read(fd[0], text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    close(fd[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    int counters = 0;
    for (const char *p = text; (p = strstr(p, "counter packets ")); counters++)
        sum += strtol(p + strlen("counter packets "), (char **)(uintptr_t)&p, 10);
    cr_assert_eq(counters, 2, "%s", text);
    return sum;
}

Test(paths, the_relay_policy_sends_no_packet_from_peer_to_peer)
{
    int status;

    ground_open(&ground,
                ARGS("--delay", "20ms", "alice=open,ip=198.51.100.1", "bob=open,ip=198.51.100.2"));
    ground_listen(&ground, "bob");
    count_with_nft("alice", "198.51.100.2");
    count_with_nft("bob", "198.51.100.1");
    json_t *line =
        ground_connect(&ground, "alice", "bob", ARGS("--policy", "relay", "--ping", "10"), &status);
    cr_assert_eq(status, 3);
    cr_assert_str_eq(ground_text(line, "verdict"), "relay-policy");
    cr_assert_eq(ground_number(line, "received"), 10);
    json_decref(line);
    cr_assert_eq(counted("alice"), 0);
    cr_assert_eq(counted("bob"), 0);
    line = ground_connect(&ground, "alice", "bob", ARGS("--ping", "10"), &status);
    cr_assert_eq(status, 0);
    json_decref(line);
    cr_assert_geq(counted("alice"), 20, "the counters count");
    ground_close(&ground);
}

Test(paths, an_unknown_name_is_refused_at_once_and_says_so)
{
    int status;

    ground_open(&ground, ARGS("--delay", "20ms", "alice=ei/preserve/apd"));
    json_t *line = ground_connect(&ground, "alice", "nobody", ARGS("--timeout", "10"), &status);
    cr_assert_eq(status, 1);
    cr_assert_str_eq(ground_text(line, "kind"), "not-found");
    cr_assert_str_eq(ground_text(line, "verdict"), "name-unknown");
    cr_assert_lt(ground_number(line, "total_ms"), 9000);
    json_decref(line);
    ground_close(&ground);
}

Test(paths, the_suite_explains_a_session)
{
    int status;

    ground_open(&ground, ARGS("--delay", "20ms", "alice=linux-random", "bob=apd/random/apd"));
    ground_listen(&ground, "bob");
    json_t *line = ground_connect(&ground, "alice", "bob", ARGS("--ping", "1"), &status);
    json_t *story = ground_admin(&ground, "explain", ground_text(line, "session"));
    cr_assert_str_eq(ground_text(story, "verdict"), "both-random");
    cr_assert_gt(json_array_size(json_object_get(story, "story")), 3);
    json_decref(story);
    json_decref(line);
    ground_close(&ground);
}

Test(paths, an_interrupted_connect_still_prints_its_result)
{
    char admin[96];
    int status;

    ground_open(&ground, ARGS("--delay", "20ms", "alice=ei/preserve/apd"));
    cr_assert(lab_set(&ground.lab, "alice", "loss=100%")); /* so that nothing can settle */
    snprintf(admin, sizeof admin, "%s/alice.sock", ground.dir);
    struct ground_run r =
        ground_start(&ground, "alice", "connect", ARGS("bob", "--admin", admin, "--timeout", "30"));
    while (access(admin, F_OK) != 0) /* the suite's time limit bounds it */
        sched_yield();
    cr_assert_eq(kill(r.pid, SIGINT), 0);
    json_t *line = ground_result(&r, &status);
    cr_assert_eq(status, 130);
    cr_assert_str_eq(ground_text(line, "path"), "failed");
    cr_assert_str_eq(ground_text(line, "kind"), "cancelled");
    json_decref(line);
    ground_close(&ground);
}
