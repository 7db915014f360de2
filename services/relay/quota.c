/* quota.c - see quota.h. */
#include "services/relay/quota.h"

#define TOKENS_PER_BYTE UINT64_C(1000000)
#define FILL_US_MAX (INT64_C(1) << 26) /* a longer pause counts as this one, about a minute */
_Static_assert(QUOTA_RATE_MAX <= (UINT64_MAX >> 1) / FILL_US_MAX, "tokens can't overflow");

static uint64_t bucket_size(const struct quota *q)
{
    uint64_t bytes = q->rate == 0 || q->rate > QUOTA_BURST_MIN ? q->rate : QUOTA_BURST_MIN;

    return bytes * TOKENS_PER_BYTE;
}

static void fill(struct quota *q, int64_t now_us)
{
    int64_t passed_us = now_us - q->fill_us;
    uint64_t size = bucket_size(q) - q->lent * TOKENS_PER_BYTE;

    if (passed_us <= 0)
        return;
    q->tokens += q->rate * (uint64_t)(passed_us < FILL_US_MAX ? passed_us : FILL_US_MAX);
    if (q->tokens > size)
        q->tokens = size;
    q->fill_us = now_us;
}

void quota_grant(struct quota *q, uint64_t bytes_max, uint64_t bytes_per_s, int64_t now_us)
{
    bool first = q->bytes_max == 0 && q->rate == 0;

    if (!first)
        fill(q, now_us);
    q->bytes_max = bytes_max;
    q->rate = bytes_per_s < QUOTA_RATE_MAX ? bytes_per_s : QUOTA_RATE_MAX;
    q->fill_us = now_us;
    if (first || q->tokens > bucket_size(q))
        q->tokens = bucket_size(q);
}

enum quota_answer quota_spend(struct quota *q, size_t len, int64_t now_us)
{
    if (q->bytes >= q->bytes_max || len > q->bytes_max - q->bytes)
        return QUOTA_BYTES;
    fill(q, now_us);
    if (q->tokens < len * TOKENS_PER_BYTE)
        return QUOTA_RATE;
    q->tokens -= len * TOKENS_PER_BYTE;
    q->bytes += len;
    return QUOTA_OK;
}

uint64_t quota_lend(struct quota *q, int64_t now_us)
{
    uint64_t left = q->bytes < q->bytes_max ? q->bytes_max - q->bytes : 0;

    fill(q, now_us);
    q->lent = (q->tokens < bucket_size(q) / 2 ? q->tokens : bucket_size(q) / 2) / TOKENS_PER_BYTE;
    if (q->lent > left)
        q->lent = left;
    q->tokens -= q->lent * TOKENS_PER_BYTE;
    q->bytes += q->lent;
    return q->lent;
}

void quota_return(struct quota *q, uint64_t left, int64_t now_us)
{
    fill(q, now_us);
    if (left > q->lent)
        left = q->lent;
    q->tokens += left * TOKENS_PER_BYTE;
    q->bytes -= left;
    q->lent = 0;
    if (q->tokens > bucket_size(q))
        q->tokens = bucket_size(q);
}
