/*
 * test_coturn.c - our executor measures NATs of the laboratory by a STUN server that is not ours: the real
 * core on real sockets, with coturn's turnserver in the place of a prober.
 */
#include "lib/token.h"
#include "lib/udp.h"
#include "services/classifier/classify.h"
#include "services/executor/executor.h"
#include "tests/lib/tidy.h"
#include "tests/natlab/lab.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SOCKETS = 1 + SAMPLES_MAX, WAIT_US = 10 * 1000000 };

static struct lab lab;
static struct executor x;
static struct outputs out;
static int fd[SOCKETS];
static struct msg_reflex_report report;
static bool reported;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TestSuite(coturn, .timeout = 60);

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void step(struct input in)
{
    struct sockaddr_storage sa;

    in.now_us = now_us();
    executor_step(&x, &in, &out);
    for (size_t i = 0; i < out.n; i++) {
        const struct output *o = &out.v[i];
        if (o->kind == OUT_DATAGRAM &&
            o->dgram.sock < SOCKETS) { /* not those that are opened for a while */
            socklen_t len = addr_to_sockaddr(&o->dgram.dst, &sa);
            sendto(fd[o->dgram.sock], o->dgram.data, o->dgram.len, 0, (struct sockaddr *)&sa, len);
        } else if (o->kind == OUT_MSG && o->msg.type == MSG_reflex_report) {
            report = o->msg.reflex_report;
            reported = true;
        }
    }
}

/* Datagrams and deadlines, until the whole report is there. */
static void run(void)
{
    int64_t end_us = now_us() + WAIT_US;
    uint8_t data[DATAGRAM_MAX];

    while (!(reported && report.filter_asked) && now_us() < end_us) {
        struct pollfd p[SOCKETS];
        int64_t wait_us = executor_deadline(&x) - now_us();
        for (size_t i = 0; i < SOCKETS; i++)
            p[i] = (struct pollfd){.fd = fd[i], .events = POLLIN};
        int timeout_ms = wait_us < 0 ? 0 : wait_us < WAIT_US ? (int)(wait_us / 1000) + 1 : 1000;
        poll(p, SOCKETS, timeout_ms);
        for (uint8_t i = 0; i < SOCKETS; i++) {
            struct sockaddr_storage from;
            socklen_t from_len = sizeof from;
            ssize_t n = recvfrom(fd[i], data, sizeof data, MSG_DONTWAIT, (struct sockaddr *)&from,
                                 &from_len);
            if (n < 0)
                continue;
            struct input in = {.kind = IN_DATAGRAM};
            in.dgram.data = data;
            in.dgram.len = (size_t)n;
            in.dgram.src = addr_from_sockaddr(&from);
            in.dgram.sock = i;
            step(in);
        }
        if (executor_deadline(&x) <= now_us())
            step((struct input){.kind = IN_TICK});
    }
    cr_assert(reported && report.filter_asked, "no report on filtering");
}

static void bind_sockets(const char *host, struct executor_conf *conf)
{
    for (size_t i = 0; i < SOCKETS; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        fd[i] = lab_socket(&lab, host, SOCK_DGRAM, "0.0.0.0", 0);
        cr_assert_geq(fd[i], 0);
        getsockname(fd[i], (struct sockaddr *)&sa, &len);
        struct addr bound = addr_from_sockaddr(&sa);
        if (i == 0)
            conf->local = bound;
        else
            conf->sample_ports[i - 1] = bound.port;
    }
    conf->n_samples = SAMPLES_MAX;
}

/* As if coturn were a certified prober. */
static struct msg attached(const uint8_t authority[static 64])
{
    struct msg m = {.type = MSG_attached};
    struct prober_info *p = &m.attached.probers.v[0];
    uint8_t secret[64];

    crypto_sign_keypair(p->key, secret);
    cert_sign('p', p->key, authority, p->cert);
    p->n_addrs = 4;
    for (uint8_t i = 0; i < 4; i++)
        p->addrs[i] = addr_v4(203, 0, 113, (uint8_t)(10 + i / 2), (uint16_t)(3478 + i % 2));
    m.attached.probers.n = 1;
    return m;
}

static void expect(const char *host, const char *text)
{
    struct executor_conf conf = {.accept = ACCEPT_NOBODY};
    uint8_t authority[64], key[32] = {1};
    struct finding f;
    char said[64];

    crypto_sign_keypair(conf.authority, authority);
    crypto_box_keypair(conf.id.b, conf.secret);
    bind_sockets(host, &conf);
    conf.fence = fence_of(
        &(struct addr){
            4, {203, 0, 113, 10},
             3478
    },
        1);
    for (uint8_t i = 0; i < 2; i++)
        conf.homes[conf.n_homes++] = addr_v4(203, 0, 113, (uint8_t)(10 + i), 0);
    executor_init(&x, &conf, key);
    reported = false;
    struct input up = {.kind = IN_LINK, .link = {.up = true}};
    step(up);
    struct msg m = attached(authority);
    struct input in = {.kind = IN_MSG};
    in.msg = &m;
    in.from.service = SERVICE_coordinator;
    step(in);
    run();
    classify(&report, &f);
    snprintf(said, sizeof said, "%s/%s/%s", behaviour_name[f.profile.mapping],
             allocation_name[f.profile.allocation], behaviour_name[f.profile.filtering]);
    cr_assert_str_eq(said, text, "%s is said to be %s", host, said);
    for (size_t i = 0; i < SOCKETS; i++)
        close(fd[i]);
}

Test(coturn, shows_our_executor_what_nats_do)
{
    char dir[] = "/tmp/test_coturn.XXXXXX", pid[64], db[64];

    cr_assert_geq(sodium_init(), 0);
    cr_assert(lab_start(&lab, ARGS("--delay", "5ms", "pub=open,ip=203.0.113.10+203.0.113.11",
                                   "cone=ei/random/ei", "restricted=ei/contiguous/ad",
                                   "symmetric=apd/random/apd", "linux=linux")));
    cr_assert(tidy_mkdtemp(dir));
    snprintf(pid, sizeof pid, "%s/pid", dir);
    snprintf(db, sizeof db, "%s/db", dir);
    lab_spawn(&lab, "pub", -1,
              ARGS("turnserver", "-n", "-z", "-L", "203.0.113.10", "-L", "203.0.113.11", "--no-tls",
                   "--no-dtls", "--no-cli", "-m", "1", "--pidfile", pid, "--userdb", db,
                   "--log-file", "/dev/null"));
    expect("cone", "ei/random/ei"); /* which waits for it to be up */
    expect("restricted", "ei/contiguous/ad");
    expect("symmetric", "apd/random/apd");
    expect("linux", "ei/preserve/apd");
    lab_stop(&lab);
    unlink(pid);
    unlink(db);
    rmdir(dir);
}
