/*
 * test_paths.c - two real peers behind two real or modelled NATs, through the whole suite: which path
 * comes of it, and why.
 *
 * Every pair of two kinds of NAT is in test_pairs.c; this is what else is to be said of paths.  RUNS=n and
 * LOSS_RUNS=n repeat what `make natlab-check` repeats.
 */
#include "lib/id.h"
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TestSuite(paths, .timeout = 1500);

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
        cr_assert_str_eq(ground_text(line, "verdict"), "no-hairpin", "run %u: %s", i,
                         ground_text(line, "verdict"));
        cr_assert_eq(ground_number(line, "received"), 2);
        json_decref(line);
    }
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

/* The file beside the key says that bob had another one. */
static void remember_another_bob(void)
{
    static const struct peer_id other = {
        {1, 2, 3}
    };
    char path[160], id[PEER_ID_TEXT];

    snprintf(path, sizeof path, "%s/alice-bob.key.known_peers", ground.dir);
    FILE *f = fopen(path, "we");
    cr_assert_not_null(f);
    cr_assert_eq(fchmod(fileno(f), 0600), 0);
    fprintf(f, "bob %s\n", peer_id_format(&other, id));
    fclose(f);
}

Test(paths, connect_says_when_a_name_has_another_key_than_before)
{
    static const char *const said[] = {"new", "same", "changed"};
    int status;

    ground_open(&ground, ARGS("--delay", "20ms", "alice=ei/preserve/apd", "bob=ei/preserve/apd"));
    ground_listen(&ground, "bob");
    for (size_t i = 0; i < 3; i++) {
        if (i == 2)
            remember_another_bob();
        json_t *line = ground_connect(&ground, "alice", "bob", ARGS("--ping", "1"), &status);
        cr_assert_eq(status, 0, "it warns, and goes on");
        cr_assert_str_eq(ground_text(line, "known"), said[i]);
        cr_assert_eq(ground_text(line, "known_peer")[0] != '\0', i == 2);
        json_decref(line);
    }
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
