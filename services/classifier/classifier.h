/*
 * classifier - turns what was seen into a NAT profile.
 *
 *   in:    reflex_report (from a coordinator, with the peer's id), prober_hello
 *   state: the last finding of each peer and address family, for 300 s after its last report
 *   out:   nat_profile, one for each report
 *
 * A report replaces what is known of its peer, except when it knows less of the same NAT: same local
 * socket, same public ip, fewer of {mapping, allocation, filtering} known or with less confidence, and
 * what it does show does not contradict the earlier finding.  Then the earlier profile is sent again,
 * and its age grows.  So a refresh without fresh sockets, or one whose answers were lost, costs no
 * knowledge.  Filtering, which few reports measure, is kept while the NAT looks the same.
 *
 * A report without a usable observation takes no place; a full table gives up the peer that has been
 * silent for longest.  Who says hello is counted only: vantage points are told apart by their ip.
 */
#ifndef CLASSIFIER_H
#define CLASSIFIER_H

#include "lib/core.h"
#include "lib/deadlines.h"
#include "lib/rng.h"
#include "lib/table.h"
#include "services/classifier/classify.h"

enum { CLASSIFIER_PEERS = 10000, FINDING_TTL_US = 300 * 1000 * 1000 };

/* A peer has a NAT per address family. */
struct finding_key {
    struct peer_id peer;
    uint8_t family;
};

/* clang-format off */
#define CLASSIFIER_COUNTERS(X)                                                      \
    X(reports)  X(replaced)  X(kept)  X(empty)  X(evicted)  X(expired)              \
    X(observations_ignored)  X(refused)  X(hellos)
/* clang-format on */

struct classifier {
    int64_t now_us; /* of the step in progress */
    struct table by_peer;
    struct deadlines expiry;
    struct known {
        struct addr local;
        struct finding finding;
        int64_t measured_us;
    } * known; /* by slot of by_peer */
    struct classifier_counters {
#define X(name) uint64_t name;
        CLASSIFIER_COUNTERS(X)
#undef X
    } n;
};

size_t classifier_bytes(uint32_t capacity); /* of memory aligned as for int64_t */
void classifier_init(struct classifier *c, uint32_t capacity, const uint8_t rng_key[static 32],
                     void *memory);
void classifier_step(struct classifier *c, const struct input *in, struct outputs *out);
int64_t classifier_deadline(const struct classifier *c); /* when to tick next, or NEVER */

#endif
