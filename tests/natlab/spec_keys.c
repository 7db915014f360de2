/* spec_keys.c - values, and what can be said of one host; see spec.h. */
#include "tests/natlab/spec.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

bool spec_number(const char *text, int64_t lo, int64_t hi, int64_t *out)
{
    char *end;

    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || v < lo || v > hi)
        return false;
    *out = v;
    return true;
}

/* "20ms", "1.5s", "300us", "0". */
bool spec_duration(const char *text, int64_t *us)
{
    static const struct {
        const char *unit;
        double us;
    } units[] = {
        {"us", 1   },
        {"ms", 1e3 },
        {"s",  1e6 },
        {"m",  60e6}
    };
    char *end;
    double v = strtod(text, &end);

    if (end == text || !(v >= 0 && v <= 1e6))
        return false;
    if (*end == '\0' && v == 0) {
        *us = 0;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].unit) == 0) {
            *us = (int64_t)(v * units[i].us);
            return true;
        }
    return false;
}

/* "2%" or "2", both per cent. */
bool spec_percent(const char *text, double *share)
{
    char *end;
    double v = strtod(text, &end);

    if (end == text || !(v >= 0 && v <= 100) || (*end != '\0' && strcmp(end, "%") != 0))
        return false;
    *share = v / 100;
    return true;
}

bool spec_choice(const char *text, const char *const *names, size_t n, int *out)
{
    for (size_t i = 0; i < n; i++)
        if (names[i] != NULL && strcmp(text, names[i]) == 0) {
            *out = (int)i;
            return true;
        }
    return false;
}

/* ---- keys of a host ---- */

static bool set_duration(const char *v, int64_t *a, int64_t *b)
{
    int64_t us;

    if (!spec_duration(v, &us))
        return false;
    *a = us;
    if (b != NULL)
        *b = us;
    return true;
}

static bool set_share(const char *v, uint32_t *up, uint32_t *down)
{
    double share;

    if (!spec_percent(v, &share))
        return false;
    *up = *down = (uint32_t)lround(share * 1e6);
    return true;
}

static bool set_flag(const char *v, const char *off, const char *on, bool *out)
{
    const char *const names[] = {off, on};
    int i;

    if (!spec_choice(v, names, 2, &i))
        return false;
    *out = i == 1;
    return true;
}

static bool set_delay(struct spec_host *h, const char *v)
{
    return set_duration(v, &h->line.up.delay_us, &h->line.down.delay_us);
}

static bool set_jitter(struct spec_host *h, const char *v)
{
    return set_duration(v, &h->line.up.jitter_us, &h->line.down.jitter_us);
}

static bool set_loss(struct spec_host *h, const char *v)
{
    return set_share(v, &h->line.up.loss_ppm, &h->line.down.loss_ppm);
}

static bool set_dup(struct spec_host *h, const char *v)
{
    return set_share(v, &h->line.up.dup_ppm, &h->line.down.dup_ppm);
}

/* "SHARE/DURATION": both sides of the slash. */
static bool split(const char *v, char *copy, size_t cap, const char **left, const char **right)
{
    char *rest = copy;

    if (strlen(v) >= cap)
        return false;
    strcpy(copy, v);
    *left = strsep(&rest, "/");
    *right = rest;
    return true;
}

static bool set_reorder(struct spec_host *h, const char *v)
{
    char copy[64];
    const char *share, *late;
    struct net_link *up = &h->line.up, *down = &h->line.down;

    return split(v, copy, sizeof copy, &share, &late) &&
           set_duration(late != NULL ? late : "10ms", &up->reorder_us, &down->reorder_us) &&
           set_share(share, &up->reorder_ppm, &down->reorder_ppm);
}

static bool set_burst(struct spec_host *h, const char *v)
{
    char copy[64];
    const char *length, *pause;
    struct net_link *up = &h->line.up, *down = &h->line.down;

    return split(v, copy, sizeof copy, &length, &pause) &&
           set_duration(pause != NULL ? pause : "5s", &up->pause_us, &down->pause_us) &&
           set_duration(length, &up->burst_us, &down->burst_us);
}

static bool set_bandwidth(struct spec_host *h, const char *v)
{
    char copy[64];
    const char *rate, *queue;
    int64_t kbit;
    struct net_link *up = &h->line.up, *down = &h->line.down;

    if (!split(v, copy, sizeof copy, &rate, &queue) || !spec_number(rate, 0, 10000000, &kbit) ||
        !set_duration(queue != NULL ? queue : "100ms", &up->queue_us, &down->queue_us))
        return false;
    up->rate_bps = down->rate_bps = kbit * 1000;
    return true;
}

static bool set_lifetime(struct spec_host *h, const char *v)
{
    return set_duration(v, &h->nat.lifetime_us, NULL) && h->nat.lifetime_us > 0;
}

static bool set_ip(struct spec_host *h, const char *v)
{
    char copy[128], *rest = copy;

    if (strlen(v) >= sizeof copy)
        return false;
    strcpy(copy, v);
    h->line.n_ips = 0;
    for (const char *ip; (ip = strsep(&rest, "+")) != NULL;) {
        struct addr *a = &h->line.ips[h->line.n_ips];
        if (h->line.n_ips == NET_IPS_MAX || !addr_parse_ip(ip, 0, a) || a->len != 4)
            return false;
        h->line.n_ips++;
    }
    return true;
}

static bool set_hops(struct spec_host *h, const char *v)
{
    int64_t n;

    if (!spec_number(v, 0, 30, &n))
        return false;
    h->line.hops = (uint8_t)n;
    return true;
}

static bool set_range(struct spec_host *h, const char *v)
{
    unsigned lo, hi;
    int end = 0;

    if (sscanf(v, "%5u-%5u%n", &lo, &hi, &end) != 2 || v[end] != '\0' || lo == 0 || lo > hi ||
        hi > 65535)
        return false;
    h->nat.lo = (uint16_t)lo;
    h->nat.hi = (uint16_t)hi;
    return true;
}

static bool set_delta(struct spec_host *h, const char *v)
{
    int64_t n;

    if (!spec_number(v, -1000, 1000, &n) || n == 0)
        return false;
    h->nat.delta = (int32_t)n;
    return true;
}

static bool set_rate(struct spec_host *h, const char *v)
{
    int64_t n;

    if (!spec_number(v, 0, 1000000, &n))
        return false;
    h->nat.background_per_s = (uint32_t)n;
    return true;
}

static bool set_hairpin(struct spec_host *h, const char *v)
{
    static const char *const names[] = {"none", "internal", "external"};
    int i;

    if (!spec_choice(v, names, 3, &i))
        return false;
    h->nat.hairpin = (enum nat_hairpin)i;
    return true;
}

static bool set_pooling(struct spec_host *h, const char *v)
{
    static const char *const names[] = {"paired", "arbitrary"};
    int i;

    if (!spec_choice(v, names, 2, &i))
        return false;
    h->nat.pooling = (enum nat_pooling)i;
    return true;
}

static bool set_errors(struct spec_host *h, const char *v)
{
    static const char *const names[] = {"pass", "drop", "kill"};
    int i;

    if (!spec_choice(v, names, 3, &i))
        return false;
    h->nat.errors = (enum nat_errors)i;
    return true;
}

static bool set_block(struct spec_host *h, const char *v)
{
    int64_t n;

    if (!spec_number(v, 0, 65535, &n))
        return false;
    h->nat.block = (uint16_t)n;
    return true;
}

static bool set_forward(struct spec_host *h, const char *v)
{
    char copy[16];
    const char *outside, *inside;
    int64_t port, to;

    if (!split(v, copy, sizeof copy, &outside, &inside) || !spec_number(outside, 1, 65535, &port) ||
        !spec_number(inside != NULL ? inside : outside, 1, 65535, &to))
        return false;
    h->nat.forward = (uint16_t)port;
    h->nat.forward_to.port = (uint16_t)to;
    return true;
}

static bool set_early(struct spec_host *h, const char *v)
{
    return set_flag(v, "ignored", "claims", &h->nat.claims);
}

static bool set_unasked(struct spec_host *h, const char *v)
{
    return set_flag(v, "drop", "reject", &h->nat.rejects);
}

static bool set_expired(struct spec_host *h, const char *v)
{
    return set_flag(v, "nothing", "maps", &h->nat.expired_maps);
}

static bool set_routers(struct spec_host *h, const char *v)
{
    return set_flag(v, "speak", "silent", &h->line.silent);
}

static bool set_sources(struct spec_host *h, const char *v)
{
    return set_flag(v, "own", "any", &h->line.forges);
}

static bool set_overload(struct spec_host *h, const char *v)
{
    return set_flag(v, "off", "on", &h->nat.overload);
}

static bool set_refresh(struct spec_host *h, const char *v)
{
    return set_flag(v, "out", "both", &h->nat.inbound_refreshes);
}

static bool set_stranger(struct spec_host *h, const char *v)
{
    return set_flag(v, "new", "same", &h->nat.stranger_same);
}

static bool set_full(struct spec_host *h, const char *v)
{
    return set_flag(v, "refuse", "evict", &h->nat.full_evicts);
}

static bool set_udp(struct spec_host *h, const char *v)
{
    return set_flag(v, "open", "blocked", &h->nat.udp_blocked);
}

/* What is said of a host's line, or of any NAT; and what only a model's NAT or firewall can be told. */
/* clang-format off */
static const struct {
    const char *key, *help;
    bool (*set)(struct spec_host *, const char *);
    bool model;
} keys[] = {
    {"ip",        "A[+B...]: its public addresses, a NAT's pool",                               set_ip,       false},
    {"delay",     "20ms: one way, of its access line alone",                                    set_delay,    false},
    {"jitter",    "5ms: at most this much more, of its access line alone",                      set_jitter,   false},
    {"loss",      "2%: of its access line alone, each direction",                               set_loss,     false},
    {"burst",     "200ms/5s: nothing passes for so long, about so long apart",                  set_burst,    false},
    {"dup",       "1%: packets that its line doubles, each direction",                          set_dup,      false},
    {"reorder",   "1%/10ms: packets that come so much later",                                   set_reorder,  false},
    {"bandwidth", "KBIT/100ms: a second; what had to wait longer is dropped; 0: any",           set_bandwidth, false},
    {"hops",      "1: routers on its line besides the NAT",                                     set_hops,     false},
    {"routers",   "speak|silent: about a TTL that has run out",                                 set_routers,  false},
    {"sources",   "own|any: addresses that its hosts may send from",                            set_sources,  false},
    {"lifetime",  "120s: of a UDP mapping; of linux kinds whole seconds",                       set_lifetime, false},
    {"forward",   "PORT/INSIDE: an operator's mapping of a UDP port to this host",              set_forward,  false},
    {"range",     "LO-HI: ports the NAT gives out",                                             set_range,    true},
    {"block",     "0: ports of a subscriber's own block; 0: all share the range",               set_block,    true},
    {"pooling",   "paired|arbitrary: to one address of the pool or to any",                     set_pooling,  true},
    {"delta",     "1: step of contiguous allocation",                                           set_delta,    true},
    {"rate",      "0: ports a second that others take from a contiguous NAT",                   set_rate,     true},
    {"refresh",   "out|both: packets that keep a mapping",                                      set_refresh,  true},
    {"overload",  "off|on: one port for several remotes",                                       set_overload, true},
    {"stranger",  "new|same: mapping by which an accepted stranger is answered",                set_stranger, true},
    {"unasked",   "drop|reject: what comes in that nobody asked for",                           set_unasked,  true},
    {"early",     "ignored|claims: whether that takes the port towards its sender",             set_early,    true},
    {"errors",    "pass|drop|kill: ICMP errors; kill: and the mapping goes",                    set_errors,   true},
    {"expired",   "nothing|maps: what a TTL that ends in this NAT still does",                  set_expired,  true},
    {"hairpin",   "none|internal|external: between hosts of one NAT",                           set_hairpin,  true},
    {"full",      "refuse|evict: when the table is full",                                       set_full,     true},
    {"udp",       "open|blocked",                                                               set_udp,      true},
};
/* clang-format on */

enum { KEYS = sizeof keys / sizeof *keys };

bool spec_set(struct spec_host *h, const char *key, const char *value)
{
    for (size_t i = 0; i < KEYS; i++)
        if (strcmp(keys[i].key, key) == 0)
            return (!keys[i].model || h->kind == SPEC_MODEL) && keys[i].set(h, value);
    return false;
}

void spec_help(FILE *to)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (i > 0 && keys[i].model && !keys[i - 1].model)
            fprintf(to, "\nKEY, only of firewall and MAPPING/ALLOCATION/FILTERING:\n");
        fprintf(to, "    %-10s %s\n", keys[i].key, keys[i].help);
    }
}
