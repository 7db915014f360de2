/* classifier_bed.c - see classifier_bed.h. */
#include "tests/lib/classifier_bed.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

void classifier_bed_open(struct classifier_bed *b, uint32_t capacity)
{
    static const uint8_t rng_key[32] = {1};

    cr_assert_geq(sodium_init(), 0);
    b->memory = malloc(classifier_bytes(capacity));
    classifier_init(&b->core, capacity, rng_key, b->memory);
    b->now_us = 1000000;
}

struct addr classifier_bed_addr(const char *text)
{
    struct addr a;

    cr_assert(addr_parse(text, &a), "%s", text);
    return a;
}

void classifier_bed_begin(struct classifier_bed *b, const char *local)
{
    memset(&b->report, 0, sizeof b->report);
    b->report.type = MSG_reflex_report;
    b->report.reflex_report.peer.b[0] = 7;
    b->report.reflex_report.serial = 5;
    b->report.reflex_report.local = classifier_bed_addr(local);
}

void classifier_bed_saw(struct classifier_bed *b, uint8_t sock, uint16_t local_port,
                        const char *prober, const char *seen)
{
    struct observation_list *l = &b->report.reflex_report.seen;

    l->v[l->n++] = (struct observation){sock, local_port, 10, classifier_bed_addr(prober),
                                        classifier_bed_addr(seen)};
}

const struct profile *classifier_bed_tell(struct classifier_bed *b)
{
    struct input in = {.kind = IN_MSG, .now_us = b->now_us};
    char text[ADDR_TEXT_MAX];

    in.msg = &b->report;
    in.from.service = SERVICE_coordinator;
    classifier_step(&b->core, &in, &b->out);
    b->said[0] = '\0';
    if (b->out.n == 0)
        return NULL;
    cr_assert_eq(b->out.n, 1);
    cr_assert_eq(b->out.v[0].to, SERVICE_coordinator);
    const struct msg_nat_profile *m = &b->out.v[0].msg.nat_profile;
    const struct profile *p = &m->profile;
    cr_assert(profile_valid(p));
    cr_assert_eq(m->serial, b->report.reflex_report.serial);
    cr_assert(peer_id_eq(&m->peer, &b->report.reflex_report.peer));
    snprintf(b->said, sizeof b->said, "%s/%s %u%% delta=%d %u-%u age=%u %s",
             behaviour_name[p->mapping], allocation_name[p->allocation], p->confidence, p->delta,
             p->port_lo, p->port_hi, p->age_s, addr_format(&m->reflexive, text, sizeof text));
    return p;
}

void classifier_bed_expect(struct classifier_bed *b, const char *text, int line)
{
    classifier_bed_tell(b);
    cr_assert_str_eq(b->said, text, "line %d: expected %s, got %s", line, text, b->said);
}

/* ---- a model of a NAT ------------------------------------------------------------------------- */

static uint16_t translate(struct classifier_model *m, uint16_t local, uint16_t ip, uint16_t port)
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
void classifier_bed_probe(struct classifier_bed *b, struct classifier_model *m, unsigned lost)
{
    char seen[32];
    static const char *const probers[CLASSIFIER_PROBED] = {A1P1, A1P2, A2P1, A2P2};
    uint16_t local = 40000;

    classifier_bed_begin(b, m->mapping == NAT_NONE ? "192.0.2.1:40000" : "10.0.0.2:40000");
    for (unsigned i = 0; i < CLASSIFIER_PROBED + CLASSIFIER_SAMPLES; i++) {
        unsigned to = i < CLASSIFIER_PROBED ? i : 0;
        uint8_t sock = (uint8_t)(i < CLASSIFIER_PROBED ? 0 : i - CLASSIFIER_PROBED + 1);
        if (sock > 0)
            local = (uint16_t)(50000 + 977 * sock);
        snprintf(seen, sizeof seen, "192.0.2.1:%u",
                 translate(m, local, (uint16_t)(1 + to / 2), (uint16_t)(1 + to % 2)));
        if (!(lost & 1u << i))
            classifier_bed_saw(b, sock, local, probers[to], seen);
    }
}

struct classifier_model classifier_model(enum behaviour mapping, enum allocation allocation,
                                         uint64_t seed)
{
    struct classifier_model m = {
        .mapping = mapping, .allocation = allocation, .delta = 1, .next = 20000};

    rng_seed(&m.rng, seed);
    return m;
}

void classifier_bed_close(struct classifier_bed *b)
{
    free(b->memory);
    b->memory = NULL;
}
