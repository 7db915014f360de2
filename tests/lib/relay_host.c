/* relay_host.c - see relay_host.h. */
#include "tests/lib/relay_host.h"

#include "lib/admin.h"
#include "lib/keys.h"
#include "lib/udp.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_S = RELAY_HOST_WAIT_S, FLAGS_MAX = 24 };

struct relay_host relay_host;
static char dir[] = "/tmp/test_relay.XXXXXX";

const char *relay_host_path(const char *name)
{
    static char path[8][64];
    static unsigned next;
    char *p = path[next++ % 8];

    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

pid_t relay_host_spawn(const char *public_ip, const char *const *more, bool *ready)
{
    const char *argv[FLAGS_MAX] = {"natterjack-relay",
                                   "--bus",
                                   relay_host_path("bus"),
                                   "--admin",
                                   relay_host_path("admin"),
                                   "--public-ip",
                                   public_ip,
                                   "--port",
                                   "0",
                                   "--key",
                                   relay_host_path("key"),
                                   "--cert",
                                   relay_host_path("cert"),
                                   "--coordinator-key",
                                   relay_host_path("coordinator")};
    size_t n = 15;
    int fds[2];
    char fd_text[16], line[16];

    for (; more && *more; more++) {
        cr_assert_lt(n, FLAGS_MAX - 1);
        argv[n++] = *more;
    }
    cr_assert_eq(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        snprintf(fd_text, sizeof fd_text, "%d", fds[1]);
        setenv("NATTERJACK_READY_FD", fd_text, 1);
        execv(BIN_DIR "/natterjack-relay", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(fds[1]);
    *ready = read(fds[0], line, sizeof line) > 0;
    close(fds[0]);
    return child;
}

void relay_host_setup(void)
{
    struct relay_host *h = &relay_host;

    cr_assert_geq(sodium_init(), 0);
    rng_seed(&h->rng, 1);
    cr_assert(tidy_mkdtemp(dir));
    cr_assert_eq(mkdir(relay_host_path("bus"), 0700), 0);
    rng_bytes(&h->rng, h->secret, 32);
    rng_bytes(&h->rng, h->coordinator_secret, 32);
    rng_bytes(&h->rng, h->cert, sizeof h->cert);
    crypto_scalarmult_base(h->public_key, h->secret);
    uint8_t secret[32]; /* of this period */
    ticket_secret(h->secret, ticket_period(zclock_time(), TICKET_PERIOD_MS), secret);
    crypto_scalarmult_base(h->ticket_public, secret);
    crypto_scalarmult_base(h->coordinator_public, h->coordinator_secret);
    cr_assert(key_save(relay_host_path("key"), h->secret, 32, 0600));
    cr_assert(key_save(relay_host_path("cert"), h->cert, sizeof h->cert, 0644));
    cr_assert(key_save(relay_host_path("coordinator"), h->coordinator_public, 32, 0644));
    h->coordinator = zsock_new(ZMQ_PULL);
    cr_assert_geq(zsock_bind(h->coordinator, "ipc://%s", relay_host_path("bus/coordinator")), 0);
    zsock_set_rcvtimeo(h->coordinator, WAIT_S * 1000);
}

void relay_host_teardown(void)
{
    zsock_destroy(&relay_host.coordinator);
    if (relay_host.pid > 0) {
        kill(relay_host.pid, SIGKILL);
        waitpid(relay_host.pid, NULL, 0);
    }
    static const char *const files[] = {"key", "cert", "coordinator", "admin", "bus/coordinator"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(relay_host_path(files[i]));
    rmdir(relay_host_path("bus"));
    rmdir(dir);
}

json_t *relay_host_state(void)
{
    char err[256];
    json_t *j = admin_ask(relay_host_path("admin"), "state", WAIT_S * 1000, err, sizeof err);

    cr_assert(j, "%s", err);
    return j;
}

int64_t relay_host_counter(const char *name)
{
    json_t *j = relay_host_state(), *n = json_object_get(json_object_get(j, "counters"), name);

    cr_assert(n, "%s", name);
    int64_t value = json_integer_value(n);
    json_decref(j);
    return value;
}

void relay_host_start(const char *public_ip, const char *const *more)
{
    bool ready;

    relay_host.pid = relay_host_spawn(public_ip, more, &ready);
    cr_assert(ready);
    json_t *j = relay_host_state();
    cr_assert(addr_parse(json_string_value(json_object_get(j, "addr")), &relay_host.addr));
    cr_assert_eq(json_integer_value(json_object_get(j, "sessions")), 0);
    cr_assert(json_object_get(json_object_get(j, "counters"), "forwarded_bytes"));
    json_decref(j);
}

int relay_host_peer(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval limit = {.tv_sec = WAIT_S};
    struct sockaddr_storage sa;
    struct addr at = addr_v4(127, 0, 0, 1, relay_host.addr.port);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, addr_to_sockaddr(&at, &sa)), 0);
    return fd;
}

struct relay_control relay_host_receive(int fd)
{
    uint8_t wire[DATAGRAM_MAX];
    struct relay_control c;
    ssize_t n = recv(fd, wire, sizeof wire, 0);

    cr_assert(n > 0 && relay_parse(wire, (size_t)n, &c));
    return c;
}

void relay_host_send(int fd, const struct relay_control *c)
{
    uint8_t wire[RELAY_CONTROL_MAX];
    size_t n = relay_encode(c, wire);

    cr_assert_eq(send(fd, wire, n, 0), (ssize_t)n);
}

struct ticket relay_host_ticket(const struct sid *session, uint8_t side)
{
    return (struct ticket){.session = *session,
                           .side = side,
                           .expires_ms = zclock_time() + 60000,
                           .bytes_max = UINT64_MAX,
                           .bytes_per_s = UINT64_MAX};
}

void relay_host_seal(const struct ticket *t, uint8_t out[static TICKET_BYTES])
{
    cr_assert(ticket_seal(t, relay_host.ticket_public, relay_host.coordinator_secret,
                          &relay_host.rng, out));
}

enum relay_status relay_host_bind(int fd, const struct ticket *t)
{
    struct relay_control c = {.op = RELAY_BIND, .nonce = {t->side}}, answer;

    relay_host_seal(t, c.ticket);
    relay_host_send(fd, &c);
    while ((answer = relay_host_receive(fd)).op != RELAY_CHALLENGE)
        cr_assert_eq(answer.op, RELAY_BOUND); /* of another session: its other side is there */
    memcpy(c.cookie, answer.cookie, sizeof c.cookie);
    c.op = RELAY_PROVE;
    relay_host_send(fd, &c);
    answer = relay_host_receive(fd);
    cr_assert_eq(answer.op, RELAY_BOUND);
    return (enum relay_status)answer.status;
}

struct msg_relay_hello relay_host_hello(void)
{
    for (;;) {
        struct msg m;
        zmsg_t *raw = zmsg_recv(relay_host.coordinator);
        cr_assert(raw && zmsg_size(raw) == 3);
        char *from = zmsg_popstr(raw), *type = zmsg_popstr(raw);
        zframe_t *body = zmsg_first(raw);
        cr_assert_str_eq(from, "relay");
        cr_assert_eq(msg_decode(&m, type, (const char *)zframe_data(body), zframe_size(body), NULL),
                     MSG_OK);
        zstr_free(&from), zstr_free(&type);
        zmsg_destroy(&raw);
        if (m.type == MSG_relay_hello)
            return m.relay_hello;
    }
}
