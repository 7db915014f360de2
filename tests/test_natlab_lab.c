/*
 * test_natlab_lab.c - the laboratory with real sockets and programs: model and kernel NATs side by side,
 * what a STUN client of others says about them, and that nothing stays behind.
 *
 * Needs root and /dev/net/tun, and says so by failing.  All traffic stays inside the labs.
 */
#include "tests/lib/lab_bed.h"
#include "tests/lib/tidy.h"
#include "tests/natlab/control.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
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

static void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    char path[512];

    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        unlink(path);
    }
    closedir(d);
    rmdir(dir);
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
    remove_dir(dir);
}

/* ---- the lab as a program ---- */

static bool state_has(const char *part)
{
    char *state = lab_state(&bed_lab);

    cr_assert(state);
    bool found = strstr(state, part) != NULL;
    free(state);
    return found;
}

Test(natlab_lab, counts_who_sent_to_whom_and_tells_its_nat_tables)
{
    bed_start(ARGS("--delay", "2ms", PUB, "alice=ei/preserve/apd", "bob=ei/preserve/apd"));
    int server = bed_udp("pub", 7000), alice = bed_udp("alice", 5000);
    bed_say(alice, "203.0.113.10:7000", "a");
    bed_hear(server, SOON);
    cr_assert(state_has("{\"type\":\"mapping\",\"nat\":\"alice\",\"proto\":\"udp\",\"internal\":"
                        "\"10.2.0.2:5000\",\"external\":\"198.51.100.10:5000\",\"remote\":null,"
                        "\"remotes\":[\"203.0.113.10:7000\"]"));
    cr_assert(state_has("\"from\":\"alice\",\"to\":\"pub\",\"sent\":1,\"sent_udp\":1,"
                        "\"delivered\":1,\"delivered_udp\":1}"));
    cr_assert_not(state_has("\"from\":\"alice\",\"to\":\"bob\""));
    bed_say(alice, "198.51.100.11:5000", "a");
    while (!state_has("\"from\":\"alice\",\"to\":\"bob\",\"sent\":1,\"sent_udp\":1,"
                      "\"delivered\":0,"))
        usleep(1000);
    lab_stop(&bed_lab);
}

Test(natlab_lab, links_and_nats_change_at_run_time)
{
    bed_start(ARGS("--delay", "2ms", PUB, "alice=ei/random/apd"));
    int server = bed_udp("pub", 7000), alice = bed_udp("alice", 5000);
    bed_say(alice, "203.0.113.10:7000", "a");
    char *before = strdup(bed_hear(server, SOON));
    cr_assert(lab_set(&bed_lab, "alice", "loss=100%"));
    bed_say(alice, "203.0.113.10:7000", "b");
    cr_assert_str_eq(bed_hear(server, NEVER), "");
    cr_assert(lab_set(&bed_lab, "alice", "loss=0"));
    cr_assert(lab_set(&bed_lab, "alice", "flush=now"));
    bed_say(alice, "203.0.113.10:7000", "a");
    const char *after = bed_hear(server, SOON);
    cr_assert(after[0] != '\0' && strcmp(after, before) != 0);
    cr_assert(lab_set(&bed_lab, "alice", "udp=blocked"));
    bed_say(alice, "203.0.113.10:7000", "c");
    cr_assert_str_eq(bed_hear(server, NEVER), "");
    cr_assert_not(lab_set(&bed_lab, "alice", "loss=much"));
    cr_assert_not(lab_set(&bed_lab, "nobody", "loss=0"));
    free(before);
    lab_stop(&bed_lab);
}

Test(natlab_lab, two_labs_with_the_same_hosts_do_not_meet)
{
    struct lab first;

    bed_start(ARGS(PUB, "alice=linux"));
    int server1 = bed_udp("pub", 7000), alice1 = bed_udp("alice", 5000);
    first = bed_lab;
    bed_start(ARGS(PUB, "alice=linux"));
    int server2 = bed_udp("pub", 7000), alice2 = bed_udp("alice", 5000);
    bed_say(alice1, "203.0.113.10:7000", "one");
    bed_say(alice2, "203.0.113.10:7000", "two");
    cr_assert_str_eq(bed_hear(server1, SOON), "198.51.100.10:5000 one");
    cr_assert_str_eq(bed_hear(server2, SOON), "198.51.100.10:5000 two");
    cr_assert_str_eq(bed_hear(server1, NEVER), "");
    lab_stop(&bed_lab);
    lab_stop(&first);
}

static int run_natlab(const char *const *args)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execv(BIN_DIR "/natlab", (char **)(uintptr_t)args);
        _exit(127);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(natlab_lab, a_command_runs_in_the_lab_and_its_status_is_the_labs)
{
    cr_assert_eq(
        run_natlab(ARGS("natlab", "--delay", "2ms", PUB, "alice=ad/random/ad", "--", "sh", "-c",
                        "natlab exec alice ip -4 addr | grep -q 10.2.0.2 && "
                        "natlab exec pub sh -c 'exit 3'; "
                        "test $? = 3 && natlab nat | grep -q '\"type\":\"net\"' && exit 7")),
        7);
    cr_assert_eq(run_natlab(ARGS("natlab", "alice=nonsense")), 2);
    cr_assert_eq(run_natlab(ARGS("natlab", "alice=open", "alice=open")), 2);
    cr_assert_eq(run_natlab(ARGS("natlab", "a=open,ip=192.0.2.1", "b=open,ip=192.0.2.1")), 2);
    cr_assert_eq(run_natlab(ARGS("natlab", "exec", "--lab", "no-such-lab", "a", "true")), 1);
}

/* ---- nothing stays behind ---- */

static bool in_namespace(const char *pid, const char *which, ino_t inode)
{
    char path[300];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%s/ns/%s", pid, which);
    return stat(path, &st) == 0 && st.st_ino == inode;
}

static int processes_in(ino_t net, ino_t pids)
{
    DIR *d = opendir("/proc");
    int n = 0;

    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
            n += in_namespace(e->d_name, "net", net) || in_namespace(e->d_name, "pid", pids);
    closedir(d);
    return n;
}

static ino_t inode_of(int fd)
{
    struct stat st;

    cr_assert_eq(fstat(fd, &st), 0);
    close(fd);
    return st.st_ino;
}

static bool socket_exists(const char *name)
{
    FILE *f = fopen("/proc/net/unix", "r");
    char line[512], want[96];
    bool found = false;

    snprintf(want, sizeof want, "@natlab/%s\n", name);
    while (fgets(line, sizeof line, f) != NULL)
        found |= strstr(line, want) != NULL;
    fclose(f);
    return found;
}

/* A lab with a daemon that has left its session, as a service would; then end it from outside. */
static void expect_nothing_left(pid_t victim)
{
    int fds[CONTROL_FDS];
    char error[CONTROL_TEXT_MAX];
    struct sockaddr_in to = bed_sockaddr("203.0.113.10:1");
    pid_t daemon = lab_spawn(&bed_lab, "alice", -1,
                             ARGS("sh", "-c", "setsid sh -c 'sleep 1000 & sleep 1000' &"));

    waitpid(daemon, NULL, 0);
    cr_assert(control_ask(bed_lab.name, "exec alice", fds, error));
    ino_t net = inode_of(fds[0]), pids = inode_of(fds[1]);
    while (processes_in(net, pids) < 4) /* the engine, sh and two sleeps */
        usleep(1000);
    cr_assert(socket_exists(bed_lab.name));
    int probe = bed_udp("alice", 0);
    cr_assert_eq(kill(victim, SIGKILL), 0);
    int64_t limit = bed_now_ms() + 5000;
    while ((processes_in(net, pids) > 0 || socket_exists(bed_lab.name)) && bed_now_ms() < limit)
        usleep(1000);
    cr_assert_eq(processes_in(net, pids), 0);
    cr_assert_not(socket_exists(bed_lab.name));
    /* Our own socket is all that still holds the namespace, and its TUN has gone. */
    cr_assert_lt(connect(probe, (struct sockaddr *)&to, sizeof to), 0);
    cr_assert_eq(errno, ENETUNREACH);
}

Test(natlab_lab, killing_natlab_leaves_no_process_namespace_or_device)
{
    bed_start(ARGS(PUB, "alice=ei/preserve/ei", "bob=linux"));
    expect_nothing_left(bed_lab.pid);
    waitpid(bed_lab.pid, NULL, 0);
}

Test(natlab_lab, ends_at_the_end_of_a_pipe_however_early_that_was)
{
    int fds[2];
    char text[16];

    cr_assert_eq(pipe(fds), 0);
    snprintf(text, sizeof text, "%d", fds[0]);
    close(fds[1]);
    cr_assert_eq(run_natlab(ARGS("natlab", "--outlive-parent", "--until-eof", text, "a=open")), 0);
    bed_start(ARGS("--outlive-parent", "a=open", "b=linux"));
    close(bed_lab.alive);
    cr_assert_eq(waitpid(bed_lab.pid, NULL, 0), bed_lab.pid);
}

Test(natlab_lab, ends_though_the_parent_ignores_the_death_of_children)
{
    int fds[2], status;
    char text[16];

    cr_assert_eq(pipe(fds), 0);
    snprintf(text, sizeof text, "%d", fds[0]);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[1]);
        signal(SIGCHLD, SIG_IGN);
        execl(BIN_DIR "/natlab", "natlab", "--until-eof", text, "a=open", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(WEXITSTATUS(status), 0);
}

Test(natlab_lab, killing_who_started_natlab_ends_it_too)
{
    int name[2];

    cr_assert_eq(pipe(name), 0);
    pid_t starter = fork();
    if (starter == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bool up = lab_start(&bed_lab, ARGS(PUB, "alice=ei/preserve/ei"));
        if (up && write(name[1], bed_lab.name, strlen(bed_lab.name)) > 0)
            pause();
        _exit(1);
    }
    memset(&bed_lab, 0, sizeof bed_lab);
    cr_assert_gt(read(name[0], bed_lab.name, sizeof bed_lab.name - 1), 0);
    expect_nothing_left(starter);
    waitpid(starter, NULL, 0);
}
