/*
 * prober - shows anyone the address it sees them at, and proves it with a signature.
 *
 *   in:    Binding requests (RFC 8489, RFC 5780) on two or four sockets; prober_hello, vantage_request
 *          and vantage_refused of probers on other hosts; a tick
 *   state: two cookie secrets, the keys of two days, budgets per source in tables of fixed size, what those probers last said
 *          of themselves; nothing per client
 *   out:   answers; prober_hello to coordinator, classifier and those probers, every second
 *
 * Sockets are address 1 port 1 (0), a1p2 (1), a2p1 (2), a2p2 (3).  With one address there are only the
 * first two, and a2 is borrowed from a prober on another host while each hears the other: that one sends
 * the answers that have to come from there (vantage.c).  With none to borrow from there is no
 * OTHER-ADDRESS, and error 420 for CHANGE-REQUEST (RFC 5780 section 6.1).
 *
 * Sources lie, so what an answer may cost their victim is bounded by the size of the request:
 *
 *   plain      XOR-MAPPED-ADDRESS: up to 1.6 x (32 bytes to 20)
 *   discovery  with RESPONSE-ORIGIN and OTHER-ADDRESS: up to 2.8 x (56 bytes to 20), under a budget
 *              per source; beyond it the plain answer.  Of IPv6, whose plain answer to a bare request
 *              exceeds 1.6 x, that needs the budget too.
 *   change     from another socket, under the same budget; beyond it error 500, since a plain answer
 *              would look like a NAT that filters nothing and silence like one that filters all.  A
 *              source that returned its cookie has the budget of tokens for it
 *   token      to a source that returned its cookie, and so receives what is sent to it; under a
 *              budget of its own, as a signature takes time
 *
 *   challenge  to a port that a peer claims at its own ip, as when an operator has mapped it to the peer: PEER-ID,
 *              COOKIE and RESPONSE-PORT.  A cookie for the claimed address goes there, never to another ip, is
 *              smaller than the request, and has a budget; who returns it in a second such request gets a token
 *              of kind 2 (lib/token.h)
 *
 * PADDING and RESPONSE-PORT (RFC 5780 sections 7.5 and 7.6) are understood from a source with a cookie
 * only, else error 420; an answer's padding ends where a datagram does.
 *
 * What fits no bound, is no request, is malformed, or comes from a port where servers listen gets silence and a counter.
 */
#ifndef PROBER_H
#define PROBER_H

#include "lib/budget.h"
#include "lib/core.h"
#include "lib/daykey.h"
#include "lib/familiar.h"
#include "lib/fence.h"
#include "lib/rng.h"
#include "lib/stun.h"
#include "services/prober/gateway.h"
#include "services/prober/ports.h"
#include "services/prober/spent.h"

enum {
    PLAIN_TENTHS = 16,
    DISCOVERY_TENTHS = 28,
    BUDGET_WINDOW_US = 10 * 1000 * 1000,
    DISCOVERY_BUDGET =
        40, /* units in that window and from one source; an RFC 3489 client takes 25 */
    CHALLENGE_BUDGET = 20,               /* a peer takes at most five in 25 s */
    SIGNING_BUDGET = 1000,               /* many peers share the address of a carrier's NAT */
    COOKIE_ROTATE_US = 60 * 1000 * 1000, /* a cookie is good for one to two of these */
    HELLO_EVERY_US = 1000 * 1000,
    PARTNER_TTL_US = 3 * 1000 * 1000, /* after its last hello; a client is told of it no longer */
    PARTNERS_MAX = PROBERS_MAX - 1    /* on other hosts; a hello names all */
};

struct prober_conf {
    struct prober_info
        info; /* what is told of us: key, cert, own public addresses; 2 or 4 of them */
    struct place_list places; /* the authority's word on those addresses, at most 2 */
    uint8_t secret[64];       /* Ed25519 */
    uint8_t n_partners;
    uint8_t partners[PARTNERS_MAX][32]; /* Ed25519 keys of the probers at the end of links 1, ... */
    struct ports refused;               /* source ports that get no answer */
    bool no_bus;                        /* those alone tell the suite of this one */
    struct familiar familiar;           /* to be told who returned a cookie; or none are kept */
    struct spent *spent; /* to be told who has no budget, and what was answered to them; or NULL */
};

/* clang-format off */
#define PROBER_COUNTERS(X)                                                          \
    X(plain)       X(discovery)  X(changed)   X(cookies)    X(tokens)  X(errors)    \
    X(challenges)  X(plain_tokens)                                                  \
    X(not_stun)    X(malformed)  X(not_request)                                     \
    X(over_budget) X(over_bound) X(bad_cookie) X(fenced) X(refused_ports)                            \
    X(borrowed)    X(lent)       X(links_refused)
/* clang-format on */

struct prober {
    struct prober_conf conf;
    struct prober_info info; /* what is told of us, with what is borrowed */
    uint8_t lender;          /* the link that it is borrowed by; 0: none */
    struct prober_partner {
        struct prober_info info; /* n_addrs 0: nothing heard yet */
        struct place_list places;
        struct daykey_list daykeys;
        int64_t heard_us;
        bool hears_us;
    } partners[PARTNERS_MAX];
    struct rng rng;
    int64_t now_us, wall_ms; /* of the step in progress */
    int64_t hello_us, rotate_us;
    uint64_t epoch; /* of the newest secret; secrets[epoch & 1] */
    uint8_t secrets[2][32];
    struct daykey_list daykeys; /* the two that are live, the earlier first, and their secrets */
    uint8_t day_secrets[DAYKEYS_LIVE][64];
    struct budget discovery, signing, challenge;
    struct fence fence;     /* around the own public addresses */
    struct gateway gateway; /* for the shell, who warns */
    struct prober_counters {
#define X(name) uint64_t name;
        PROBER_COUNTERS(X)
#undef X
    } n;
};

void prober_init(struct prober *p, const struct prober_conf *conf,
                 const uint8_t rng_key[static 32]);
void prober_step(struct prober *p, const struct input *in, struct outputs *out);
int64_t prober_deadline(const struct prober *p); /* when to tick next */

/*
 * The data plane, for loops that answer in batches: what prober_step would answer to this datagram.  Ticks
 * are the caller's.
 */
struct answer {
    uint8_t *buf; /* STUN_MAX bytes, the caller's */
    size_t len;   /* 0: silence */
    uint8_t sock; /* to send it from */
    struct addr dst;
    uint8_t link; /* by which to pass the request on, as it is below; 0: not */
    struct msg_vantage_request request;
};
void prober_answer(struct prober *p, const struct input *in, struct answer *out);

#endif
