/*
 * test_natlab_kernel.c - the model against the kernel: the same random packets through a Linux router with
 * real sockets and through the model configured alike; who gets what, and which ports are kept, must agree.
 *
 * Where the kernel has drawn a port the model goes on with that one.  SEED=n reruns one sequence, ROUNDS=n
 * makes it longer.
 */
#include "tests/lib/lab_bed.h"
#include "tests/natlab/nat_table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

TestSuite(natlab_kernel, .timeout = 3600);

/* Of two hosts beside each other, that want the same ports. */
static const struct {
    const char *host, *ip;
    uint16_t port;
} insides[] = {
    {"k",  "10.2.0.2", 5000},
    {"k",  "10.2.0.2", 5100},
    {"k2", "10.2.1.3", 5000},
    {"k2", "10.2.1.3", 5100}
};

static const char *const remote_ips[] = {"203.0.113.10", "203.0.113.11"};

enum { INSIDES = 4, REMOTES = 12, REMOTE_PORT = 7000 };

#define EXTERNAL "198.51.100.10"
#define LIFETIME_US 2000000
/* No entry is used while it is about to expire: the two clocks are not the same. */
#define SURELY_LIVE_US 1500000
#define SURELY_DEAD_US 2300000
#define HALFWAY_US 1200000

/* Both NATs, and what they have told the remotes: external ports, 0 for none yet. */
static struct bed {
    struct nat nat;
    struct rng rng;
    bool random; /* ports are drawn */
    uint64_t seed;
    int step, inside[INSIDES], remote[REMOTES], echo, barrier[2];
    uint16_t told[INSIDES][REMOTES];
} bed;

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct addr inside_addr(size_t i)
{
    struct addr a;

    cr_assert(addr_parse_ip(insides[i].ip, insides[i].port, &a));
    return a;
}

static struct addr remote_addr(size_t r)
{
    struct addr a;

    cr_assert(addr_parse_ip(remote_ips[r % 2], (uint16_t)(REMOTE_PORT + r / 2), &a));
    return a;
}

static const char *text_of(const struct addr *a)
{
    static char text[4][ADDR_TEXT_MAX];
    static size_t n;

    return addr_format(a, text[++n % 4], sizeof text[0]);
}

/* ---- the two worlds in step ---- */

/* Let what is on its way arrive: there and back again on the same interfaces, from each inside host. */
static void settle(void)
{
    char token[32];

    snprintf(token, sizeof token, "settle %d", bed.step);
    for (int i = 0; i < 2; i++) {
        bed_say(bed.barrier[i], "203.0.113.10:9000", token);
        const char *heard = bed_hear(bed.echo, SOON);
        cr_assert(strstr(heard, token), "seed %lu step %d: %s", bed.seed, bed.step, heard);
        bed_say(bed.echo, bed_source(heard), token);
        heard = bed_hear(bed.barrier[i], SOON);
        cr_assert(strstr(heard, token), "seed %lu step %d: %s", bed.seed, bed.step, heard);
    }
}

/* Is there an entry too old to say whether it still lives? */
static bool in_doubt(int64_t now)
{
    for (uint32_t i = 0; i < bed.nat.mappings_end; i++) {
        const struct nat_mapping *m = &bed.nat.mappings[i];
        int64_t age = now - m->refreshed_us;
        if (m->proto != 0 && age > SURELY_LIVE_US && age < SURELY_DEAD_US)
            return true;
    }
    return false;
}

static struct nat_mapping *find(size_t i, size_t r)
{
    struct addr internal = inside_addr(i), remote = remote_addr(r);

    return nat_find_mapping(&bed.nat, now_us(), NAT_UDP, &internal, &remote);
}

/* The kernel may still have expired entries, and prefer their ports, until it collects its garbage. */
static bool may_linger(size_t i)
{
    for (size_t r = 0; r < REMOTES; r++)
        if (bed.told[i][r] != 0 && find(i, r) == NULL)
            return true;
    return false;
}

/* What the kernel has drawn shall be the model's mapping too; in the model it must be free. */
static void adopt(size_t i, size_t r, uint16_t port)
{
    struct nat_mapping was = *find(i, r);
    struct addr remote = remote_addr(r);

    if (was.external.port == port)
        return;
    nat_remove_mapping(&bed.nat, (uint32_t)(find(i, r) - bed.nat.mappings) + 1);
    was.external.port = port;
    for (uint32_t k = *nat_outside(&bed.nat, NAT_UDP, &was.external); k != 0;) {
        const struct nat_mapping *m = &bed.nat.mappings[k - 1];
        cr_assert(!addr_eq(&m->external, &was.external) || !addr_eq(&m->remote, &remote) ||
                      nat_expired(&bed.nat, NAT_UDP, m->refreshed_us, now_us()),
                  "seed %lu step %d: port %u is taken", bed.seed, bed.step, port);
        k = m->next_outside;
    }
    struct nat_mapping *m =
        nat_add_mapping(&bed.nat, was.created_us, NAT_UDP, &was.internal, &remote, &was.external);
    nat_add_filter(&bed.nat, m, &remote)->refreshed_us = was.refreshed_us;
}

/* ---- steps ---- */

static void step_out(size_t i, size_t r)
{
    struct addr src = inside_addr(i), dst = remote_addr(r);
    char text[32];
    unsigned port = 0;
    bool known = find(i, r) != NULL, doubtful = may_linger(i);

    snprintf(text, sizeof text, "out %d", bed.step);
    bed_say(bed.inside[i], text_of(&dst), text);
    cr_assert_eq(nat_out(&bed.nat, now_us(), NAT_UDP, &src, &dst), NAT_PASS);
    const char *heard = bed_hear(bed.remote[r], SOON);
    cr_assert(strstr(heard, text) && sscanf(heard, EXTERNAL ":%u", &port) == 1,
              "seed %lu step %d: %s:%u to %s: '%s'", bed.seed, bed.step, insides[i].ip,
              insides[i].port, text_of(&dst), heard);
    if (known)
        cr_assert_eq(port, bed.told[i][r], "seed %lu step %d: port %u was %u", bed.seed, bed.step,
                     port, bed.told[i][r]);
    else if (!bed.random && !doubtful)
        cr_assert_eq(port == insides[i].port, src.port == insides[i].port,
                     "seed %lu step %d: port %u becomes %u, with the model %u", bed.seed, bed.step,
                     insides[i].port, port, src.port);
    adopt(i, r, (uint16_t)port);
    bed.told[i][r] = (uint16_t)port;
}

/* To the port that another remote has been told, or one that nobody has been. */
static void step_in(size_t r, size_t i, size_t other)
{
    uint16_t port = find(i, other) != NULL ? bed.told[i][other] : insides[i].port;
    struct addr src = remote_addr(r), dst;
    char text[32];

    cr_assert(addr_parse_ip(EXTERNAL, port, &dst));
    snprintf(text, sizeof text, "in %d", bed.step);
    bed_say(bed.remote[r], text_of(&dst), text);
    bool passes = nat_in(&bed.nat, now_us(), NAT_UDP, &src, &dst) == NAT_PASS;
    settle();
    for (size_t k = 0; k < INSIDES; k++) {
        struct addr internal = inside_addr(k);
        bool wanted = passes && addr_eq(&internal, &dst);
        const char *heard = bed_hear(bed.inside[k], wanted ? SOON : 0);
        cr_assert_eq(strstr(heard, text) != NULL, wanted,
                     "seed %lu step %d: from %s to port %u at %s:%u: '%s'", bed.seed, bed.step,
                     text_of(&src), port, insides[k].ip, insides[k].port, heard);
    }
}

/* From inside to the NAT's own outside: neither does hairpins. */
static void step_hairpin(size_t i, size_t j, size_t r)
{
    uint16_t port = find(j, r) != NULL ? bed.told[j][r] : insides[j].port;

    struct addr external;

    cr_assert(addr_parse_ip(EXTERNAL, port, &external));
    bed_say(bed.inside[i], text_of(&external), "hairpin");
    settle();
    for (size_t k = 0; k < INSIDES; k++)
        cr_assert_str_eq(bed_hear(bed.inside[k], 0), "", "seed %lu step %d", bed.seed, bed.step);
}

static size_t below(uint64_t n) { return (size_t)rng_below(&bed.rng, n); }

static void steps(int n)
{
    while (n-- > 0) {
        bed.step++;
        while (in_doubt(now_us()))
            usleep(10000);
        switch (below(8)) {
        case 0:
        case 1:
        case 2: step_out(below(INSIDES), below(REMOTES)); break;
        case 3: step_hairpin(below(INSIDES), below(INSIDES), below(REMOTES)); break;
        default: step_in(below(REMOTES), below(INSIDES), below(REMOTES)); break;
        }
    }
}

/* What is refreshed in the middle outlives what is not. */
static void round_of_steps(void)
{
    steps(400);
    usleep(HALFWAY_US);
    steps(30);
    usleep(HALFWAY_US);
    steps(300);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void compare(const char *kind, struct nat_conf like)
{
    char spec[64];

    bed.seed = number("SEED", 1);
    bed.random = like.allocation == ALLOC_RANDOM;
    rng_seed(&bed.rng, bed.seed);
    like.mapping = like.filtering = NAT_APD;
    like.overload = like.inbound_refreshes = true;
    like.lifetime_us = LIFETIME_US;
    cr_assert(addr_parse_ip(EXTERNAL, 0, &like.external[0]));
    nat_init(&bed.nat, &like, bed.seed);
    snprintf(spec, sizeof spec, "k=%s,lifetime=2s,ip=" EXTERNAL, kind);
    bed_start(ARGS(PUB, spec, "k2=@k"));
    for (size_t i = 0; i < INSIDES; i++)
        bed.inside[i] = bed_udp_at(insides[i].host, insides[i].ip, insides[i].port);
    for (size_t r = 0; r < REMOTES; r++)
        bed.remote[r] = bed_udp_at("pub", remote_ips[r % 2], (uint16_t)(REMOTE_PORT + r / 2));
    bed.echo = bed_udp_at("pub", "203.0.113.10", 9000);
    bed.barrier[0] = bed_udp("k", 9000);
    bed.barrier[1] = bed_udp("k2", 9100);
    for (uint64_t n = number("ROUNDS", 1); n > 0; n--)
        round_of_steps();
    printf("natlab: %s and the model agree, seed %lu, %d steps\n", kind, bed.seed, bed.step);
    lab_stop(&bed_lab);
}

Test(natlab_kernel, the_model_agrees_with_a_linux_router)
{
    compare("linux", (struct nat_conf){.allocation = ALLOC_PRESERVE});
}

Test(natlab_kernel, the_model_agrees_with_a_linux_router_that_draws_ports)
{
    compare("linux-random", (struct nat_conf){.allocation = ALLOC_RANDOM});
}

Test(natlab_kernel, the_model_agrees_with_a_linux_router_without_input_filter)
{
    compare("linux-open", (struct nat_conf){.allocation = ALLOC_PRESERVE, .claims = true});
}
