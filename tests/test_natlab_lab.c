/*
 * test_natlab_lab.c - the laboratory with real sockets and programs: model and kernel NATs side by side,
 * and what a STUN client of others says about them.
 *
 * Needs root and /dev/net/tun, and says so by failing.  All traffic stays inside the labs.
 */
#include "tests/lib/lab_bed.h"
#include "tests/lib/tidy.h"
#include "tests/natlab/control.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(natlab_lab, .timeout = 40);

/* ---- traffic ---- */

Test(natlab_lab, udp_passes_every_kind_of_nat_and_the_answer_comes_back)
{
    static const struct {
        const char *host, *ip;
        bool kept; /* the port */
    } rows[] = {
        {"alice", "198.51.100.10", true },
        {"bob",   "198.51.100.11", false},
        {"carol", "198.51.100.12", true },
        {"dave",  "198.51.100.13", false},
        {"wall",  "198.51.100.14", true }
    };

    bed_start(ARGS("--delay", "20ms", PUB, "alice=ei/preserve/apd", "bob=apd/random/apd",
                   "carol=linux", "dave=linux-random", "wall=firewall"));
    int server = bed_udp("pub", 7000);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t before = bed_now_ms();
        int client = bed_udp(rows[i].host, 5000);
        char kept[64];
        bed_say(client, "203.0.113.10:7000", "ping");
        const char *heard = bed_hear(server, SOON), *from = bed_source(heard);
        snprintf(kept, sizeof kept, "%s:5000 ping", rows[i].ip);
        cr_assert(strncmp(heard, rows[i].ip, strlen(rows[i].ip)) == 0, "%s: %s", rows[i].host,
                  heard);
        cr_assert_eq(strcmp(heard, kept) == 0, rows[i].kept, "%s: %s", rows[i].host, heard);
        bed_say(server, from, "pong");
        cr_assert_str_eq(bed_hear(client, SOON), "203.0.113.10:7000 pong");
        cr_assert_geq(bed_now_ms() - before, 39);
        /* From another address nothing may come in. */
        int other = lab_socket(&bed_lab, "pub", SOCK_DGRAM, "203.0.113.11", 7001);
        bed_say(other, from, "intruder");
        cr_assert_str_eq(bed_hear(client, NEVER), "");
        close(other);
        close(client);
    }
    lab_stop(&bed_lab);
}

Test(natlab_lab, tcp_passes_model_and_kernel_nats)
{
    static const char *const hosts[] = {"alice", "bob"};
    struct sockaddr_in to = bed_sockaddr("203.0.113.11:7440");
    char big[100000] = {0};

    bed_start(ARGS("--delay", "2ms", PUB, "alice=apd/random/apd", "bob=linux"));
    int listener = lab_socket(&bed_lab, "pub", SOCK_STREAM, "203.0.113.11", 7440);
    cr_assert(listener >= 0 && listen(listener, 4) == 0);
    for (size_t i = 0; i < 2; i++) {
        int client = lab_socket(&bed_lab, hosts[i], SOCK_STREAM, "0.0.0.0", 0);
        cr_assert_eq(connect(client, (struct sockaddr *)&to, sizeof to), 0, "%s", strerror(errno));
        int served = accept(listener, NULL, NULL);
        cr_assert_geq(served, 0);
        cr_assert_eq(send(client, big, sizeof big, 0), (ssize_t)sizeof big);
        size_t got = 0;
        while (got < sizeof big) {
            ssize_t n = recv(served, big, sizeof big, 0);
            cr_assert_gt(n, 0);
            got += (size_t)n;
        }
        close(client);
        close(served);
    }
    lab_stop(&bed_lab);
}

/*
 * A punch in which the far packet is first.  Behind the drop policy it leaves no trace and the port is
 * kept, so the punch works.  With no input filter it does: the entry it made owns the remote's tuple, and
 * the own packet leaves by another port than the far side knows.
 */
static void punch(const char *kind, bool works)
{
    char spec[64];

    snprintf(spec, sizeof spec, "bob=%s", kind);
    bed_start(ARGS("--delay", "4ms", PUB, "alice=ei/preserve/apd", spec));
    int server = bed_udp("pub", 7000), alice = bed_udp("alice", 5000), bob = bed_udp("bob", 6000);
    bed_say(alice, "203.0.113.10:7000", "a");
    bed_say(bob, "203.0.113.10:7000", "b");
    bed_hear(server, SOON);
    bed_hear(server, SOON);
    bed_say(alice, "198.51.100.11:6000", "early");
    cr_assert_str_eq(bed_hear(bob, NEVER), "");
    bed_say(bob, "198.51.100.10:5000", "bob");
    const char *heard = bed_hear(alice, works ? SOON : NEVER);
    cr_assert_str_eq(heard, works ? "198.51.100.11:6000 bob" : "", "%s", kind);
    if (works) {
        bed_say(alice, "198.51.100.11:6000", "alice");
        cr_assert_str_eq(bed_hear(bob, SOON), "198.51.100.10:5000 alice");
    }
    lab_stop(&bed_lab);
}

Test(natlab_lab, a_punch_into_a_linux_router_works_even_if_the_far_packet_is_first)
{
    punch("linux", true);
}

Test(natlab_lab, a_punch_into_a_model_nat_works_even_if_the_far_packet_is_first)
{
    punch("ei/preserve/apd", true);
}

Test(natlab_lab, an_early_packet_into_a_linux_router_without_input_filter_spoils_the_punch)
{
    punch("linux-open", false);
}

/* ---- what another's STUN client says ---- */

/* A STUN binding request until it is answered: then the server is up. */
static void wait_for_stun_server(void)
{
    static const char request[20] = {0, 1, 0, 0, 0x21, 0x12, (char)0xa4, 0x42, 'n', 'a', 't'};
    struct sockaddr_in to = bed_sockaddr("203.0.113.10:3478");
    int fd = lab_socket(&bed_lab, "pub", SOCK_DGRAM, "203.0.113.10", 0);

    for (int i = 0; i < 200; i++) {
        sendto(fd, request, sizeof request, 0, (struct sockaddr *)&to, sizeof to);
        if (bed_hear(fd, 50)[0] != '\0') {
            close(fd);
            return;
        }
    }
    cr_assert_fail("no answer from turnserver (package coturn)");
}

static void start_stun_server(char *dir)
{
    char pid[80], db[80], log[80];

    cr_assert(tidy_mkdtemp(dir));
    snprintf(pid, sizeof pid, "%s/pid", dir);
    snprintf(db, sizeof db, "%s/db", dir);
    snprintf(log, sizeof log, "%s/log", dir);
    int out = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    lab_spawn(&bed_lab, "pub", out,
              ARGS("turnserver", "-n", "-z", "-L", "203.0.113.10", "-L", "203.0.113.11", "--no-tls",
                   "--no-dtls", "--no-cli", "-m", "1", "--pidfile", pid, "--userdb", db,
                   "--log-file", "stdout"));
    close(out);
    wait_for_stun_server();
}

static void check_discovery(const char *name, FILE *f, const char *mapping, const char *filtering,
                            const char *truth)
{
    char line[256], external[128];
    bool mapping_seen = false, filtering_seen = false;

    while (fgets(line, sizeof line, f) != NULL) {
        const char *reflexive = strstr(line, "UDP reflexive addr: ");
        if (truth != NULL && reflexive != NULL) {
            snprintf(external, sizeof external, "\"external\":\"%.*s\"",
                     (int)strcspn(reflexive + 20, "\n"), reflexive + 20);
            cr_assert(strstr(truth, external), "%s: %s is not in the tables", name, external);
        }
        mapping_seen |= strstr(line, mapping) != NULL;
        filtering_seen |= strstr(line, filtering) != NULL;
    }
    cr_assert(mapping_seen, "%s is not %s", name, mapping);
    cr_assert(filtering_seen, "%s is not %s", name, filtering);
}

#define EI "Endpoint Independent "
#define AD "Address Dependent "
#define APD "Address and Port Dependent "

Test(natlab_lab, a_stun_client_of_others_agrees_with_the_ground_truth)
{
    static const struct {
        const char *host, *mapping, *filtering;
        bool model;
    } rows[] = {
        {"a", "with " EI "Mapping",  "with " EI "Filtering",  true },
        {"b", "with " EI "Mapping",  "with " APD "Filtering", true },
        {"c", "with " APD "Mapping", "with " EI "Filtering",  true },
        {"d", "with " APD "Mapping", "with " APD "Filtering", true },
        {"e", "with " AD "Mapping",  "with " AD "Filtering",  true },
 /* A port kept for every remote is as good as one mapping. */
        {"f", "with " EI "Mapping",  "with " APD "Filtering", false},
        {"g", "with " APD "Mapping", "with " APD "Filtering", false}
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    char dir[] = "/tmp/test_natlab.XXXXXX";
    FILE *from[ROWS];
    pid_t pids[ROWS];

    bed_start(ARGS("--delay", "2ms", PUB, "a=ei/preserve/ei", "b=ei/random/apd",
                   "c=apd/contiguous/ei", "d=apd/preserve/apd", "e=ad/random/ad", "f=linux",
                   "g=linux-random"));
    start_stun_server(dir);
    for (size_t i = 0; i < ROWS; i++) {
        int out[2];
        cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
        pids[i] = lab_spawn(&bed_lab, rows[i].host, out[1],
                            ARGS("turnutils_natdiscovery", "-m", "-f", "203.0.113.10"));
        close(out[1]);
        from[i] = fdopen(out[0], "r");
    }
    for (size_t i = 0; i < ROWS; i++)
        cr_assert_eq(waitpid(pids[i], NULL, 0), pids[i]);
    char *truth = lab_state(&bed_lab);
    cr_assert(truth);
    for (size_t i = 0; i < ROWS; i++) {
        check_discovery(rows[i].host, from[i], rows[i].mapping, rows[i].filtering,
                        rows[i].model ? truth : NULL);
        fclose(from[i]);
    }
    free(truth);
    lab_stop(&bed_lab);
    tidy_remove(dir);
}
