/*
 * test_relay_process.c - the relay as a process: real sockets, real keys in files, real signals.
 *
 * Its behaviour is tested in test_relay*.c; this only checks the shell around it.
 */
#include "lib/admin.h"
#include "lib/keys.h"
#include "lib/relaywire.h"
#include "lib/udp.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_S = 10 };

static char dir[] = "/tmp/test_relay.XXXXXX", admin_path[64];
static uint8_t relay_secret[32], relay_public[32], ticket_public[32], coordinator_secret[32],
    coordinator_public[32], cert[64];
static zsock_t *coordinator; /* what the relay tells it */
static pid_t pid;
static struct addr relay; /* where it listens */
static struct rng rng;

static const char *in_dir(const char *name)
{
    static char path[8][64];
    static unsigned next;
    char *p = path[next++ % 8];

    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static const char *period_s = "86400"; /* of ticket keys */

/* Its ready line comes by the descriptor, or nothing when it died. */
static pid_t spawn(const char *public_ip, bool *ready)
{
    int fds[2];
    char fd_text[16], line[16];

    cr_assert_eq(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        snprintf(fd_text, sizeof fd_text, "%d", fds[1]);
        setenv("NATTERJACK_READY_FD", fd_text, 1);
        execl(BIN_DIR "/natterjack-relay", "natterjack-relay", "--bus", in_dir("bus"), "--admin",
              admin_path, "--public-ip", public_ip, "--port", "0", "--key", in_dir("key"), "--cert",
              in_dir("cert"), "--coordinator-key", in_dir("coordinator"), "--ticket-period",
              period_s, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    *ready = read(fds[0], line, sizeof line) > 0;
    close(fds[0]);
    return child;
}

static int exit_status(pid_t child)
{
    int status;

    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void setup(void)
{
    cr_assert_geq(sodium_init(), 0);
    rng_seed(&rng, 1);
    cr_assert(mkdtemp(dir));
    cr_assert_eq(mkdir(in_dir("bus"), 0700), 0);
    snprintf(admin_path, sizeof admin_path, "%s/admin", dir);
    rng_bytes(&rng, relay_secret, 32);
    rng_bytes(&rng, coordinator_secret, 32);
    rng_bytes(&rng, cert, sizeof cert);
    crypto_scalarmult_base(relay_public, relay_secret);
    uint8_t secret[32]; /* of this period: tickets are sealed to it */
    ticket_secret(relay_secret, ticket_period(service_wall_ms(), TICKET_PERIOD_MS), secret);
    crypto_scalarmult_base(ticket_public, secret);
    crypto_scalarmult_base(coordinator_public, coordinator_secret);
    cr_assert(key_save(in_dir("key"), relay_secret, 32, 0600));
    cr_assert(key_save(in_dir("cert"), cert, sizeof cert, 0644));
    cr_assert(key_save(in_dir("coordinator"), coordinator_public, 32, 0644));
    coordinator = zsock_new(ZMQ_PULL);
    cr_assert_geq(zsock_bind(coordinator, "ipc://%s", in_dir("bus/coordinator")), 0);
    zsock_set_rcvtimeo(coordinator, WAIT_S * 1000);
}

static void teardown(void)
{
    zsock_destroy(&coordinator);
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    static const char *const files[] = {
        "key", "cert", "coordinator", "admin", "bus/coordinator", "bus/relay"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(in_dir(files[i]));
    rmdir(in_dir("bus"));
    rmdir(dir);
}

TestSuite(relay_process, .init = setup, .fini = teardown, .timeout = 60);

static json_t *state(void)
{
    char err[256];
    json_t *j = admin_ask(admin_path, "state", WAIT_S * 1000, err, sizeof err);

    cr_assert(j, "%s", err);
    return j;
}

static void start(const char *public_ip)
{
    bool ready;

    pid = spawn(public_ip, &ready);
    cr_assert(ready);
    json_t *j = state();
    cr_assert(addr_parse(json_string_value(json_object_get(j, "addr")), &relay));
    cr_assert_eq(json_integer_value(json_object_get(j, "sessions")), 0);
    cr_assert(json_object_get(json_object_get(j, "counters"), "forwarded_bytes"));
    json_decref(j);
}

static int peer_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval limit = {.tv_sec = WAIT_S};
    struct sockaddr_storage sa;
    struct addr at = addr_v4(127, 0, 0, 1, relay.port);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, addr_to_sockaddr(&at, &sa)), 0);
    return fd;
}

static struct relay_control receive(int fd)
{
    uint8_t wire[DATAGRAM_MAX];
    struct relay_control c;
    ssize_t n = recv(fd, wire, sizeof wire, 0);

    cr_assert(n > 0 && relay_parse(wire, (size_t)n, &c));
    return c;
}

static void send_control(int fd, const struct relay_control *c)
{
    uint8_t wire[RELAY_CONTROL_MAX];
    size_t n = relay_encode(c, wire);

    cr_assert_eq(send(fd, wire, n, 0), (ssize_t)n);
}

static void bind_side(int fd, const struct sid *session, uint8_t side, enum relay_status want)
{
    struct ticket t = {.session = *session,
                       .side = side,
                       .expires_ms = service_wall_ms() + 60000,
                       .bytes_max = 100000,
                       .bytes_per_s = 100000};
    struct relay_control c = {.op = RELAY_BIND, .nonce = {side}};

    cr_assert(ticket_seal(&t, ticket_public, coordinator_secret, &rng, c.ticket));
    send_control(fd, &c);
    struct relay_control answer = receive(fd);
    cr_assert_eq(answer.op, RELAY_CHALLENGE);
    memcpy(c.cookie, answer.cookie, sizeof c.cookie);
    c.op = RELAY_PROVE;
    send_control(fd, &c);
    answer = receive(fd);
    cr_assert(answer.op == RELAY_BOUND && answer.status == want);
}

Test(relay_process, carries_a_datagram_between_two_sockets)
{
    uint8_t wire[DATA_BYTES_MAX], got[DATAGRAM_MAX], key[32] = {1};
    struct sid session = {{7}};
    struct path_id to = path_id(&session, 1);

    start("127.0.0.1");
    int a = peer_socket(), b = peer_socket();
    bind_side(a, &session, 0, RELAY_WAITING);
    bind_side(b, &session, 1, RELAY_READY);
    cr_assert_eq(receive(a).status, RELAY_READY);
    size_t n = data_seal(DATA_APP, (const uint8_t *)"hello", 5, 1, &to, key, wire);
    cr_assert_eq(send(a, wire, n, 0), (ssize_t)n);
    cr_assert_eq(recv(b, got, sizeof got, 0), (ssize_t)n);
    cr_assert_arr_eq(got, wire, n);
    json_t *j = state();
    cr_assert_eq(
        json_integer_value(json_object_get(json_object_get(j, "counters"), "forwarded_packets")),
        1);
    json_decref(j);
    close(a), close(b);
}

/* Its next hello. */
static struct msg_relay_hello hello(void)
{
    struct msg m;

    zmsg_t *raw = zmsg_recv(coordinator);
    cr_assert(raw && zmsg_size(raw) == 3);
    char *from = zmsg_popstr(raw), *type = zmsg_popstr(raw);
    zframe_t *body = zmsg_first(raw);
    cr_assert_str_eq(from, "relay");
    cr_assert_eq(msg_decode(&m, type, (const char *)zframe_data(body), zframe_size(body), NULL),
                 MSG_OK);
    cr_assert_eq(m.type, MSG_relay_hello);
    zstr_free(&from), zstr_free(&type);
    zmsg_destroy(&raw);
    return m.relay_hello;
}

Test(relay_process, says_hello_with_its_address_key_and_certificate)
{
    start("127.0.0.1");
    struct msg_relay_hello m = hello();
    cr_assert_arr_eq(m.key.b, relay_public, 32);
    cr_assert_arr_eq(m.cert.b, cert, sizeof cert);
    cr_assert_arr_eq(m.ticket_key.b, ticket_public, 32);
    cr_assert(addr_eq(&m.addr, &relay));
}

Test(relay_process,
     carries_a_session_on_while_keys_change_and_takes_no_ticket_of_the_key_before_last)
{
    uint8_t wire[DATA_BYTES_MAX], got[DATAGRAM_MAX], key[32] = {1};
    struct sid session = {{7}};
    struct path_id to = path_id(&session, 1);
    struct peer_id newest;

    period_s = "1";
    start("127.0.0.1");
    newest = hello().ticket_key;
    memcpy(ticket_public, newest.b, 32);
    int a = peer_socket(), b = peer_socket();
    bind_side(a, &session, 0, RELAY_WAITING);
    bind_side(b, &session, 1, RELAY_READY);
    cr_assert_eq(receive(a).status, RELAY_READY);
    for (unsigned changes = 0; changes < 2;) {
        struct peer_id next = hello().ticket_key;
        changes += !peer_id_eq(&next, &newest);
        newest = next;
    }
    size_t n = data_seal(DATA_APP, (const uint8_t *)"hello", 5, 1, &to, key, wire);
    cr_assert_eq(send(a, wire, n, 0), (ssize_t)n);
    cr_assert_eq(recv(b, got, sizeof got, 0), (ssize_t)n);
    bind_side(a, &session, 0, RELAY_BAD_TICKET);
    memcpy(ticket_public, newest.b, 32);
    bind_side(a, &session, 0, RELAY_READY);
    json_t *j = state();
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(j, "counters"), "bad_ticket")),
                 1);
    json_decref(j);
    close(a), close(b);
}

Test(relay_process, advertises_an_address_that_is_not_local)
{
    struct sid session = {{7}};

    start("203.0.113.5");
    cr_assert_eq(relay.ip[0], 203);
    int a = peer_socket(); /* the wildcard is bound */
    bind_side(a, &session, 0, RELAY_WAITING);
    close(a);
}

Test(relay_process, survives_garbage_and_stops_cleanly)
{
    uint8_t garbage[2000];

    start("127.0.0.1");
    int a = peer_socket();
    for (size_t n = 0; n < sizeof garbage; n += 7) {
        rng_bytes(&rng, garbage, sizeof garbage);
        garbage[0] = (uint8_t)(n % 16);
        cr_assert_eq(send(a, garbage, n, 0), (ssize_t)n);
    }
    close(a);
    json_decref(state());
    kill(pid, SIGTERM);
    cr_assert_eq(exit_status(pid), 0);
    pid = 0;
    cr_assert_neq(access(admin_path, F_OK), 0);
}

Test(relay_process, does_not_start_with_a_bad_key_file)
{
    bool ready;

    cr_assert_eq(chmod(in_dir("key"), 0644), 0); /* a secret that others can read */
    cr_assert_eq(exit_status(spawn("127.0.0.1", &ready)), 2);
    cr_assert_not(ready);
    cr_assert_eq(chmod(in_dir("key"), 0600), 0);
    cr_assert_eq(truncate(in_dir("cert"), 20), 0);
    cr_assert_eq(exit_status(spawn("127.0.0.1", &ready)), 1);
    cr_assert_not(ready);
    memset(coordinator_public, 0, 32); /* of small order */
    cr_assert(key_save(in_dir("cert"), cert, sizeof cert, 0644));
    cr_assert(key_save(in_dir("coordinator"), coordinator_public, 32, 0644));
    cr_assert_eq(exit_status(spawn("127.0.0.1", &ready)), 1);
    cr_assert_not(ready);
}
