/* hostile.c - see hostile.h. */
#include "tests/lib/hostile.h"

#include "lib/admin.h"
#include "lib/udp.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { BURST = 64, PATIENCE_MS = 30000 };

/* ---- what a process says of itself ---------------------------------------------------------------------- */

static json_t *state(struct hostile *p)
{
    char why[256] = "";
    json_t *answer = admin_ask(p->admin, "state", PATIENCE_MS, why, sizeof why);

    cr_assert(answer, "the %s does not answer: %s", p->name, why);
    p->asked++;
    return answer;
}

uint64_t hostile_sum(struct hostile *p, const char *names)
{
    json_t *all = state(p);
    uint64_t n = 0;
    char copy[512], *rest = copy;

    snprintf(copy, sizeof copy, "%s", names);
    for (char *name; (name = strsep(&rest, " "));) {
        const json_t *in = all;
        char *colon = strchr(name, ':');
        if (colon) {
            *colon = '\0';
            in = json_object_get(in, name);
            name = colon + 1;
        }
        const json_t *v = json_object_get(in, name);
        cr_assert(json_is_integer(v), "the %s has no %s", p->name, name);
        n += (uint64_t)json_integer_value(v);
    }
    json_decref(all);
    return n;
}

/* Wait until the counters have come to that. */
static void await(struct hostile *p, const char *names, uint64_t n)
{
    int64_t end_us = service_now_us() + PATIENCE_MS * INT64_C(1000);
    uint64_t is;

    while ((is = hostile_sum(p, names)) < n)
        cr_assert_lt(service_now_us(), end_us, "the %s: %s is %lu, not %lu", p->name, names, is, n);
}

long hostile_rss_kib(const struct hostile *p)
{
    char path[64], line[256];
    long kib = 0;

    snprintf(path, sizeof path, "/proc/%d/status", (int)p->pid);
    FILE *f = fopen(path, "re");
    cr_assert(f, "the %s has died", p->name);
    while (fgets(line, sizeof line, f))
        sscanf(line, "VmRSS: %ld", &kib);
    fclose(f);
    return kib;
}

/* ---- datagrams ------------------------------------------------------------------------------------------ */

void hostile_datagrams(struct rng *rng, struct hostile *of, int fd, enum garbage kind, unsigned n)
{
    uint8_t data[GARBAGE_MAX];
    uint64_t taken = hostile_sum(of, "shell:datagrams_in");

    for (unsigned i = 0; i < n; i++) {
        size_t len = garbage_datagram(rng, kind, data);
        ssize_t sent = send(fd, data, len, 0);
        cr_assert(sent == (ssize_t)len || errno == ECONNREFUSED);
        if (i % BURST == BURST - 1 || i + 1 == n)
            await(of, "shell:datagrams_in", taken + i + 1);
    }
}

/* ---- messages ---------------------------------------------------------------------------------------------- */

static enum role sender_to(struct rng *rng, const struct hostile_door *d)
{
    static const enum role to_coordinator[] = {SERVICE_classifier, SERVICE_prober, SERVICE_relay},
                           to_classifier[] = {SERVICE_coordinator, SERVICE_prober};

    if (d->bus && d->service == SERVICE_coordinator)
        return to_coordinator[rng_below(rng, 3)];
    return d->bus && d->service == SERVICE_classifier ? to_classifier[rng_below(rng, 2)]
                                                      : SERVICE_executor;
}

static void throw_message(struct rng *rng, const struct hostile_door *d, enum garbage kind)
{
    static struct garbage_frames f;
    enum role from = sender_to(rng, d);
    void *sock = zsock_resolve(d->sock);

    /* Prober and relay are sent nothing: to them it is the wrong door. */
    garbage_message(rng, kind, from,
                    d->service == SERVICE_classifier ? SERVICE_classifier : SERVICE_coordinator,
                    &f);
    if (d->bus)
        cr_assert_geq(zmq_send(sock, service_name[from], strlen(service_name[from]), ZMQ_SNDMORE),
                      0);
    for (size_t i = 0; i < f.n; i++)
        cr_assert_geq(zmq_send(sock, f.v[i].data, f.v[i].len, i + 1 < f.n ? ZMQ_SNDMORE : 0), 0);
}

void hostile_messages(struct rng *rng, const struct hostile_door *d, enum garbage kind, unsigned n)
{
    uint64_t taken = hostile_sum(d->of, d->counters);
    char answer[GARBAGE_MAX];

    for (unsigned i = 0; i < n; i++) {
        throw_message(rng, d, kind);
        if (i % BURST == BURST - 1 || i + 1 == n) {
            await(d->of, d->counters, taken + i + 1);
            while (!d->bus &&
                   zmq_recv(zsock_resolve(d->sock), answer, sizeof answer, ZMQ_DONTWAIT) >= 0)
                ;
        }
    }
}

/* ---- streams ------------------------------------------------------------------------------------------------ */

/* Send all that, and read until the other side hangs up, which it must. */
static void say_and_hear(int fd, const uint8_t *data, size_t len)
{
    char answer[65536];

    (void)!send(fd, data, len, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1, "the other side does not hang up");
        if (recv(fd, answer, sizeof answer, 0) <= 0)
            break;
    }
    close(fd);
}

static uint8_t hello[512]; /* how a real client begins: ZMTP's greeting and CURVE's HELLO */
static size_t hello_len;

/* Be the server of a client of libzmq's as far as its HELLO. */
void hostile_capture_hello(const struct join *join)
{
    enum { GREETING = 64, HELLO = 202 };
    static const uint8_t greeting[GREETING] = {0xff, 0, 0, 0,   0,   0,   0,   0,  0,
                                               0x7f, 3, 0, 'C', 'U', 'R', 'V', 'E'};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t at_len = sizeof at;
    uint8_t secret[32], public_key[32], as_server[GREETING];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    zsock_t *client = zsock_new(ZMQ_DEALER);

    crypto_box_keypair(public_key, secret);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &at_len), 0);
    zsock_set_curve_serverkey_bin(client, join->coordinator_key);
    zsock_set_curve_publickey_bin(client, public_key);
    zsock_set_curve_secretkey_bin(client, secret);
    cr_assert_eq(zsock_connect(client, "tcp://127.0.0.1:%u", ntohs(at.sin_port)), 0);
    int fd = accept(listener, NULL, NULL);
    memcpy(as_server, greeting, sizeof as_server);
    as_server[32] = 1;
    cr_assert_eq(send(fd, as_server, sizeof as_server, MSG_NOSIGNAL), (ssize_t)sizeof as_server);
    while (hello_len < GREETING + HELLO) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1);
        ssize_t got = recv(fd, hello + hello_len, sizeof hello - hello_len, 0);
        cr_assert_gt(got, 0);
        hello_len += (size_t)got;
    }
    cr_assert(memmem(hello, hello_len, "\5HELLO", 6));
    close(fd);
    close(listener);
    zsock_destroy(&client);
}

const uint8_t *hostile_hello(size_t *len)
{
    cr_assert_gt(hello_len, 0, "captured first");
    *len = hello_len;
    return hello;
}

/* From all of loopback's addresses: between two of them there are but 28,000 ports a minute. */
void hostile_streams(struct rng *rng, const struct addr *at, enum garbage kind, unsigned n)
{
    struct sockaddr_storage to;
    socklen_t to_len = addr_to_sockaddr(at, &to);
    struct sockaddr_in from = {.sin_family = AF_INET};
    uint8_t data[GARBAGE_MAX];

    cr_assert_gt(hello_len, 0, "captured first");
    while (n-- > 0) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)rng_below(rng, 1 << 20));
        cr_assert_eq(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
        cr_assert_eq(connect(fd, (struct sockaddr *)&to, to_len), 0, "%s", strerror(errno));
        memcpy(data, hello, hello_len);
        say_and_hear(fd, data, garbage_spoil(rng, kind, data, hello_len, 600));
    }
}

/* Not those that would end the process, or have it log more than it was made for. */
void hostile_requests(struct rng *rng, struct hostile *p, enum garbage kind, unsigned n)
{
    static const char *const real[] = {"state\n",
                                       "stats\n",
                                       "health\n",
                                       "relays\n",
                                       "peers\n",
                                       "peer bob\n",
                                       "sessions\n",
                                       "sessions pending\n",
                                       "session 0123456789abcdef\n",
                                       "explain 00000000000000000000000000000000\n",
                                       "loglevel\n",
                                       "nonsense\n"};
    enum { REAL = sizeof real / sizeof *real };
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    uint8_t data[GARBAGE_MAX];
    uint64_t before = hostile_sum(p, "shell:admin_answered shell:admin_dropped"), asked = p->asked;

    snprintf(to.sun_path, sizeof to.sun_path, "%.*s", (int)sizeof to.sun_path - 1, p->admin);
    for (unsigned i = 0; i < n; i++) {
        const char *text = real[rng_below(rng, REAL)];
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        memcpy(data, text, strlen(text));
        say_and_hear(fd, data, garbage_spoil(rng, kind, data, strlen(text), 700));
    }
    cr_assert_eq(hostile_sum(p, "shell:admin_answered shell:admin_dropped") - before,
                 n + p->asked - asked, "the %s's admin socket", p->name);
}
