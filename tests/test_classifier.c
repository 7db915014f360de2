/*
 * test_classifier.c - what a NAT does, told from what probers saw: every mapping with every allocation
 * through a small model of a NAT, with answers lost; then the core's memory.
 */
#include "services/classifier/allocation.h"
#include "services/classifier/classifier.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

enum { SMALL = 4, PROBED = 4, SAMPLES = 4 };

static struct classifier core;
static void *memory;
static struct outputs out;
static int64_t now_us;
static struct msg report;
static char said[256];

static void start(uint32_t capacity)
{
    static const uint8_t rng_key[32] = {1};

    cr_assert_geq(sodium_init(), 0);
    memory = malloc(classifier_bytes(capacity));
    classifier_init(&core, capacity, rng_key, memory);
    now_us = 1000000;
}

static void setup(void) { start(SMALL); }
static void teardown(void) { free(memory); }

TestSuite(classifier, .init = setup, .fini = teardown, .timeout = 20);

/* ---- a report, by hand ------------------------------------------------------------------------------- */

static struct addr addr(const char *text)
{
    struct addr a;

    cr_assert(addr_parse(text, &a), "%s", text);
    return a;
}

static void begin(const char *local)
{
    memset(&report, 0, sizeof report);
    report.type = MSG_reflex_report;
    report.reflex_report.peer.b[0] = 7;
    report.reflex_report.serial = 5;
    report.reflex_report.local = addr(local);
}

static void saw(uint8_t sock, uint16_t local_port, const char *prober, const char *seen)
{
    struct observation_list *l = &report.reflex_report.seen;

    l->v[l->n++] = (struct observation){sock, local_port, 10, addr(prober), addr(seen)};
}

/* Step, and put the profile into said: "ei/preserve 95% delta=0 4000-4002 age=0 192.0.2.1:4000". */
static const struct profile *tell(void)
{
    struct input in = {.kind = IN_MSG, .now_us = now_us};
    char text[ADDR_TEXT_MAX];

    in.msg = &report;
    in.from.service = SERVICE_coordinator;
    classifier_step(&core, &in, &out);
    said[0] = '\0';
    if (out.n == 0)
        return NULL;
    cr_assert_eq(out.n, 1);
    cr_assert_eq(out.v[0].to, SERVICE_coordinator);
    const struct msg_nat_profile *m = &out.v[0].msg.nat_profile;
    const struct profile *p = &m->profile;
    cr_assert(profile_valid(p));
    cr_assert_eq(m->serial, report.reflex_report.serial);
    cr_assert(peer_id_eq(&m->peer, &report.reflex_report.peer));
    snprintf(said, sizeof said, "%s/%s %u%% delta=%d %u-%u age=%u %s", behaviour_name[p->mapping],
             allocation_name[p->allocation], p->confidence, p->delta, p->port_lo, p->port_hi,
             p->age_s, addr_format(&m->reflexive, text, sizeof text));
    return p;
}

static void expect(const char *text)
{
    tell();
    cr_assert_str_eq(said, text, "expected %s, got %s", text, said);
}

#define A1P1 "198.51.100.1:3478"
#define A1P2 "198.51.100.1:3479"
#define A2P1 "198.51.100.2:3478"
#define A2P2 "198.51.100.2:3479"

/* ---- a report, by a model of a NAT ------------------------------------------------------------------- */

struct model {
    enum behaviour mapping;
    enum allocation allocation;
    int delta;
    bool overload; /* preserve: a port serves mappings to several remotes */
    struct rng rng;
    int next;
    struct {
        uint16_t local, ip, port, external;
    } made[32];
    size_t n;
};

static uint16_t translate(struct model *m, uint16_t local, uint16_t ip, uint16_t port)
{
    if (m->mapping == NAT_NONE)
        return local;
    if (m->mapping == NAT_EI || m->overload)
        ip = 0;
    if (m->mapping != NAT_APD || m->overload)
        port = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->made[i].local == local && m->made[i].ip == ip && m->made[i].port == port)
            return m->made[i].external;
    int external = local;
    if (m->allocation == ALLOC_RANDOM)
        external = 1024 + (int)rng_below(&m->rng, 64000);
    else if (m->allocation == ALLOC_CONTIGUOUS)
        external = m->next += m->delta;
    for (size_t i = 0; i < m->n && m->allocation == ALLOC_PRESERVE; i++)
        if (m->made[i].external == external)
            external++, i = (size_t)-1;
    m->made[m->n].local = local;
    m->made[m->n].ip = ip;
    m->made[m->n].port = port;
    m->made[m->n].external = (uint16_t)external;
    return m->made[m->n++].external;
}

/* As executors probe: each prober address from socket 0, then the first one from each sample. */
static void probe(struct model *m, unsigned lost)
{
    char seen[32];
    static const char *const probers[PROBED] = {A1P1, A1P2, A2P1, A2P2};
    uint16_t local = 40000;

    begin(m->mapping == NAT_NONE ? "192.0.2.1:40000" : "10.0.0.2:40000");
    for (unsigned i = 0; i < PROBED + SAMPLES; i++) {
        unsigned to = i < PROBED ? i : 0;
        uint8_t sock = (uint8_t)(i < PROBED ? 0 : i - PROBED + 1);
        if (sock > 0)
            local = (uint16_t)(50000 + 977 * sock);
        snprintf(seen, sizeof seen, "192.0.2.1:%u",
                 translate(m, local, (uint16_t)(1 + to / 2), (uint16_t)(1 + to % 2)));
        if (!(lost & 1u << i))
            saw(sock, local, probers[to], seen);
    }
}

static struct model model(enum behaviour mapping, enum allocation allocation, uint64_t seed)
{
    struct model m = {.mapping = mapping, .allocation = allocation, .delta = 1, .next = 20000};

    rng_seed(&m.rng, seed);
    return m;
}

static const enum behaviour mappings[] = {NAT_NONE, NAT_EI, NAT_AD, NAT_APD};
static const enum allocation allocations[] = {ALLOC_PRESERVE, ALLOC_CONTIGUOUS, ALLOC_RANDOM};
static const int deltas[] = {1, 2, 5, -1, -3, 16};

Test(classifier, knows_every_mapping_with_every_allocation)
{
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++)
            for (uint64_t seed = 0; seed < 100; seed++) {
                struct model m = model(mappings[i], allocations[j], seed);
                m.delta = deltas[seed % 6];
                probe(&m, 0);
                report.reflex_report.peer.b[1] = (uint8_t)(seed + 1);
                const struct profile *p = tell();
                cr_assert_eq(p->mapping, mappings[i], "%s", said);
                if (mappings[i] == NAT_NONE)
                    continue;
                cr_assert_eq(p->allocation, allocations[j], "seed %d: %s", (int)seed, said);
                cr_assert_eq(p->delta, allocations[j] == ALLOC_CONTIGUOUS ? m.delta : 0, "%s",
                             said);
                cr_assert_geq(p->confidence, 90);
            }
}

/* With answers lost a finding may become unknown, and must never become wrong. */
static void lose(unsigned lost, size_t n_deltas, size_t *right, size_t *all)
{
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++)
            for (size_t k = 0; k < n_deltas; k++) {
                struct model m = model(mappings[i], allocations[j], k);
                struct finding f;
                m.delta = deltas[k];
                probe(&m, lost);
                classify(&report.reflex_report, &f);
                const struct profile *p = &f.profile;
                bool mapping = p->mapping == mappings[i];
                bool allocation =
                    p->allocation == (mappings[i] == NAT_NONE ? ALLOC_PRESERVE : allocations[j]);
                cr_assert(mapping || p->mapping == NAT_UNKNOWN, "lost %x: %s for %s", lost,
                          behaviour_name[p->mapping], behaviour_name[mappings[i]]);
                cr_assert(allocation || p->allocation == ALLOC_UNKNOWN, "lost %x: %s/%s for %s",
                          lost, behaviour_name[mappings[i]], allocation_name[p->allocation],
                          allocation_name[allocations[j]]);
                /* What is left may be every second port, of three or more lost. */
                bool delta = p->delta == m.delta ||
                             (__builtin_popcount(lost) > 2 && p->delta % m.delta == 0);
                cr_assert(delta || p->allocation != ALLOC_CONTIGUOUS, "lost %x: %s delta %d for %d",
                          lost, behaviour_name[mappings[i]], p->delta, m.delta);
                *right += mapping && allocation;
                *all += 1;
            }
}

Test(classifier, is_never_wrong_with_one_or_two_answers_lost)
{
    size_t right = 0, all = 0;

    for (unsigned a = 0; a < PROBED + SAMPLES; a++)
        for (unsigned b = a; b < PROBED + SAMPLES; b++)
            lose(1u << a | 1u << b, 6, &right, &all);
    cr_assert_gt(right * 10, all * 7, "%zu of %zu", right, all);
}

/* Of the largest step every second port looks random; of the others it is still a multiple. */
Test(classifier, is_never_wrong_with_three_answers_lost)
{
    size_t right = 0, all = 0;

    for (unsigned lost = 0; lost < 1u << (PROBED + SAMPLES); lost++)
        if (__builtin_popcount(lost) <= 3)
            lose(lost, 5, &right, &all);
    cr_assert_gt(right * 2, all, "%zu of %zu", right, all);
}

Test(classifier, takes_a_preserving_nat_that_shares_ports_for_endpoint_independent)
{
    struct model m = model(NAT_APD, ALLOC_PRESERVE, 1);

    m.overload = true;
    probe(&m, 0);
    expect("ei/preserve 95% delta=0 40000-53908 age=0 192.0.2.1:40000");
}

/* ---- findings, by hand --------------------------------------------------------------------------------- */

Test(classifier, a_port_that_serves_one_mapping_only_can_still_be_preserved)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:4000");
    saw(0, 4000, A1P2, "192.0.2.1:4001");
    saw(0, 4000, A2P1, "192.0.2.1:4002");
    expect("apd/preserve 90% delta=0 4000-4002 age=0 192.0.2.1:4000");
    saw(1, 5000, A1P1, "192.0.2.1:5001"); /* by one socket, that may be chance */
    report.reflex_report.peer.b[1] = 2;
    expect("apd/unknown 90% delta=0 4000-5001 age=0 192.0.2.1:4000");
    report.reflex_report.seen.v[3].seen.port = 4999;
    report.reflex_report.seen.v[0].seen.port = 3999; /* and here by none */
    report.reflex_report.seen.v[1].seen.port = 4999;
    report.reflex_report.seen.v[2].seen.port = 6999;
    report.reflex_report.peer.b[1] = 1;
    expect("apd/random 90% delta=0 3999-6999 age=0 192.0.2.1:3999");
}

Test(classifier, none_needs_a_local_address_that_is_one)
{
    begin("192.0.2.1:4000");
    saw(0, 4000, A1P1, "192.0.2.1:4000");
    expect("none/preserve 50% delta=0 4000-4000 age=0 192.0.2.1:4000");
    begin("0.0.0.0:4000");
    saw(0, 4000, A1P1, "192.0.2.1:4000");
    saw(0, 4000, A2P1, "192.0.2.1:4000");
    expect("ei/preserve 50% delta=0 4000-4000 age=0 192.0.2.1:4000");
}

Test(classifier, one_prober_ip_proves_no_endpoint_independence)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:4000");
    saw(0, 4000, A1P2, "192.0.2.1:4000");
    expect("unknown/preserve 50% delta=0 4000-4000 age=0 192.0.2.1:4000");
}

Test(classifier, one_prober_ip_proves_address_and_port_dependence)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:1025");
    saw(0, 4000, A1P2, "192.0.2.1:9000");
    expect("apd/unknown 75% delta=0 1025-9000 age=0 192.0.2.1:1025");
}

Test(classifier, one_port_each_of_two_ips_tells_not_what_a_mapping_depends_on)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:1025");
    saw(0, 4000, A2P1, "192.0.2.1:9000");
    expect("unknown/unknown 0% delta=0 1025-9000 age=0 192.0.2.1:1025");
}

Test(classifier, a_mapping_that_changed_meanwhile_is_unknown)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:1025");
    saw(0, 4000, A1P2, "192.0.2.1:1025");
    saw(0, 4000, A2P1, "192.0.2.1:1025");
    saw(0, 4000, A1P1, "192.0.2.1:9000");
    expect("unknown/unknown 0% delta=0 1025-9000 age=0 192.0.2.1:1025");
}

Test(classifier, a_repeated_answer_adds_no_confidence)
{
    begin("10.0.0.2:4000");
    for (int i = 0; i < 4; i++)
        saw(0, 4000, A1P1, "192.0.2.1:1025");
    saw(0, 4000, A2P1, "192.0.2.1:1025");
    expect("ei/unknown 75% delta=0 1025-1025 age=0 192.0.2.1:1025");
}

Test(classifier, answers_that_overtook_each_other_are_still_contiguous)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:2000");
    saw(1, 4100, A1P1, "192.0.2.1:2002");
    saw(2, 4200, A1P1, "192.0.2.1:2001");
    saw(3, 4300, A1P1, "192.0.2.1:2003");
    expect("unknown/unknown 0% delta=0 2000-2003 age=0 192.0.2.1:2000"); /* or that was luck */
    for (uint8_t i = 4; i < 7; i++) {
        char at[32];
        snprintf(at, sizeof at, "192.0.2.1:%d", 2000 + i);
        saw(i, (uint16_t)(4000 + 100 * i), A1P1, at);
    }
    expect("unknown/contiguous 95% delta=1 2000-2006 age=0 192.0.2.1:2000");
}

Test(classifier, others_may_take_many_ports_before_further_ones_are_looked_at)
{
    static const int random[] = {0, 150, 34, 210, 88, 122, 14, 180, 60, 240, 102};
    char at[32];

    begin("10.0.0.2:4000");
    for (uint8_t i = 0; i < 11;
         i++) { /* four, and seven after others had taken forty of two each */
        snprintf(at, sizeof at, "192.0.2.1:%d", 2000 + 2 * i + (i < 4 ? 0 : 80));
        saw(i, (uint16_t)(4000 + 10 * i), A1P1, at);
    }
    expect("unknown/contiguous 95% delta=2 2000-2100 age=0 192.0.2.1:2000");
    begin("10.0.0.2:4000");
    for (uint8_t i = 0; i < 11; i++) { /* so close together, but to and fro */
        snprintf(at, sizeof at, "192.0.2.1:%d", 2000 + random[i]);
        saw(i, (uint16_t)(4000 + 10 * i), A1P1, at);
    }
    expect("unknown/random 95% delta=0 2000-2240 age=0 192.0.2.1:2000");
}

Test(classifier, one_port_for_two_ips_is_chance_in_a_small_block_unless_another_socket_has_one_too)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:2100");
    saw(0, 4000, A1P2, "192.0.2.1:2100");
    saw(0, 4000, A2P1, "192.0.2.1:2100");
    saw(1, 5000, A1P1, "192.0.2.1:2150");
    saw(2, 6000, A1P1, "192.0.2.1:2230");
    saw(3, 7000, A1P1, "192.0.2.1:2037");
    cr_assert_eq(tell()->mapping, NAT_UNKNOWN);
    saw(3, 7000, A2P1, "192.0.2.1:2037");
    cr_assert_eq(tell()->mapping, NAT_EI);
    report.reflex_report.peer.b[1] = 1;
    report.reflex_report.seen.v[6].seen.port = 2201;
    cr_assert_eq(tell()->mapping, NAT_AD);
    report.reflex_report.peer.b[1] = 2;
    report.reflex_report.seen.n = 6;
    report.reflex_report.seen.v[5].seen.port = 9000; /* of no block */
    cr_assert_eq(tell()->mapping, NAT_EI);
}

Test(classifier, most_neighbours_tell_the_direction_else_the_ends)
{
    begin("10.0.0.2:4000");
    for (uint8_t i = 0; i < 8; i++) {
        static const int ports[] = {2007, 2005, 2006, 2003, 2004, 2002, 2001, 2000};
        char at[32];
        snprintf(at, sizeof at, "192.0.2.1:%d", ports[i]);
        saw(i, (uint16_t)(4000 + 100 * i), A1P1, at);
    }
    expect("unknown/contiguous 95% delta=-1 2000-2007 age=0 192.0.2.1:2007");
}

Test(classifier, numbers_of_fresh_sockets_tell_what_was_lost)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:2000");
    saw(2, 4200, A1P1, "192.0.2.1:2002");
    saw(4, 4400, A1P1, "192.0.2.1:2004");
    saw(5, 4500, A1P1, "192.0.2.1:2005");
    expect("unknown/contiguous 95% delta=1 2000-2005 age=0 192.0.2.1:2000");
}

Test(classifier, the_reflexive_address_is_where_socket_0_is_seen_most)
{
    begin("10.0.0.2:4000");
    saw(1, 4100, A1P1, "192.0.2.1:7000");
    saw(0, 4000, A1P1, "192.0.2.1:2000");
    saw(0, 4000, A1P2, "192.0.2.1:7000");
    expect("apd/random 75% delta=0 2000-7000 age=0 192.0.2.1:2000");
    saw(0, 4000, A2P1, "192.0.2.1:7000");
    expect("apd/random 90% delta=0 2000-7000 age=0 192.0.2.1:7000");
}

Test(classifier, ports_that_others_took_between_leave_it_contiguous)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:2000"); /* long before */
    saw(1, 4100, A1P1, "192.0.2.1:3001");
    saw(2, 4200, A1P1, "192.0.2.1:3003");
    saw(3, 4300, A1P1, "192.0.2.1:3004");
    expect("unknown/unknown 0% delta=0 2000-3004 age=0 192.0.2.1:2000"); /* three show too little */
    saw(4, 4400, A1P1, "192.0.2.1:3005");
    saw(5, 4500, A1P1, "192.0.2.1:3006");
    expect("unknown/contiguous 95% delta=1 2000-3006 age=0 192.0.2.1:2000");
}

Test(classifier, a_large_constant_step_is_not_contiguous)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:2000");
    saw(1, 4100, A1P1, "192.0.2.1:2017");
    saw(2, 4200, A1P1, "192.0.2.1:2034");
    expect("unknown/random 90% delta=0 2000-2034 age=0 192.0.2.1:2000");
}

Test(classifier, two_mappings_are_too_few_for_contiguous_or_random)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:2000");
    saw(1, 4100, A1P1, "192.0.2.1:2001");
    expect("unknown/unknown 0% delta=0 2000-2001 age=0 192.0.2.1:2000");
}

Test(classifier, of_ipv6_too)
{
    begin("[2001:db8::5]:4000");
    saw(0, 4000, "[2001:db8:1::1]:3478", "[2001:db8::5]:4000");
    saw(0, 4000, "[2001:db8:1::2]:3478", "[2001:db8::5]:4000");
    expect("none/preserve 75% delta=0 4000-4000 age=0 [2001:db8::5]:4000");
}

/* ---- filtering -------------------------------------------------------------------------------------------- */

static void let_in(bool other_ip, bool other_port)
{
    report.reflex_report.filter_asked = true;
    report.reflex_report.filter_other_ip = other_ip;
    report.reflex_report.filter_other_port = other_port;
}

static const char *filtering(void) { return behaviour_name[tell()->filtering]; }

Test(classifier, filtering_is_told_by_who_else_was_let_in)
{
    struct model m = model(NAT_EI, ALLOC_RANDOM, 1);

    probe(&m, 0);
    cr_assert_str_eq(filtering(), "unknown");
    let_in(false, false);
    cr_assert_str_eq(filtering(), "apd");
    let_in(false, true);
    cr_assert_str_eq(filtering(), "ad");
    let_in(true, true);
    cr_assert_str_eq(filtering(), "ei");
    let_in(true, false); /* the other answer was lost, or not waited for */
    cr_assert_str_eq(filtering(), "ei");
    report.reflex_report.filter_asked = false; /* what then is said of it counts for nothing */
    report.reflex_report.peer.b[1] = 1;
    cr_assert_str_eq(filtering(), "unknown");
}

Test(classifier, hairpinning_is_kept_until_it_is_measured_again_and_is_none_of_a_host_without_nat)
{
    struct model m = model(NAT_EI, ALLOC_RANDOM, 1), none = model(NAT_NONE, ALLOC_PRESERVE, 1);

    probe(&m, 0);
    report.reflex_report.hairpin = HAIRPIN_EXTERNAL;
    cr_assert_eq(tell()->hairpin, HAIRPIN_EXTERNAL);
    report.reflex_report.hairpin = HAIRPIN_UNKNOWN;
    cr_assert_eq(tell()->hairpin, HAIRPIN_EXTERNAL);
    report.reflex_report.hairpin = HAIRPIN_NONE;
    cr_assert_eq(tell()->hairpin, HAIRPIN_NONE);
    report.reflex_report.peer.b[1] = 1;
    report.reflex_report.hairpin = HAIRPIN_COUNT; /* of a later version */
    cr_assert_eq(tell()->hairpin, HAIRPIN_UNKNOWN);
    probe(&none, 0);
    report.reflex_report.peer.b[1] = 2;
    report.reflex_report.hairpin = HAIRPIN_EXTERNAL;
    cr_assert_eq(tell()->hairpin, HAIRPIN_UNKNOWN);
}

Test(classifier, what_early_packets_do_is_kept_until_it_is_measured_again)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, "203.0.113.10:3478", "192.0.2.1:4000");
    saw(0, 4000, "203.0.113.11:3478", "192.0.2.1:4000");
    cr_assert_eq(tell()->clash, CLASH_UNKNOWN);
    report.reflex_report.clash = CLASH_CLAIMS;
    cr_assert_eq(tell()->clash, CLASH_CLAIMS);
    report.reflex_report.clash = CLASH_UNKNOWN;
    cr_assert_eq(tell()->clash, CLASH_CLAIMS);
    report.reflex_report.clash = CLASH_COUNT;
    cr_assert_eq(tell()->clash, CLASH_CLAIMS, "what is no value says nothing");
    report.reflex_report.clash = CLASH_NONE;
    cr_assert_eq(tell()->clash, CLASH_NONE);
}

Test(classifier, a_pool_shows_by_the_addresses_of_sockets_or_of_one_socket)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, "203.0.113.10:3478", "192.0.2.1:4000");
    saw(0, 4000, "203.0.113.11:3478", "192.0.2.1:4000");
    cr_assert_eq(tell()->pool, POOL_UNKNOWN, "one address proves nothing");
    saw(1, 4001, "203.0.113.10:3478", "192.0.2.9:4001");
    cr_assert_eq(tell()->pool, POOL_ARBITRARY);
    report.reflex_report.seen.n--;
    cr_assert_eq(tell()->pool, POOL_ARBITRARY, "it is kept while the NAT looks the same");
    saw(0, 4000, "203.0.113.11:3479", "192.0.2.7:4000");
    cr_assert_eq(tell()->pool, POOL_BY_DESTINATION);
    report.reflex_report.seen.n--;
    cr_assert_eq(tell()->pool, POOL_BY_DESTINATION);
}

Test(classifier, where_the_ip_changes_the_mapping_is_that_of_the_ports)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, "203.0.113.10:3478", "192.0.2.1:4000");
    saw(0, 4000, "203.0.113.10:3479", "192.0.2.7:4000");
    saw(0, 4000, "203.0.113.11:3478", "192.0.2.7:4000");
    cr_assert_eq(tell()->mapping, NAT_EI);
    cr_assert_eq(tell()->allocation, ALLOC_PRESERVE);
    report.reflex_report.seen.v[1].seen.port = 5111;
    report.reflex_report.seen.v[2].seen.port = 6222;
    cr_assert_eq(tell()->mapping, NAT_APD);
}

Test(classifier, a_host_without_nat_is_open_or_firewalled_or_unknown)
{
    struct model m = model(NAT_NONE, ALLOC_PRESERVE, 1);

    probe(&m, 0);
    cr_assert_str_eq(profile_display(tell()), "unknown");
    let_in(true, true);
    cr_assert_str_eq(filtering(), "none");
    cr_assert_str_eq(profile_display(tell()), "open");
    let_in(false, true);
    cr_assert_str_eq(profile_display(tell()), "firewalled");
    let_in(false, false);
    cr_assert_str_eq(profile_display(tell()), "firewalled");
}

Test(classifier, filtering_is_kept_while_the_nat_looks_the_same)
{
    struct model m = model(NAT_EI, ALLOC_RANDOM, 1);

    probe(&m, 0xf0); /* no answer to a sample, so the allocation is not known */
    let_in(false, true);
    cr_assert_str_eq(filtering(), "ad");
    probe(&m, 0); /* a later round knows more, but did not measure it */
    cr_assert_str_eq(filtering(), "ad");
    begin("10.0.0.2:40000"); /* nothing but a refresh */
    saw(0, 40000, A1P1, "192.0.2.1:20001");
    cr_assert_str_eq(filtering(), "ad");
    begin("10.0.0.2:40000"); /* another public ip: another NAT */
    saw(0, 40000, A1P1, "192.0.2.9:20001");
    cr_assert_str_eq(filtering(), "unknown");
}

/* ---- memory --------------------------------------------------------------------------------------------- */

static void known_contiguous(void)
{
    struct model m = model(NAT_EI, ALLOC_CONTIGUOUS, 1);

    probe(&m, 0);
    expect("ei/contiguous 95% delta=1 20001-20005 age=0 192.0.2.1:20001");
}

Test(classifier, a_poorer_report_does_not_overwrite_what_is_known)
{
    known_contiguous();
    now_us += 25000000;
    begin("10.0.0.2:40000"); /* a refresh: no samples, two answers lost */
    saw(0, 40000, A1P1, "192.0.2.1:20001");
    saw(0, 40000, A1P2, "192.0.2.1:20001");
    expect("ei/contiguous 95% delta=1 20001-20005 age=25 192.0.2.1:20001");
    now_us += 25000000;
    report.reflex_report.seen.n = 0; /* all lost */
    expect("ei/contiguous 95% delta=1 20001-20005 age=50 192.0.2.1:20001");
    report.reflex_report.seen.n = 2; /* the mapping was made anew */
    report.reflex_report.seen.v[0].seen.port = report.reflex_report.seen.v[1].seen.port = 20009;
    expect("ei/contiguous 95% delta=1 20001-20005 age=50 192.0.2.1:20009");
    cr_assert_eq(core.n.kept, 3);
    known_contiguous();
}

Test(classifier, a_less_certain_report_does_not_overwrite_what_is_known)
{
    struct model m = model(NAT_EI, ALLOC_PRESERVE, 1);

    probe(&m, 0);
    expect("ei/preserve 95% delta=0 40000-53908 age=0 192.0.2.1:40000");
    now_us += 25000000;
    probe(&m, 0xf0); /* a refresh: one mapping, so 50% */
    expect("ei/preserve 95% delta=0 40000-53908 age=25 192.0.2.1:40000");
}

Test(classifier, knowing_both_outweighs_certainty_of_one)
{
    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:4000");
    saw(0, 4000, A2P1, "192.0.2.1:4000");
    expect("ei/preserve 50% delta=0 4000-4000 age=0 192.0.2.1:4000");
    for (size_t i = 0; i < 2; i++) /* the mapping was made anew while its port was taken */
        report.reflex_report.seen.v[i].seen.port = 5000;
    expect("ei/preserve 50% delta=0 4000-4000 age=0 192.0.2.1:5000");
}

Test(classifier, another_socket_or_public_ip_starts_anew)
{
    known_contiguous();
    begin("10.0.0.2:40001");
    saw(0, 40001, A1P1, "192.0.2.1:20001");
    expect("unknown/unknown 0% delta=0 20001-20001 age=0 192.0.2.1:20001");
    known_contiguous();
    begin("10.0.0.2:40000");
    saw(0, 40000, A1P1, "192.0.2.9:20001");
    expect("unknown/unknown 0% delta=0 20001-20001 age=0 192.0.2.9:20001");
}

Test(classifier, what_contradicts_the_earlier_finding_replaces_it)
{
    known_contiguous();
    begin("10.0.0.2:40000");
    saw(0, 40000, A1P1, "192.0.2.1:20001");
    saw(0, 40000, A1P2, "192.0.2.1:33333");
    expect("apd/unknown 75% delta=0 20001-33333 age=0 192.0.2.1:20001");
    known_contiguous();
    begin("10.0.0.2:40000"); /* not endpoint-independent any more, whatever it is */
    saw(0, 40000, A1P1, "192.0.2.1:20001");
    saw(0, 40000, A2P2, "192.0.2.1:33333");
    expect("unknown/unknown 0% delta=0 20001-33333 age=0 192.0.2.1:20001");
    struct model m = model(NAT_APD, ALLOC_CONTIGUOUS, 1);
    probe(&m, 0);
    expect("apd/contiguous 95% delta=1 20001-20008 age=0 192.0.2.1:20001");
    begin("10.0.0.2:40000");
    saw(0, 40000, A1P1, "192.0.2.1:20001");
    saw(0, 40000, A2P2, "192.0.2.1:20001");
    expect("ei/unknown 75% delta=0 20001-20001 age=0 192.0.2.1:20001");
    known_contiguous();
    begin("10.0.0.2:40000");
    saw(1, 40001, A1P1, "192.0.2.1:40001");
    expect("unknown/preserve 50% delta=0 0-0 age=0 -");
}

Test(classifier, a_finding_expires_when_its_peer_is_silent)
{
    known_contiguous();
    cr_assert_eq(classifier_deadline(&core), now_us + FINDING_TTL_US);
    now_us += FINDING_TTL_US - 1;
    begin("10.0.0.2:40000");
    saw(0, 40000, A1P1, "192.0.2.1:20001");
    expect("ei/contiguous 95% delta=1 20001-20005 age=299 192.0.2.1:20001");
    now_us = classifier_deadline(&core);
    classifier_step(&core, &(struct input){.kind = IN_TICK, .now_us = now_us}, &out);
    cr_assert_eq(core.by_peer.n, 0);
    cr_assert_eq(classifier_deadline(&core), NEVER);
    expect("unknown/unknown 0% delta=0 20001-20001 age=0 192.0.2.1:20001");
}

Test(classifier, a_full_table_gives_up_who_was_silent_for_longest)
{
    for (uint8_t i = 0; i < SMALL; i++, now_us += 1000000) {
        struct model m = model(NAT_EI, ALLOC_CONTIGUOUS, 1);
        probe(&m, 0);
        report.reflex_report.peer.b[0] = i + 1;
        tell();
    }
    begin("10.0.0.2:40000"); /* peer 1 is heard of again, so peer 2 is the oldest */
    saw(0, 40000, A1P1, "192.0.2.1:20001");
    report.reflex_report.peer.b[0] = 1;
    expect("ei/contiguous 95% delta=1 20001-20005 age=4 192.0.2.1:20001");
    report.reflex_report.peer.b[0] = 99;
    tell();
    cr_assert_eq(core.by_peer.n, SMALL);
    cr_assert_eq(core.n.evicted, 1);
    for (uint8_t i = 1; i <= SMALL; i++) {
        struct finding_key key = {{{i}}, 4};
        cr_assert_eq(table_find(&core.by_peer, &key) == TABLE_NONE, i == 2, "peer %u", i);
    }
}

Test(classifier, a_flood_of_peers_stays_within_the_table)
{
    for (uint32_t i = 0; i < 1000; i++, now_us += 1000) {
        begin("10.0.0.2:40000");
        saw(0, 40000, A1P1, "192.0.2.1:20001");
        memcpy(report.reflex_report.peer.b + 4, &i, sizeof i);
        cr_assert(tell());
        cr_assert_leq(core.by_peer.n, SMALL);
    }
    cr_assert_eq(core.n.evicted, 1000 - SMALL);
}

Test(classifier, a_report_that_says_nothing_takes_no_place)
{
    begin("10.0.0.2:40000");
    expect("unknown/unknown 0% delta=0 0-0 age=0 -");
    cr_assert_eq(core.by_peer.n, 0);
    cr_assert_eq(core.n.empty, 1);
}

Test(classifier, each_address_family_has_its_own_finding)
{
    known_contiguous();
    begin("[2001:db8::5]:4000");
    saw(0, 4000, "[2001:db8:1::1]:3478", "[2001:db8::5]:4000");
    expect("none/preserve 50% delta=0 4000-4000 age=0 [2001:db8::5]:4000");
    cr_assert_eq(core.by_peer.n, 2);
}

/* ---- harm ------------------------------------------------------------------------------------------------ */

Test(classifier, ignores_observations_that_can_not_be)
{
    struct observation_list *l = &report.reflex_report.seen;

    begin("10.0.0.2:4000");
    saw(0, 4000, A1P1, "192.0.2.1:0");
    saw(0, 4000, "198.51.100.1:0", "192.0.2.1:7");
    saw(0, 0, A1P1, "192.0.2.1:7");
    saw(0, 4000, A1P1, "0.0.0.0:7");
    saw(0, 4000, A1P1, "[2001:db8::1]:7");
    saw(0, 4000, "[2001:db8::1]:7", "192.0.2.1:7");
    saw(0, 4000, A1P1, "192.0.2.1:7");
    l->v[6].seen.len = 7;
    expect("unknown/unknown 0% delta=0 0-0 age=0 -");
    cr_assert_eq(core.n.observations_ignored, 7);
}

Test(classifier, refuses_reports_of_nobody_and_from_others)
{
    struct input in = {.kind = IN_MSG, .now_us = now_us};
    struct msg hello = {.type = MSG_prober_hello};

    begin("10.0.0.2:4000");
    memset(&report.reflex_report.peer, 0, sizeof report.reflex_report.peer);
    cr_assert_null(tell());
    begin("10.0.0.2:4000");
    in.msg = &report;
    in.from.service = SERVICE_prober;
    classifier_step(&core, &in, &out);
    cr_assert_eq(out.n, 0);
    cr_assert_eq(core.n.refused, 2);
    in.msg = &hello;
    classifier_step(&core, &in, &out);
    cr_assert_eq(out.n, 0);
    cr_assert_eq(core.n.hellos, 1);
}

/* From small pools, so that addresses and ports repeat and every branch is met. */
static struct addr hostile_addr(struct rng *r)
{
    static const uint16_t ports[] = {0, 1, 1024, 1025, 1026, 3478, 65534, 65535};
    struct addr a = {
        .len = (uint8_t[]){0, 4, 4, 4, 16, 255}
          [rng_below(r, 6)]
    };

    a.ip[3] = (uint8_t)rng_below(r, 3);
    a.port = rng_below(r, 4) ? ports[rng_below(r, 8)] : (uint16_t)rng_u64(r);
    return a;
}

Test(classifier, survives_a_hundred_thousand_hostile_reports)
{
    struct rng r;

    rng_seed(&r, 4);
    for (int i = 0; i < 100000; i++, now_us += (int64_t)rng_below(&r, 10000000)) {
        struct msg_reflex_report *m = &report.reflex_report;
        begin("10.0.0.2:4000");
        m->peer.b[0] = (uint8_t)(1 + rng_below(&r, 8));
        m->local = hostile_addr(&r);
        m->serial = (uint32_t)rng_u64(&r);
        m->seen.n = (uint8_t)(rng_below(&r, 8) ? rng_below(&r, OBSERVATIONS_MAX + 1) : rng_u64(&r));
        for (size_t k = 0; k < OBSERVATIONS_MAX; k++)
            m->seen.v[k] =
                (struct observation){(uint8_t)(rng_below(&r, 8) ? rng_below(&r, 4) : rng_u64(&r)),
                                     (uint16_t)rng_u64(&r), 0, hostile_addr(&r), hostile_addr(&r)};
        const struct profile *p = tell(); /* which checks that it is valid */
        cr_assert(p);
        cr_assert(p->delta >= -DELTA_MAX && p->delta <= DELTA_MAX);
        cr_assert_eq(p->delta != 0, p->allocation == ALLOC_CONTIGUOUS);
        cr_assert_leq(core.by_peer.n, SMALL);
    }
}
