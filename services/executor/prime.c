/*
 * prime.c - packets that are to open the own NAT and get no farther: for whom, and until when.  The TTL is that which
 * early.c has measured.
 */
#include "services/executor/internal.h"

enum { PRIMED_MAX = 11, PRIMED_FIRST = 5 }; /* punches: until 820 ms, and until 160 ms */

static bool lets_all_in(const struct profile *p)
{
    return p->filtering == NAT_EI || p->filtering == NAT_NONE;
}

/*
 * Sockets that are opened for a peer that tries ports: what they send would only come unasked.  Not where that one lets
 * in any port of an address, and so would answer.
 */
uint8_t executor_prime_open_ttl(const struct executor *x, const struct attempt *a)
{
    bool by_port =
        a->their_profile.filtering == NAT_APD || a->their_profile.filtering == NAT_UNKNOWN;

    return a->technique == TECHNIQUE_BIRTHDAY && by_port ? x->early.ttl : 0;
}

static uint8_t punch_ttl(const struct executor *x, const struct attempt *a)
{
    return a->their_profile.clash == CLASH_CLAIMS && !lets_all_in(&a->own_profile) ? x->early.ttl
                                                                                   : 0;
}

/* Errors end mappings here, and there they may be sent. */
bool executor_prime_waits(const struct executor *x, const struct attempt *a)
{
    return x->early.kills && !lets_all_in(&a->their_profile);
}

/*
 * Until the peer is heard: it sends as soon as it may.  Where both NATs are so one side must be the first to send
 * what arrives, after the other one has opened; a later try has them change places.
 */
uint8_t executor_prime_punch_ttl(const struct executor *x, const struct attempt *a)
{
    const struct way_state *w = &a->way[WAY_DIRECT];
    bool first = a->own_profile.clash == CLASH_CLAIMS && (a->side + a->renewals) % 2 == 1;

    if (w->heard || w->burst > (first ? PRIMED_FIRST : PRIMED_MAX))
        return 0;
    return punch_ttl(x, a);
}
