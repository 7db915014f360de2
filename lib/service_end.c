/* service_end.c - see service_end.h. */
#include "lib/service_end.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/memory.h"

#include <inttypes.h>

#define MS INT64_C(1000)

enum {
    LOOK_MAX_MS = 60000,
    DRAIN_LOOK_MS = 100, /* while draining: between looks whether it is over */
};

void service_drain(struct service *s)
{
    if (s->draining)
        return;
    s->draining = true;
    s->drain_look_us = service_now_us() + DRAIN_LOOK_MS * MS; /* who asked is answered */
    s->drain_until_us = service_now_us() + config_drain_limit_us();
    if (s->drain)
        s->drain();
    log_info("event=draining limit_s=%" PRId64, config_drain_limit_us() / 1000000);
}

/* Whether draining has come to its end. */
static bool drained(struct service *s, int64_t now)
{
    if (!s->draining || now < s->drain_look_us)
        return false;
    s->drain_look_us = now + DRAIN_LOOK_MS * MS; /* it may take a walk over all sessions */
    bool empty = !s->is_drained || s->is_drained();
    if (!empty && now < s->drain_until_us)
        return false;
    log_info("event=drained empty=%s", empty ? "yes" : "no");
    s->drained = s->stop = true;
    return true;
}

/* A worker leaves it to the thread that has the signals: their memory is one. */
static bool looks_at_memory(const struct service *s) { return s->signal_fd >= 0 && memory_seen(); }

static bool over_memory(struct service *s, int64_t now)
{
    if (!looks_at_memory(s) || now < s->memory_look_us)
        return false;
    s->memory_look_us = now + MEMORY_LOOK_MS * MS;
    uint64_t kib = memory_now();
    if (!memory_over(kib, config_memory_max_mib()))
        return false;
    log_warn("event=over_memory kib=%" PRIu64 " max_kib=%" PRIu64 " next=end", kib,
             (uint64_t)config_memory_max_mib() * 1024);
    s->over_memory = s->stop = true;
    return true;
}

bool service_ends(struct service *s, int64_t now_us)
{
    return drained(s, now_us) || over_memory(s, now_us);
}

int64_t service_look_ms(const struct service *s)
{
    return s->draining ? DRAIN_LOOK_MS : looks_at_memory(s) ? MEMORY_LOOK_MS : LOOK_MAX_MS;
}

int service_status(const struct service *s)
{
    return s->over_memory ? SERVICE_OVER_MEMORY : s->drained ? SERVICE_DRAINED : 0;
}
