/* floods.c - see floods.h. */
#include "tests/attack/floods.h"

#include "lib/relaywire.h"
#include "lib/service.h"
#include "lib/stun.h"
#include "tests/attack/attack.h"
#include "tests/lib/hostile.h"
#include "tests/natlab/netns.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum {
    FLOODERS = 2,
    NICE = -15,
    AT_ONCE = 64,      /* datagrams in a system call */
    HELD = 2048,       /* connections of a port; then the oldest makes room */
    LATER = 16,        /* connections after it, one says hello */
    GREETING = 64,     /* what a server says to anybody: more is an answer to the handshake */
    BEHIND_US = 20000, /* what was missed for longer is not made up for */
};

const char *const flood_name[FLOOD_DOORS] = {"prober", "relay", "front", "enrol"};

static struct shared {
    uint64_t per_s[FLOOD_DOORS], sent[FLOOD_DOORS], answered[FLOOD_DOORS];
} * shared;
static pid_t flooders[FLOODERS];

static uint64_t get(const uint64_t *n) { return __atomic_load_n(n, __ATOMIC_RELAXED); }
static void count(uint64_t *n, uint64_t more) { __atomic_add_fetch(n, more, __ATOMIC_RELAXED); }

/* When a door's next one is due; and has it come? */
struct pace {
    int64_t next_us;
};

static bool due(struct pace *p, enum flood_door door, int64_t now_us, unsigned n)
{
    uint64_t per_s = get(&shared->per_s[door]);

    if (per_s == 0 || p->next_us > now_us)
        return false;
    if (p->next_us < now_us - BEHIND_US)
        p->next_us = now_us - BEHIND_US;
    p->next_us += (int64_t)(1000000ULL * n / per_s);
    return true;
}

/* ---- datagrams ---------------------------------------------------------------------------------------------- */

struct packet {
    struct iphdr ip;
    struct udphdr udp;
    uint8_t data[STUN_MAX];
};

static size_t fill(struct rng *rng, enum flood_door door, unsigned i, uint8_t data[static STUN_MAX])
{
    uint8_t txid[STUN_TXID_BYTES];

    rng_bytes(rng, txid, sizeof txid);
    if (door == FLOOD_PROBER) {
        struct stun m = stun_request(txid);
        return stun_encode(&m, data);
    }
    memset(data, 0, 2 + RELAY_NONCE + TICKET_BYTES);
    data[0] = i % 2 ? PACKET_RELAY : PACKET_DATA; /* a handshake's begin, or nobody's data */
    data[1] = RELAY_BIND;
    memcpy(data + 2, txid, RELAY_NONCE);
    return i % 2 ? 2 + RELAY_NONCE + TICKET_BYTES : 64;
}

static size_t make(struct rng *rng, enum flood_door door, unsigned i, struct packet *p)
{
    static const uint8_t last[] = {10, 10, 11, 11};
    size_t len = fill(rng, door, i, p->data);
    const uint8_t to[4] = {203, 0, 113, door == FLOOD_PROBER ? last[i % 4] : 10};
    uint8_t from[4] = {198, 18, 0, 0};

    rng_bytes(rng, from + 2, 2);
    p->ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
    memcpy(&p->ip.saddr, from, 4);
    memcpy(&p->ip.daddr, to, 4);
    p->udp = (struct udphdr){
        .source = htons((uint16_t)(1024 + rng_below(rng, 60000))),
        .dest = htons((uint16_t)(door == FLOOD_PROBER ? PROBER_PORT + i % 2 : RELAY_PORT)),
        .len = htons((uint16_t)(sizeof p->udp + len))};
    return sizeof p->ip + sizeof p->udp + len;
}

static void send_some(int fd, struct rng *rng, enum flood_door door)
{
    static struct packet packets[AT_ONCE];
    static unsigned i;
    struct mmsghdr m[AT_ONCE];
    struct iovec iov[AT_ONCE];
    struct sockaddr_in to[AT_ONCE];

    memset(m, 0, sizeof m);
    for (unsigned k = 0; k < AT_ONCE; k++) {
        iov[k] = (struct iovec){&packets[k], make(rng, door, i++, &packets[k])};
        to[k] = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {packets[k].ip.daddr}};
        m[k].msg_hdr.msg_name = &to[k];
        m[k].msg_hdr.msg_namelen = sizeof to[k];
        m[k].msg_hdr.msg_iov = &iov[k];
        m[k].msg_hdr.msg_iovlen = 1;
    }
    int n = sendmmsg(fd, m, AT_ONCE, 0);
    count(&shared->sent[door], n > 0 ? (uint64_t)n : 0);
}

static void flood_by_datagrams(void)
{
    struct rng rng;
    struct pace pace[2] = {{0}, {0}};
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

    rng_seed(&rng, 1);
    for (;;) {
        int64_t now_us = service_now_us();
        bool any = false;
        for (enum flood_door d = FLOOD_PROBER; d <= FLOOD_RELAY; d++)
            if (due(&pace[d], d, now_us, AT_ONCE)) {
                send_some(fd, &rng, d);
                any = true;
            }
        if (!any)
            poll(NULL, 0, 1);
    }
}

/* ---- handshakes --------------------------------------------------------------------------------------------- */

static void finish(int fd, enum flood_door door)
{
    uint8_t data[512];

    if (fd <= 0)
        return;
    if (recv(fd, data, sizeof data, MSG_DONTWAIT) > GREETING)
        count(&shared->answered[door], 1);
    close(fd);
}

/* Each from another address of this host. */
static int begin(struct rng *rng, enum flood_door door)
{
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr = {htonl(0x7f000001 +
                                                  (uint32_t)rng_below(rng, 0xfffff0))}},
                       to = {.sin_family = AF_INET,
                             .sin_port = htons(door == FLOOD_FRONT ? 7440 : 7442),
                             .sin_addr = {inet_addr(SUITE_IP)}};
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return 0;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard); /* no port is kept after it */
    (void)!bind(fd, (struct sockaddr *)&from, sizeof from);
    (void)!connect(fd, (struct sockaddr *)&to, sizeof to);
    count(&shared->sent[door], 1);
    return fd;
}

static void shake(int fd)
{
    size_t len;
    const uint8_t *hello = hostile_hello(&len);

    if (fd > 0)
        (void)!send(fd, hello, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void flood_by_handshakes(void)
{
    static int held[2][HELD];
    struct rlimit files = {2 * HELD + 256, 2 * HELD + 256};
    unsigned at[2] = {0};
    struct rng rng;
    struct pace pace[2] = {{0}, {0}};

    setrlimit(RLIMIT_NOFILE, &files);
    rng_seed(&rng, 2);
    for (;;) {
        int64_t now_us = service_now_us();
        bool any = false;
        for (enum flood_door d = FLOOD_FRONT; d <= FLOOD_ENROL; d++) {
            unsigned i = d - FLOOD_FRONT;
            if (!due(&pace[i], d, now_us, 1))
                continue;
            unsigned n = at[i]++;
            finish(held[i][n % HELD], d);
            held[i][n % HELD] = begin(&rng, d);
            shake(held[i][(n + HELD - LATER) % HELD]); /* it is connected by now */
            any = true;
        }
        if (!any)
            poll(NULL, 0, 1);
    }
}

/* ---- life --------------------------------------------------------------------------------------------------- */

void floods_open(void)
{
    int back = lab_enter(&attack.ground.lab, "mallory"); /* where libzmq's threads are */
    cr_assert_geq(back, 0);
    hostile_capture_hello(&attack.join);
    cr_assert(netns_enter(back));
    close(back);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(shared, MAP_FAILED);
    back = lab_enter(&attack.ground.lab, "pub");
    cr_assert_geq(back, 0);
    for (unsigned i = 0; i < FLOODERS; i++) {
        flooders[i] = fork();
        if (flooders[i] != 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpriority(PRIO_PROCESS, 0, NICE); /* whatever else this machine does */
        if (i == 0)
            flood_by_datagrams();
        flood_by_handshakes();
    }
    cr_assert(netns_enter(back));
    close(back);
}

void floods_close(void)
{
    for (unsigned i = 0; i < FLOODERS; i++) {
        kill(flooders[i], SIGKILL);
        waitpid(flooders[i], NULL, 0);
    }
    munmap(shared, sizeof *shared);
}

void floods_set(enum flood_door door, uint64_t per_s)
{
    __atomic_store_n(&shared->per_s[door], per_s, __ATOMIC_RELAXED);
}

uint64_t floods_sent(enum flood_door door) { return get(&shared->sent[door]); }
uint64_t floods_answered(enum flood_door door) { return get(&shared->answered[door]); }
