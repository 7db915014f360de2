/*
 * test_prober_workers.c - several workers at the same ports: each source is one worker's, so that its budget and its
 * cookies are those of one prober.
 */
#include "tests/lib/prober_host.h"

#include <criterion/criterion.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WORKERS = 4, WAIT_S = 10 };

static struct prober_host host;

static void setup(void)
{
    struct addr local = addr_v4(127, 0, 0, 1, 0);

    prober_host_open(&host, &local, WORKERS);
}

static void teardown(void) { prober_host_close(&host); }

TestSuite(prober_workers, .init = setup, .fini = teardown, .timeout = 60);

/* The workers of others run; the first one is this thread. */
static struct stun ask(int fd, const struct stun *m)
{
    uint8_t buf[STUN_MAX];
    struct stun a = {0};
    struct input in;
    ssize_t n = -1;

    size_t len = stun_encode(m, buf);
    cr_assert_eq(send(fd, buf, len, 0), (ssize_t)len);
    for (time_t end = time(NULL) + WAIT_S; n < 0 && time(NULL) < end;) {
        cr_assert(service_wait(&host.svc, service_now_us() + 1000, &in));
        n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
    }
    cr_assert(n > 0 && stun_parse(buf, (size_t)n, &a));
    return a;
}

static struct stun request(unsigned number)
{
    uint8_t txid[STUN_TXID_BYTES] = {0};

    memcpy(txid, &number, sizeof number);
    return stun_request(txid);
}

static struct addr source(uint8_t i) { return addr_v4(127, 0, 1, (uint8_t)(1 + i), 0); }

static unsigned n_asked(unsigned worker)
{
    const struct prober_counters *n = &host.workers.v[worker]->core.n;

    return (unsigned)(__atomic_load_n(&n->discovery, __ATOMIC_RELAXED) +
                      __atomic_load_n(&n->plain, __ATOMIC_RELAXED));
}

Test(prober_workers, share_the_sources_and_add_up)
{
    enum { SOURCES = 61 };
    unsigned with_some = 0;

    for (uint8_t i = 0; i < SOURCES; i++) {
        struct addr ip = source(i);
        int fd = prober_host_client(&host, &ip);
        struct stun m = request(i), a = ask(fd, &m);
        cr_assert(addr_ip_eq(&a.mapped, &ip));
        close(fd);
    }
    for (unsigned w = 0; w < WORKERS; w++)
        with_some += n_asked(w) > 0;
    cr_assert_eq(with_some, WORKERS);
    cr_assert_eq(prober_workers_sum(&host.workers).discovery, SOURCES);
    cr_assert_eq(crew_counters(&host.workers.crew).datagrams_out, SOURCES);
}

/* From another port each time: by those the kernel would spread them.  The rich answers among so many. */
static unsigned ask_one_worker(uint8_t i, struct addr ip, unsigned times)
{
    unsigned before[WORKERS], rich = 0, asked = 0;

    for (unsigned w = 0; w < WORKERS; w++)
        before[w] = n_asked(w);
    for (unsigned n = 0; n < times; n++) {
        int fd = prober_host_client(&host, &ip);
        struct stun m = request(i * 100u + n), a = ask(fd, &m);
        rich += a.origin.len != 0;
        close(fd);
    }
    for (unsigned w = 0; w < WORKERS; w++)
        asked += n_asked(w) != before[w];
    cr_assert_eq(asked, 1);
    return rich;
}

Test(prober_workers, hold_a_source_to_one_budget_whatever_its_ports)
{
    for (uint8_t i = 0; i < 5; i++) {
        unsigned rich = ask_one_worker(i, source(i), DISCOVERY_BUDGET + 20);
        cr_assert(rich >= DISCOVERY_BUDGET && rich < DISCOVERY_BUDGET + 20, "%u", rich);
    }
}

static void reopen_at(const struct addr *ip)
{
    prober_host_close(&host);
    prober_host_open(&host, ip, WORKERS);
}

Test(prober_workers, and_of_ipv6_as_well)
{
    struct addr ip = {.len = 16, .ip = {[15] = 1}};

    reopen_at(&ip);
    ask_one_worker(0, ip, DISCOVERY_BUDGET); /* all answered; none of them rich, by their size */
}

Test(prober_workers, do_so_without_the_right_to_load_a_program_too)
{
    const struct addr v4 = addr_v4(127, 0, 0, 1, 0), v6 = {.len = 16, .ip = {[15] = 1}};

    cr_assert_eq(syscall(SYS_setresuid, -1, 65534, -1), 0,
                 "root is needed"); /* this thread alone */
    reopen_at(&v4);
    cr_assert_lt(host.workers.doors.table, 0);
    for (uint8_t i = 0; i < 5; i++)
        ask_one_worker(i, source(i), DISCOVERY_BUDGET);
    reopen_at(&v6);
    ask_one_worker(0, v6, DISCOVERY_BUDGET);
}

Test(prober_workers, know_the_cookies_that_they_gave)
{
    for (uint8_t i = 0; i < 16; i++) {
        struct addr ip = source(i);
        int fd = prober_host_client(&host, &ip);
        struct stun m = request(i);
        m.has_peer = true;
        m.peer.b[0] = 7;
        struct stun a = ask(fd, &m);
        cr_assert(a.has_cookie);
        m = request(1000u + i);
        m.has_peer = m.has_cookie = true;
        m.peer.b[0] = 7;
        memcpy(m.cookie, a.cookie, sizeof m.cookie);
        ask(fd, &m);
        close(fd);
    }
    struct prober_counters n = prober_workers_sum(&host.workers);
    cr_assert(n.tokens == 16 && n.bad_cookie == 0);
}

Test(prober_workers, suspect_a_gateway_only_where_all_come_from_one_address)
{
    struct addr other = source(1);

    for (unsigned w = 0; w < WORKERS; w++) /* as a prober of a public address */
        host.workers.v[w]->core.gateway = (struct gateway){0};
    cr_assert_null(prober_workers_gateway(&host.workers));
    host.workers.v[2]->core.gateway =
        (struct gateway){.ip = source(0), .requests = GATEWAY_REQUESTS};
    cr_assert_eq(prober_workers_gateway(&host.workers), &host.workers.v[2]->core.gateway);
    host.workers.v[1]->core.gateway = (struct gateway){.ip = other, .requests = 1};
    cr_assert_null(prober_workers_gateway(&host.workers));
    host.workers.v[1]->core.gateway = (struct gateway){.ruled_out = true};
    cr_assert_null(prober_workers_gateway(&host.workers));
}
