/* strategy.c - the table of techniques; see strategy.h. */
#include "lib/effort.h"

/* clang-format off */
const char *const technique_name[TECHNIQUE_COUNT] = {
    [TECHNIQUE_NONE] = "none",
    [TECHNIQUE_HOST] = "host",
    [TECHNIQUE_MAPPED] = "mapped",
    [TECHNIQUE_REVERSAL] = "reversal",
    [TECHNIQUE_SYNCHRONOUS] = "synchronous",
    [TECHNIQUE_SEND_FIRST] = "send-first",
    [TECHNIQUE_PREDICTION] = "prediction",
    [TECHNIQUE_BIRTHDAY] = "birthday",
    [TECHNIQUE_BLOCK_BIRTHDAY] = "block-birthday",
    [TECHNIQUE_RELAYED] = "relayed",
};
const char *const policy_name[POLICY_COUNT] = {"auto", "direct", "relay"};
const char *const mode_name[MODE_COUNT] = {"managed", "raw"};
const char *const accept_name[ACCEPT_COUNT] = {"anyone", "known", "ask", "nobody"};
const char *const path_name[PATH_COUNT] = {"failed", "relayed", "half", "direct"};

const uint32_t punch_offset_us[PUNCH_BURST] = {0, 20000, 40000, 80000, 160000, 320000};

/* What can be said of the port that a packet to the peer will leave by. */
enum port {
    PORT_FIXED,   /* the one in the token is good for every destination, or it is the local one */
    PORT_UNKNOWN, /* the mapping was not measured; the token's port may be good */
    PORT_STEPS,   /* another one for each destination, and the next one can be foreseen */
    PORT_MOVES,   /* another one for each destination, by no known rule */
    PORT_RANDOM,
    PORT_COUNT
};

/* What comes of two ports when neither side is reachable by anyone, and there is no first_sender; direct_synchronous
 * is the hit. */
static const uint8_t outcome[PORT_COUNT][PORT_COUNT] = {
#define S VERDICT_direct_synchronous
#define P VERDICT_direct_prediction
#define U VERDICT_profile_unknown
#define M VERDICT_not_predictable
#define R VERDICT_one_random
#define B VERDICT_both_random
    /*                 fixed  unknown  steps  moves  random */
    [PORT_FIXED]   = { S,     S,       P,     M,     R },
    [PORT_UNKNOWN] = { S,     S,       U,     U,     U },
    [PORT_STEPS]   = { P,     U,       P,     M,     R },
    [PORT_MOVES]   = { M,     U,       M,     M,     R },
    [PORT_RANDOM]  = { R,     U,       R,     R,     B },
#undef S
#undef P
#undef U
#undef M
#undef R
#undef B
};
/* clang-format on */

enum { SCAN_EVERY_US = 2250 }; /* the pace of a scan, with some room for answers */

/* What a look adds until the ports can be tried: it takes a round trip, telling of it another, and either twice. */
enum { LOOK_ROUND_TRIPS = 4, LOOK_SPAN_MAX_US = 4 * 1000000 };

static enum port port_of(const struct profile *p)
{
    switch (p->mapping) {
    case NAT_NONE:
    case NAT_EI: return PORT_FIXED;
    case NAT_AD:
    case NAT_APD:
        switch (p->allocation) {
        case ALLOC_PRESERVE: /* the own one towards the first destination, then others */
        case ALLOC_CONTIGUOUS: return PORT_STEPS;
        case ALLOC_RANDOM: return PORT_RANDOM;
        default: return PORT_MOVES;
        }
    default: return PORT_UNKNOWN;
    }
}

/*
 * Can anyone who knows its address reach this side?  A host without NAT whose filtering was not
 * measured is tried as one: if a firewall stands before it, both sides sending opens that as well.
 */
static bool reachable(const struct profile *p)
{
    switch (p->mapping) {
    case NAT_NONE: return p->filtering != NAT_AD && p->filtering != NAT_APD;
    case NAT_EI: return p->filtering == NAT_EI || p->filtering == NAT_NONE;
    default: return false;
    }
}

/* Is an address that this side has sent to let in from any of its ports? */
static bool filters_by_address(const struct profile *p)
{
    return p->filtering == NAT_NONE || p->filtering == NAT_EI || p->filtering == NAT_AD;
}

/*
 * A side whose port moves can't be sent to, but it can be heard: by one whose port is known and that lets in any
 * port of an address; and, if it does so itself, by one that lets in everybody where probers see it, from
 * whatever port that one then answers.  The index of the one that moves, or 2 when the pair is not such a one.
 */
static uint8_t first_sender(const struct profile *const side[2])
{
    for (uint8_t i = 0; i < 2; i++) {
        const struct profile *other = side[!i];
        bool known = port_of(other) == PORT_FIXED && filters_by_address(other);
        bool anybody = other->filtering == NAT_EI && filters_by_address(side[i]);
        if (port_of(side[i]) >= PORT_STEPS && (known || (anybody && port_of(other) >= PORT_STEPS)))
            return i;
    }
    return 2;
}

/* Sides that can be dialled, by what proves it: who dials is the other one, or both do. */
static struct step dial(enum technique technique, const bool open[2])
{
    struct step s = {.technique = (uint8_t)technique, .role = 2};

    if (open[0] != open[1])
        s.role = open[0];
    return s;
}

/*
 * A random side that lets in any port of an address is found from whatever port the other side tries; its answer
 * gets back when its own port stays the same, or the other doesn't mind either.
 */
static bool found_anyhow(const struct profile *random, const struct profile *tries)
{
    return filters_by_address(random) && (random->mapping == NAT_AD || filters_by_address(tries));
}

/*
 * One random side, and one whose port can be looked up right before (PORT_STEPS).  That one, if it lets in
 * any port of an address, hears the other wherever that sends from, and is heard when its own port stays
 * the same or the other doesn't mind.  Else the random side opens many ports, and the port they are opened
 * for must be the one that the other tries them by; or they must let in any.
 */
static enum technique guess_random(const struct profile *steps, const struct profile *random)
{
    if (filters_by_address(steps))
        return steps->mapping == NAT_AD || random->mapping == NAT_AD || filters_by_address(random)
                   ? TECHNIQUE_PREDICTION
                   : TECHNIQUE_NONE;
    return steps->mapping == NAT_AD || found_anyhow(random, steps) ? TECHNIQUE_BIRTHDAY
                                                                   : TECHNIQUE_NONE;
}

/*
 * Two random sides, either of which is to be met by one port only: each tries the other one's whole block, so both
 * blocks must be known, and both sides have agreed to it.
 */
static enum verdict try_blocks(const struct profile *const side[2], struct step *s)
{
    bool known = side[0]->block_hi != 0 && side[1]->block_hi != 0;
    bool agreed = side[0]->share > 0 && side[1]->share > 0;

    if (!known)
        return agreed ? VERDICT_range_wide : VERDICT_both_random;
    if (!agreed)
        return VERDICT_blocks_closed;
    *s = (struct step){.technique = TECHNIQUE_BLOCK_BIRTHDAY, .role = 2};
    return VERDICT_direct_block_birthday;
}

/* A technique for a port that is not known: which is found out, or guessed. */
static void guess(const struct profile *const side[2], struct step *s, enum verdict *reason)
{
    bool steps[2] = {port_of(side[0]) == PORT_STEPS, port_of(side[1]) == PORT_STEPS};
    uint8_t random = port_of(side[1]) == PORT_RANDOM;

    if (*reason == VERDICT_direct_prediction) {
        s->technique = TECHNIQUE_PREDICTION;
        s->role = steps[0] && steps[1] ? 2 : steps[1];
        return;
    }
    for (uint8_t i = 0; i < 2 && *reason == VERDICT_both_random; i++)
        if (found_anyhow(side[i], side[!i])) {
            *s = (struct step){.technique = TECHNIQUE_BIRTHDAY, .role = i};
            *reason = VERDICT_direct_birthday;
            return;
        }
    if (*reason == VERDICT_both_random)
        *reason = try_blocks(side, s);
    if (*reason != VERDICT_one_random)
        return;
    /* The random side opens many ports; the other one's must be known, and proven, to be opened for. */
    if (port_of(side[!random]) == PORT_FIXED)
        s->technique = TECHNIQUE_BIRTHDAY;
    else if (steps[!random])
        s->technique = (uint8_t)guess_random(side[!random], side[random]);
    if (s->technique == TECHNIQUE_BIRTHDAY)
        *reason = VERDICT_direct_birthday;
    else if (s->technique == TECHNIQUE_PREDICTION)
        *reason = VERDICT_direct_prediction;
    if (s->technique != TECHNIQUE_NONE)
        s->role = s->technique == TECHNIQUE_BIRTHDAY ? random : !random;
}

/*
 * The direct technique for the pair, or TECHNIQUE_NONE.  There is at most one: both sides of a
 * mapped path or a reversal send as well, so that a synchronous try after it would repeat the same packets.
 */
static struct step direct(const struct profile *const side[2], const bool has_token[2],
                          enum verdict *reason)
{
    struct step s = {.technique = TECHNIQUE_NONE, .role = 2};
    bool open[2] = {reachable(side[0]), reachable(side[1])};
    /* Only an address that a token proves is dialled. */
    bool mapped[2] = {side[0]->mapped && has_token[0], side[1]->mapped && has_token[1]};
    bool dialled[2] = {open[0] && has_token[0], open[1] && has_token[1]};

    if (mapped[0] || mapped[1]) {
        *reason = VERDICT_direct_mapped;
        return dial(TECHNIQUE_MAPPED, mapped);
    }
    if (dialled[0] || dialled[1]) {
        *reason = VERDICT_direct_reversal;
        return dial(TECHNIQUE_REVERSAL, dialled);
    }
    bool both_tokens = has_token[0] && has_token[1];
    uint8_t first = first_sender(side);
    *reason = first < 2 ? VERDICT_direct_send_first
                        : (enum verdict)outcome[port_of(side[0])][port_of(side[1])];
    bool known =
        first < 2 || *reason == VERDICT_direct_synchronous || *reason == VERDICT_direct_prediction;
    if (open[0] || open[1] || (known && !both_tokens)) {
        *reason = VERDICT_no_token;
    } else if (first < 2) {
        s.technique = TECHNIQUE_SEND_FIRST;
        s.role = first;
    } else if (*reason == VERDICT_direct_synchronous) {
        s.technique = TECHNIQUE_SYNCHRONOUS;
    }
    if (both_tokens && s.technique == TECHNIQUE_NONE)
        guess(side, &s, reason);
    return s;
}

static uint32_t look_span(uint32_t rtt_us)
{
    return rtt_us < LOOK_SPAN_MAX_US / LOOK_ROUND_TRIPS ? LOOK_ROUND_TRIPS * rtt_us
                                                        : LOOK_SPAN_MAX_US;
}

uint32_t strategy_scans(const struct profile *own)
{
    uint32_t ports = own->block_hi == 0 ? 0 : (uint32_t)own->block_hi - own->block_lo + 1;
    uint32_t most = ports * own->share / 100;

    return most < EFFORT_PORTS_block_birthday ? most : EFFORT_PORTS_block_birthday;
}

/* What both need at 500 a second. */
static uint32_t scan_span(const struct profile *a, const struct profile *b)
{
    uint32_t n = strategy_scans(a) > strategy_scans(b) ? strategy_scans(a) : strategy_scans(b);

    return n * SCAN_EVERY_US;
}

unsigned strategy_looks(const struct step *s, const struct profile *a, const struct profile *b)
{
    const struct profile *const side[2] = {a, b};

    if (s->technique == TECHNIQUE_PREDICTION)
        return s->role == 2 ? 3 : 1u << s->role;
    if (s->technique != TECHNIQUE_BIRTHDAY || s->role > 1)
        return 0;
    const struct profile *tries = side[!s->role];
    return port_of(tries) == PORT_STEPS && tries->mapping == NAT_AD ? 1u << !s->role : 0;
}

bool strategy_opens(const struct profile *own, const struct profile *theirs)
{
    return own->mapping == NAT_AD || port_of(theirs) != PORT_STEPS;
}

bool strategy_pins(const struct profile *own, const struct profile *theirs)
{
    return own->allocation == ALLOC_PRESERVE || strategy_opens(own, theirs);
}

/* The relay goes last; with nothing before it, it is used at once. */
static struct plan with_relay(struct plan plan, enum policy policy)
{
    if (policy != POLICY_DIRECT)
        plan.v[plan.n++] = (struct step){.technique = TECHNIQUE_RELAYED, .role = 2};
    return plan;
}

struct plan strategy_plan(const struct profile *a, const struct profile *b, const bool has_token[2],
                          enum policy policy, uint32_t rtt_us, enum verdict *reason)
{
    struct plan plan = {0};

    *reason = VERDICT_relay_policy;
    if (policy != POLICY_RELAY) {
        struct step s = direct((const struct profile *[2]){a, b}, has_token, reason);
        s.span_us = effort_span_us((enum technique)s.technique, rtt_us);
        if (s.technique == TECHNIQUE_BIRTHDAY && strategy_looks(&s, a, b) != 0)
            s.span_us += look_span(rtt_us);
        if (s.technique == TECHNIQUE_BLOCK_BIRTHDAY)
            s.span_us += scan_span(a, b);
        if (s.technique != TECHNIQUE_NONE)
            plan.v[plan.n++] = s;
    }
    return with_relay(plan, policy);
}

struct plan strategy_plan_host(enum policy policy, uint32_t rtt_us, enum verdict *reason)
{
    struct plan plan = {0};

    *reason = VERDICT_relay_policy;
    if (policy != POLICY_RELAY) {
        *reason = VERDICT_direct_host;
        plan.v[plan.n++] = (struct step){.technique = TECHNIQUE_HOST,
                                         .role = 2,
                                         .span_us = effort_span_us(TECHNIQUE_HOST, rtt_us)};
    }
    return with_relay(plan, policy);
}
