/* bed.c - see attack.h. */
#include "tests/attack/attack.h"
#include "tests/lib/sockets.h"

#include "lib/keys.h"
#include "lib/service.h"
#include "lib/ticket.h"
#include "lib/token.h"
#include "lib/udp.h"
#include "tests/natlab/netns.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sodium.h>

struct attack_bed attack;

/* ---- what is seen --------------------------------------------------------------------------------------- */

/* The sum of a number of all lines of the lab's state that have these texts. */
static uint64_t count(const char *type, const char *from, const char *to, const char *key)
{
    char *text = lab_state(&attack.ground.lab), *rest = text;
    uint64_t n = 0;

    cr_assert(text);
    for (char *line; (line = strsep(&rest, "\n"));) {
        json_t *o = *line ? json_loads(line, 0, NULL) : NULL;
        if (o && strcmp(ground_text(o, "type"), type) == 0 &&
            (!from || strcmp(ground_text(o, "from"), from) == 0) &&
            (!to || strcmp(ground_text(o, "to"), to) == 0))
            n += (uint64_t)ground_number(o, key);
        json_decref(o);
    }
    free(text);
    return n;
}

uint64_t attack_sent(const char *from, const char *to)
{
    return count("pair", from, to, "sent_udp");
}
uint64_t attack_astray(void) { return count("net", NULL, NULL, "no-route"); }

static int enter(const char *host)
{
    int back = lab_enter(&attack.ground.lab, host);

    cr_assert_geq(back, 0);
    return back;
}

static void leave(int back)
{
    cr_assert(netns_enter(back));
    close(back);
}

uint64_t attack_received_bytes(const char *host)
{
    char line[512];
    uint64_t bytes = 0, b, packets;
    int back = enter(host);
    FILE *f = fopen("/proc/thread-self/net/dev", "re");

    cr_assert(f);
    while (fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (colon && !strstr(line, "lo:") && sscanf(colon + 1, "%lu %lu", &b, &packets) == 2)
            bytes += b - packets * (sizeof(struct iphdr) + sizeof(struct udphdr));
    }
    fclose(f);
    leave(back);
    return bytes;
}

/* ---- sending --------------------------------------------------------------------------------------------- */

zsock_t *attack_zsock(int type)
{
    zsock_t *s = zsock_new(type);

    zsock_set_linger(s, 0);
    zsock_set_sndtimeo(s, ATTACK_PATIENCE_MS);
    zsock_set_rcvtimeo(s, ATTACK_PATIENCE_MS);
    return s;
}

void attack_bind(zsock_t *s, uint16_t port)
{
    int back = enter("mallory");

    cr_assert_geq(zsock_bind(s, "tcp://" MALLORY_IP ":%u", port), 0);
    leave(back);
}

void attack_udp(int fd, const struct addr *to, const void *data, size_t len)
{
    struct sockaddr_storage at;
    socklen_t at_len = addr_to_sockaddr(to, &at);

    cr_assert(sendto(fd, data, len, 0, (struct sockaddr *)&at, at_len) == (ssize_t)len);
}

void attack_forge(const struct addr *from, const struct addr *to, const void *data, size_t len)
{
    uint8_t packet[1500];
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
    struct udphdr udp = {.source = htons(from->port),
                         .dest = htons(to->port),
                         .len = htons((uint16_t)(sizeof udp + len))};
    size_t all = sizeof ip + sizeof udp + len;

    cr_assert_leq(all, sizeof packet);
    memcpy(&ip.saddr, from->ip, 4);
    memcpy(&ip.daddr, to->ip, 4);
    memcpy(&at.sin_addr, to->ip, 4);
    memcpy(packet, &ip, sizeof ip);
    memcpy(packet + sizeof ip, &udp, sizeof udp);
    memcpy(packet + sizeof ip + sizeof udp, data, len);
    cr_assert(sendto(attack.raw, packet, all, 0, (struct sockaddr *)&at, sizeof at) ==
              (ssize_t)all);
}

size_t attack_hear(int fd, void *data, size_t cap, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&p, 1, ms) == 1 ? recv(fd, data, cap, 0) : 0;

    return n > 0 ? (size_t)n : 0;
}

int attack_socket(struct addr *own)
{
    int fd = lab_socket(&attack.ground.lab, "mallory", SOCK_DGRAM, MALLORY_IP, 0);

    cr_assert_geq(fd, 0);
    *own = sockets_name(fd);
    return fd;
}

int attack_tap(const char *host)
{
    int back = enter(host), fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);

    cr_assert_geq(fd, 0);
    leave(back);
    return fd;
}

struct ground_run attack_program(const char *host, const char *verb, const char *const *more)
{
    return ground_start(&attack.ground, host, verb, more);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

static void load(const char *name, void *to, size_t n)
{
    char path[128];

    snprintf(path, sizeof path, "%s/suite/keys/%s", attack.ground.dir, name);
    cr_assert(key_load_public(path, to, n), "%s", path);
}

/* What the suite's servers know, and so a hostile one of them. */
static void load_keys(void)
{
    struct attack_bed *b = &attack;
    uint8_t certs[2][64], relay_secret[32], secret[32];

    load("prober.pub", b->prober.key, 32);
    load("prober.cert", b->prober.cert, 64);
    load("prober", b->prober_secret, 64);
    load("coordinator", b->coordinator_secret, 32);
    load("places", certs, sizeof certs);
    load("relay", relay_secret, sizeof relay_secret);
    ticket_secret(relay_secret, ticket_period(service_wall_ms(), TICKET_PERIOD_MS), secret);
    crypto_scalarmult_base(b->relay_key, secret);
    for (uint8_t i = 0; i < 4; i++)
        b->prober.addrs[b->prober.n_addrs++] =
            addr_v4(203, 0, 113, (uint8_t)(10 + i / 2), (uint16_t)(PROBER_PORT + i % 2));
    for (uint8_t i = 0; i < 2; i++) {
        struct place *p = &b->places.v[b->places.n++];
        p->ip = addr_v4(203, 0, 113, (uint8_t)(10 + i), 0);
        memcpy(p->cert, certs[i], sizeof p->cert);
    }
}

void attack_open(const char *environment)
{
    struct attack_bed *b = &attack;
    char why[JOIN_ERROR_MAX];

    cr_assert_geq(sodium_init(), 0);
    rng_seed(&b->rng, ground_times("SEED", 1));
    ground_open_lab(&b->ground,
                    ARGS("--delay", "2ms", "victim=open,ip=" VICTIM_IP,
                         "second=open,ip=203.0.113.20", "mallory=open,sources=any,ip=" MALLORY_IP,
                         "alice=open,ip=" ALICE_IP, "bob=open,ip=" BOB_IP,
                         "carol=open,ip=" CAROL_IP));
    ground_up(&b->ground, SUITE_IP ",203.0.113.11", environment);
    cr_assert(join_parse(b->ground.join, &b->join, why));
    load_keys();
    crypto_box_keypair(b->mallory.b, b->secret);
    b->victim = addr_v4(203, 0, 113, 66, 4000);
    b->udp = attack_socket(&b->own);
    int back = enter("mallory"); /* where libzmq's threads begin */
    b->raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    cr_assert_geq(b->raw, 0);
    zsock_t *first = zsock_new(ZMQ_PAIR);
    zsock_bind(first, "inproc://first");
    zsock_destroy(&first);
    leave(back);
}

void attack_close(void)
{
    close(attack.udp);
    close(attack.raw);
    ground_close(&attack.ground);
}
