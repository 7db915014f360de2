/*
 * test_flood.c - all ports of a suite at once get as much as this machine can send, from forged sources: the
 * suite stays small, and peers connect meanwhile.
 *
 * FLOOD_S=n lasts so many seconds, `make flood` 60.  What the flood sends comes from the suite's own host, since
 * the laboratory's lines carry less than the suite takes; the peers are across the lines.
 */
#include "tests/attack/attack.h"

#include "lib/stun.h"
#include "lib/udp.h"
#include "tests/natlab/netns.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { RSS_MAX_KIB = 256 * 1024, UDP_PORTS = 5, FLOODERS = 2, GOOD_PERCENT = 99 };

TestSuite(flood, .timeout = 600);

static struct flood {
    uint64_t datagrams, connections; /* sent */
} * shared;

static const struct {
    uint8_t last;
    uint16_t port;
} ports[UDP_PORTS] = {
    {10, 3478},
    {10, 3479},
    {11, 3478},
    {11, 3479},
    {10, 3480}
};

static size_t make(struct rng *rng, unsigned i, uint8_t data[static STUN_MAX])
{
    uint8_t txid[STUN_TXID_BYTES];

    rng_bytes(rng, txid, sizeof txid);
    if (ports[i % UDP_PORTS].port != RELAY_PORT) {
        struct stun m = stun_request(txid);
        return stun_encode(&m, data);
    }
    memset(data, 0, 64);
    data[0] = i % 2 ? 0x08 : 0x0b; /* a handshake's begin, or data of nobody's path */
    data[1] = 1;
    memcpy(data + 2, txid, sizeof txid);
    return i % 2 ? 10 + 99 : 64;
}

/* Datagrams from sources all over the internet, until we are killed. */
static void send_datagrams(unsigned seed)
{
    struct rng rng;
    uint8_t data[STUN_MAX];

    rng_seed(&rng, seed);
    attack.raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    for (unsigned i = 0;; i++) {
        struct addr to = addr_v4(203, 0, 113, ports[i % UDP_PORTS].last, ports[i % UDP_PORTS].port),
                    from = addr_v4(198, 18, 0, 0, 0);
        rng_bytes(&rng, from.ip + 2, 2);
        from.port = (uint16_t)(1024 + rng_below(&rng, 60000));
        attack_forge(&from, &to, data, make(&rng, i, data));
        __atomic_add_fetch(&shared->datagrams, 1, __ATOMIC_RELAXED);
    }
}

/* Connections that say nothing, as many as one program may have; then the oldest makes room. */
static void open_connections(void)
{
    enum { HELD = 512 };
    static int held[HELD];
    struct sockaddr_storage to;

    for (unsigned i = 0;; i++) {
        struct addr at = addr_v4(203, 0, 113, 10, i % 2 ? 7440 : 7442);
        socklen_t len = addr_to_sockaddr(&at, &to);
        if (held[i % HELD] > 0)
            close(held[i % HELD]);
        held[i % HELD] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(held[i % HELD], (struct sockaddr *)&to, len);
        __atomic_add_fetch(&shared->connections, 1, __ATOMIC_RELAXED);
        if (i % 16 == 15)
            poll(NULL, 0, 1); /* some 16,000 a second: what the kernel takes */
    }
}

static pid_t begin(unsigned which)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (which < FLOODERS - 1)
        send_datagrams(which + 1);
    open_connections();
    _exit(1);
}

static long rss_kib(const char *process)
{
    char path[64], line[256];
    long kib = 0;

    snprintf(path, sizeof path, "/proc/%d/status", (int)ground_pid(&attack.ground, process));
    FILE *f = fopen(path, "re");
    cr_assert(f);
    while (fgets(line, sizeof line, f))
        sscanf(line, "VmHWM: %ld", &kib);
    fclose(f);
    return kib;
}

Test(flood, at_every_port_leaves_the_suite_small_and_peers_connecting)
{
    static const char *const processes[] = {"coordinator", "classifier", "prober", "relay"};
    unsigned seconds = ground_times("FLOOD_S", 2), tried = 0, good = 0, direct = 0;
    static const char *const hosts[] = {"alice", "carol", "victim", "mallory"};
    pid_t flooders[FLOODERS];
    long all = 0;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(shared, MAP_FAILED);
    attack_open();
    struct ground_run bob = ground_listen(&attack.ground, "bob");
    int back = lab_enter(&attack.ground.lab, "pub");
    cr_assert_geq(back, 0);
    for (unsigned i = 0; i < FLOODERS; i++)
        flooders[i] = begin(i);
    cr_assert(netns_enter(back));
    close(back);
    int64_t began = zclock_mono();
    while (zclock_mono() < began + (int64_t)seconds * 1000 || tried == 0) {
        int status;
        json_t *r = ground_connect(&attack.ground, hosts[tried % 4], "bob",
                                   ARGS("--ping", "1", "--timeout", "10"), &status);
        tried++;
        good += status == 0 || status == 3;
        direct += status == 0;
        json_decref(r);
    }
    int64_t ms = zclock_mono() - began;
    for (unsigned i = 0; i < FLOODERS; i++) {
        kill(flooders[i], SIGKILL);
        waitpid(flooders[i], NULL, 0);
    }
    for (size_t i = 0; i < sizeof processes / sizeof *processes; i++) {
        long kib = rss_kib(processes[i]);
        printf("%-12s %6ld KiB at most\n", processes[i], kib);
        all += kib;
    }
    printf("%lu datagrams and %lu connections a second for %ld s; %u of %u connects, %u direct\n",
           shared->datagrams * 1000 / (uint64_t)ms, shared->connections * 1000 / (uint64_t)ms,
           ms / 1000, good, tried, direct);
    for (size_t i = 2; i < sizeof processes / sizeof *processes; i++) {
        json_t *state = ground_admin(&attack.ground, "state", processes[i]);
        double in = ground_number(json_object_get(state, "shell"), "datagrams_in");
        printf("%-12s %6.0f datagrams a second taken\n", processes[i], in * 1000 / (double)ms);
        cr_expect_gt(in, 1000.0 * seconds, "the flood does not get there");
        json_decref(state);
    }
    fflush(stdout);
    cr_expect_lt(all, RSS_MAX_KIB);
    cr_expect_geq(good * 100, tried * GOOD_PERCENT);
    close(bob.out);
    attack_close();
}
