/*
 * quota.h - what a ticket lets one side send: so many bytes in all, and a token bucket for the rate.
 */
#ifndef RELAY_QUOTA_H
#define RELAY_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUOTA_BURST_MIN = 4096 }; /* bytes that any rate but 0 lets through at once: a few packets */
#define QUOTA_RATE_MAX (UINT64_C(1) << 36) /* bytes per second; more is no limit anyway */

struct quota {
    uint64_t bytes, bytes_max; /* spent, and the most that may be */
    uint64_t rate, tokens;     /* a token is a millionth of a byte, so that nothing is rounded */
    int64_t fill_us;           /* when the bucket was last filled */
    uint64_t
        lent; /* bytes that another may spend: as if spent, but the bucket stays smaller by them */
};

/* From now on so much; what was spent stays spent.  The first grant, to zeroed memory, fills the bucket. */
void quota_grant(struct quota *q, uint64_t bytes_max, uint64_t bytes_per_s, int64_t now_us);

enum quota_answer { QUOTA_OK, QUOTA_RATE, QUOTA_BYTES };
enum quota_answer quota_spend(struct quota *q, size_t len, int64_t now_us);

/*
 * Let another spend so many bytes, at most half a bucket: so a rate goes on to be reached, and its burst is not
 * exceeded.  They are to be returned, as far as they are left, before anything else is lent or spent.
 */
uint64_t quota_lend(struct quota *q, int64_t now_us);
void quota_return(struct quota *q, uint64_t left, int64_t now_us);

#endif
