/*
 * test_network.c - a host whose network changes: on the bench, and on real hosts of the laboratory.
 */
#include "tests/lib/executor_bed.h"
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/wait.h>

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TestSuite(network, .timeout = 120);

/* ---- on the bench ------------------------------------------------------------------------------------- */

static void change(int64_t ms, const struct executor_sockets *sockets)
{
    struct input in = {.kind = IN_NETWORK, .now_us = ms * 1000};

    in.network.sockets = sockets;
    executor_step(&executor_bed, &in, &executor_bed_out);
}

Test(network, a_burst_of_changes_costs_one_full_round)
{
    executor_bed_open();
    executor_bed_ready();
    uint32_t rounds = executor_bed.probe_serial;
    for (int64_t ms = 6000; ms < 6400; ms += 10)
        change(ms, NULL);
    cr_assert_eq(executor_bed.probe_serial, rounds);
    executor_bed_run_to(6600);
    cr_assert_eq(executor_bed.probe_serial, rounds + 1);
    cr_assert(executor_bed.full_round);
    cr_assert(executor_bed.profile_known, "the earlier profile stays until there is another");
    executor_bed_run_to(10000);
    cr_assert_eq(executor_bed.probe_serial, rounds + 1);
}

Test(network, changes_without_end_cost_a_round_every_five_seconds)
{
    executor_bed_open();
    executor_bed_ready();
    uint32_t rounds = executor_bed.probe_serial;
    for (int64_t ms = 1000; ms < 21000; ms += 100) {
        executor_bed_run_to(ms);
        change(ms, NULL);
    }
    cr_assert_leq(executor_bed.probe_serial, rounds + 4);
    cr_assert_geq(executor_bed.probe_serial, rounds + 3);
}

Test(network, new_sockets_forget_what_was_known_of_the_old_ones_and_bind_to_the_relay_again)
{
    struct executor_sockets sockets = {
        addr_v4(192, 0, 2, 77, 7000), {7001, 7002, 7003}
    };

    executor_bed_open();
    executor_bed_start(0, TECHNIQUE_SYNCHRONOUS, POLICY_AUTO);
    executor_bed_run_to(300);
    change(300, &sockets);
    cr_assert(addr_eq(&executor_bed.conf.local, &sockets.local));
    cr_assert_eq(executor_bed.conf.sample_ports[2], 7003);
    cr_assert_eq(executor_bed.tokens.n, 0);
    cr_assert_not(executor_bed.profile_known);
    executor_bed_forget();
    executor_bed_tick();
    struct addr to;
    cr_assert_eq(executor_bed_count(PACKET_RELAY, &to), 1);
    cr_assert(addr_eq(&to, &executor_bed_relay));
    cr_assert(executor_bed.probing, "the probers are where they were");
}

/* ---- in the laboratory ---------------------------------------------------------------------------------- */

static struct ground ground;

static void run_on(const char *host, const char *const *argv)
{
    int status;
    pid_t pid = lab_spawn(&ground.lab, host, -1, argv);

    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
}

/* Where the suite last heard that a peer is seen. */
static void reflexive(const char *name, char out[static ADDR_TEXT_MAX])
{
    json_t *peers = ground_admin(&ground, "peers", NULL), *p;
    size_t i;

    out[0] = '\0';
    json_array_foreach(peers, i, p) if (strcmp(ground_text(p, "name"), name) == 0)
        snprintf(out, ADDR_TEXT_MAX, "%s", ground_text(p, "reflexive"));
    json_decref(peers);
}

/* Ask until the suite has another address for it; each question takes some ms, so this is bounded. */
static void wait_for_another(const char *name, const char *before, const char *beginning)
{
    char now[ADDR_TEXT_MAX] = "";

    for (int i = 0; i < 1500; i++) {
        reflexive(name, now);
        if (now[0] && strcmp(now, before) != 0 && strncmp(now, beginning, strlen(beginning)) == 0)
            return;
    }
    cr_assert_fail("%s stays at %s", name, now);
}

Test(network, a_peer_whose_address_goes_away_goes_on_from_another)
{
    char before[ADDR_TEXT_MAX];
    int status;

    ground_open(&ground, ARGS("--delay", "5ms", "alice=open,ip=198.51.100.1+198.51.100.2",
                              "bob=ei/random/apd"));
    ground_listen(&ground, "alice");
    reflexive("alice", before);
    cr_assert_eq(strncmp(before, "198.51.100.1:", 13), 0, "%s", before);
    run_on("alice", ARGS("ip", "addr", "del", "198.51.100.1/32", "dev", "wan0"));
    wait_for_another("alice", before, "198.51.100.2:");
    json_t *line = ground_connect(&ground, "bob", "alice", ARGS("--ping", "3"), &status);
    cr_assert_eq(status, 0, "%s", ground_text(line, "verdict"));
    cr_assert_eq(strncmp(ground_text(line, "remote"), "198.51.100.2:", 13), 0);
    json_decref(line);
    ground_close(&ground);
}

Test(network, a_changed_route_has_the_nat_measured_again_at_once)
{
    char before[ADDR_TEXT_MAX];

    ground_open(&ground, ARGS("--delay", "5ms", "alice=ei/random/apd"));
    ground_listen(&ground, "alice");
    reflexive("alice", before);
    cr_assert(lab_set(&ground.lab, "alice", "flush=now")); /* another NAT, as it were */
    run_on("alice", ARGS("ip", "route", "add", "192.0.2.0/24", "dev", "wan0"));
    wait_for_another("alice", before, "198.51.100.");
    ground_close(&ground);
}
