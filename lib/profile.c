/* profile.c - see profile.h. */
#include "lib/profile.h"

const char *const behaviour_name[BEHAVIOUR_COUNT] = {
    [NAT_UNKNOWN] = "unknown", [NAT_NONE] = "none", [NAT_EI] = "ei",
    [NAT_AD] = "ad",           [NAT_APD] = "apd",
};

const char *const allocation_name[ALLOCATION_COUNT] = {
    [ALLOC_UNKNOWN] = "unknown",
    [ALLOC_PRESERVE] = "preserve",
    [ALLOC_CONTIGUOUS] = "contiguous",
    [ALLOC_RANDOM] = "random",
};

const char *const hairpin_name[HAIRPIN_COUNT] = {
    [HAIRPIN_UNKNOWN] = "unknown",
    [HAIRPIN_NONE] = "none",
    [HAIRPIN_INTERNAL] = "internal",
    [HAIRPIN_EXTERNAL] = "external",
};

const char *const clash_name[CLASH_COUNT] = {
    [CLASH_UNKNOWN] = "unknown",
    [CLASH_NONE] = "none",
    [CLASH_CLAIMS] = "claims",
};

const char *const pool_name[POOL_COUNT] = {
    [POOL_UNKNOWN] = "unknown",
    [POOL_ARBITRARY] = "arbitrary",
    [POOL_BY_DESTINATION] = "by-destination",
};

bool profile_valid(const struct profile *p)
{
    return p->mapping < BEHAVIOUR_COUNT && p->filtering < BEHAVIOUR_COUNT &&
           p->allocation < ALLOCATION_COUNT && p->hairpin < HAIRPIN_COUNT && p->confidence <= 100 &&
           p->clash < CLASH_COUNT && p->pool < POOL_COUNT && p->port_lo <= p->port_hi &&
           p->block_lo <= p->block_hi;
}

size_t profile_taken(const struct profile *p)
{
    size_t n = 0;

    while (n < PORTS_TAKEN_MAX && p->taken[n] != 0)
        n++;
    return n;
}

const char *profile_display(const struct profile *p)
{
    static const char *const cone[BEHAVIOUR_COUNT] = {
        [NAT_UNKNOWN] = "cone",  [NAT_NONE] = "full_cone",      [NAT_EI] = "full_cone",
        [NAT_AD] = "restricted", [NAT_APD] = "port_restricted",
    };
    static const char *const public_host[BEHAVIOUR_COUNT] = {
        [NAT_UNKNOWN] = "unknown", [NAT_NONE] = "open",      [NAT_EI] = "open",
        [NAT_AD] = "firewalled",   [NAT_APD] = "firewalled",
    };

    switch (p->mapping) {
    case NAT_NONE: return public_host[p->filtering];
    case NAT_EI: return cone[p->filtering];
    case NAT_AD:
    case NAT_APD: return "symmetric";
    default: return "unknown";
    }
}
