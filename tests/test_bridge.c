/*
 * test_bridge.c - the near end of a path as a local UDP address or a command: what passes, what is
 * dropped, and that nothing is left of either.
 */
#include "services/natterjack/bridge.h"
#include "tests/lib/ground.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct ground ground;
static struct service svc;
static struct bridge bridge;
static int far_end; /* what the executor would hold */

enum { LIMIT_MS = 10000 };

static void begin(void)
{
    int fd[2];

    service_open(&svc, SERVICE_executor, NULL);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
    far_end = fd[0];
    bridge_init(&bridge, &svc);
    bridge.path = fd[1];
}

/* Serve the bridge until fd is readable. */
static ssize_t serve_until(int fd, uint8_t *data, size_t cap)
{
    int64_t end = service_now_us() + LIMIT_MS * 1000;
    struct input in;

    while (service_now_us() < end) {
        ssize_t n = recv(fd, data, cap, MSG_DONTWAIT);
        if (n >= 0)
            return n;
        service_wait(&svc, service_now_us() + 10000, &in);
    }
    cr_assert_fail("nothing comes");
    return -1;
}

static struct addr loopback(void) { return addr_v4(127, 0, 0, 1, 0); }

static int udp_client(const struct addr *to, uint16_t *port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    if (port) {
        cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
        *port = ntohs(sa.sin_port);
    }
    if (to) {
        sa.sin_port = htons(to->port);
        cr_assert_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    }
    return fd;
}

TestSuite(bridge, .timeout = 120);

Test(bridge, reads_addresses_and_refuses_what_is_none)
{
    static const char *const wrong[] = {"",
                                        "127.0.0.1",
                                        ":53",
                                        "127.0.0.1:",
                                        "host:dns",
                                        "::1:53",
                                        "127.0.0.1:x",
                                        "127.0.0.1:-1",
                                        "no such:1",
                                        "127.0.0.1:1x",
                                        "127.0.0.1:65536",
                                        "127.0.0.1:99999",
                                        "127.0.0.1:000053"};
    struct addr a;
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(!bridge_address(wrong[i], &a), "%s", wrong[i]);
    cr_assert(bridge_address("127.0.0.1:53", &a));
    cr_assert_str_eq(addr_format(&a, text, sizeof text), "127.0.0.1:53");
    cr_assert(bridge_address("127.0.0.1:65535", &a));
    cr_assert_eq(a.port, 65535);
    cr_assert(bridge_address("[::1]:53", &a));
    cr_assert_str_eq(addr_format(&a, text, sizeof text), "[::1]:53");
    cr_assert(bridge_address("localhost:5000", &a));
    cr_assert_eq(a.port, 5000);
}

Test(bridge, answers_go_to_the_last_sender)
{
    struct addr local = loopback();
    uint8_t data[2 * PAYLOAD_MAX];

    begin();
    cr_assert(bridge_bind(&bridge, &local));
    cr_assert_neq(local.port, 0);
    bridge_open(&bridge, bridge.path);
    cr_assert_eq(send(far_end, "early", 5, 0), 5);
    int one = udp_client(&local, NULL), two = udp_client(&local, NULL);
    for (int i = 0; i < 2; i++) {
        int client = i ? two : one;
        cr_assert_eq(send(client, "ask", 3, 0), 3);
        cr_assert_eq(serve_until(far_end, data, sizeof data), 3);
        cr_assert_eq(send(far_end, "answer", 6, 0), 6);
        cr_assert_eq(serve_until(client, data, sizeof data), 6);
    }
    cr_assert_eq(bridge.sent, 2);
    cr_assert_eq(bridge.received, 3);
    cr_assert_eq(bridge.dropped, 1, "what came before anybody had asked");
    bridge_fini(&bridge);
}

Test(bridge, passes_1_to_1152_bytes_and_counts_what_it_drops)
{
    struct addr local = loopback();
    uint8_t data[PAYLOAD_MAX + 1] = {7}, got[2 * PAYLOAD_MAX];

    begin();
    cr_assert(bridge_bind(&bridge, &local));
    bridge_open(&bridge, bridge.path);
    int client = udp_client(&local, NULL);
    cr_assert_eq(send(client, data, 0, 0), 0);
    cr_assert_eq(send(client, data, PAYLOAD_MAX + 1, 0), PAYLOAD_MAX + 1);
    cr_assert_eq(send(client, data, PAYLOAD_MAX, 0), PAYLOAD_MAX);
    cr_assert_eq(serve_until(far_end, got, sizeof got), PAYLOAD_MAX);
    cr_assert_eq(send(client, data, 1, 0), 1);
    cr_assert_eq(serve_until(far_end, got, sizeof got), 1);
    cr_assert_eq(bridge.sent, 2);
    cr_assert_eq(bridge.dropped, 2);
    bridge_fini(&bridge);
}

Test(bridge, a_service_that_is_not_up_yet_is_reached_when_it_is)
{
    uint16_t port;
    uint8_t data[16];
    int service = udp_client(NULL, &port);
    struct addr at = addr_v4(127, 0, 0, 1, port);

    close(service);
    begin();
    cr_assert(bridge_dial(&bridge, &at));
    bridge_open(&bridge, bridge.path);
    for (uint64_t i = 1; i <= 2; i++) { /* the second meets the ICMP error of the first */
        cr_assert_eq(send(far_end, "lost", 4, 0), 4);
        struct input in;
        while (bridge.received < i)
            service_wait(&svc, service_now_us() + 10000, &in);
    }
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    service = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(service, (struct sockaddr *)&sa, sizeof sa), 0);
    cr_assert_eq(send(far_end, "ask", 3, 0), 3);
    cr_assert_eq(serve_until(service, data, sizeof data), 3);
    bridge_fini(&bridge);
}

/* ---- commands ------------------------------------------------------------------------------------- */

static void run_command(const char *command)
{
    static struct attempt a;

    begin();
    cr_assert(bridge_exec(&bridge, bridge.path, command, &a));
}

Test(bridge, the_session_ends_when_its_command_does_and_the_command_is_reaped)
{
    uint8_t data[256];

    run_command(
        "echo $NATTERJACK_SESSION; sleep 100 & exit 3"); /* though a child holds the socket */
    pid_t pid = bridge.pid;
    cr_assert_eq(serve_until(far_end, data, sizeof data), 33);
    cr_assert_eq(memcmp(data, "00000000000000000000000000000000\n", 33), 0);
    cr_assert_eq(serve_until(far_end, data, sizeof data), 0, "the end");
    cr_assert_eq(waitpid(pid, NULL, WNOHANG), -1, "it was reaped");
    cr_assert_eq(bridge.pid, 0);
    kill(-pid, SIGKILL);
    bridge_fini(&bridge);
}

Test(bridge, a_command_is_ended_with_its_session)
{
    run_command("trap '' TERM; echo up; while :; do sleep 1; done");
    pid_t pid = bridge.pid;
    uint8_t data[16];
    cr_assert_eq(serve_until(far_end, data, sizeof data), 3);
    bridge_close(&bridge);
    cr_assert_eq(kill(pid, 0), 0, "it does not listen to SIGTERM");
    bridge_fini(&bridge);
    cr_assert_eq(waitpid(pid, NULL, WNOHANG), -1, "it was killed and reaped");
    cr_assert_eq(bridge.pidfd, -1);
}

/* ---- through the whole suite ------------------------------------------------------------------------ */

static struct ground_run start(const char *host, const char *verb, const char *event,
                               const char *const *args)
{
    struct ground_run r = ground_start(&ground, host, verb, args);
    json_t *line = ground_line(&r, GROUND_WAIT_MS);

    cr_assert(line && strcmp(ground_text(line, "event"), event) == 0, "%s on %s", verb, host);
    json_decref(line);
    return r;
}

static void ask(int fd, uint16_t port, const char *what)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char answer[64];

    cr_assert_eq(sendto(fd, what, strlen(what), 0, (struct sockaddr *)&sa, sizeof sa),
                 (ssize_t)strlen(what));
    cr_assert_eq(poll(&p, 1, LIMIT_MS), 1, "no answer to %s", what);
    cr_assert_eq(recv(fd, answer, sizeof answer, 0), (ssize_t)strlen(what));
    cr_assert_eq(memcmp(answer, what, strlen(what)), 0);
}

Test(bridge, udp_programs_and_commands_talk_over_paths)
{
    int status;
    char own[96];
    char key[96]; /* a key is one peer, and a peer is one process */

    ground_open(&ground, ARGS("--delay", "5ms", "alice=ei/preserve/apd", "bob=ei/random/apd",
                              "carol=linux"));
    /* alice's program -> bob, whose service is a connect to carol, who runs a command for each. */
    start("carol", "listen", "listening", ARGS("--name", "carol", "--exec-udp", "exec cat"));
    snprintf(own, sizeof own, "%s/alice", ground.dir);
    snprintf(key, sizeof key, "%s/bob-out.key", ground.dir);
    struct ground_run bob_out = start("bob", "connect", "forwarding",
                                      ARGS("carol", "--udp", "127.0.0.1:5001", "--key", key));
    start("bob", "listen", "listening", ARGS("--name", "bob", "--udp", "127.0.0.1:5001"));
    struct ground_run alice = start("alice", "connect", "forwarding",
                                    ARGS("bob", "--udp", "127.0.0.1:5000", "--admin", own));
    /* Its own attempts, as alice's admin socket tells them. */
    char command[256], text[4096] = "";
    snprintf(command, sizeof command, BIN_DIR "/natterjack punches -o json --socket %s", own);
    FILE *f = popen(command, "r");
    cr_assert(f && fgets(text, sizeof text, f));
    pclose(f);
    cr_assert(strstr(text, "\"attempts\":1") && strstr(text, "\"path\""), "%s", text);
    int fd = lab_socket(&ground.lab, "alice", SOCK_DGRAM, "127.0.0.1", 0);
    ask(fd, 5000, "one");
    ask(fd, 5000, "two");
    kill(alice.pid, SIGTERM);
    json_t *line = ground_result(&alice, &status);
    cr_assert_eq(status, 0);
    cr_assert_str_eq(ground_text(line, "path"), "direct");
    cr_assert_eq(ground_number(line, "sent"), 2);
    cr_assert_eq(ground_number(line, "received"), 2);
    json_decref(line);
    kill(bob_out.pid, SIGTERM);
    line = ground_result(&bob_out, &status);
    cr_assert_eq(ground_number(line, "received"), 2);
    json_decref(line);
    /* A command at the connecting end ends the session, and connect with it. */
    line = ground_connect(&ground, "alice", "carol",
                          ARGS("--exec-udp", "echo hello; head -c 1 >/dev/null"), &status);
    cr_assert_eq(status, 0);
    cr_assert_str_eq(ground_text(line, "path"), "direct");
    json_decref(line);
    ground_close(&ground);
}
