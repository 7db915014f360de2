/* spec.c - see spec.h. */
#include "tests/natlab/spec.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* ---- hosts ---- */

size_t spec_find(const struct spec *s, const char *name)
{
    for (size_t i = 0; i < s->n_hosts; i++)
        if (strcmp(s->hosts[i].name, name) == 0)
            return i;
    return s->n_hosts;
}

static bool ip_taken(const struct spec *s, const struct addr *ip)
{
    for (size_t i = 0; i < s->n_hosts; i++)
        for (size_t j = 0; j < s->hosts[i].line.n_ips; j++)
            if (addr_ip_eq(&s->hosts[i].line.ips[j], ip))
                return true;
    return false;
}

bool spec_is_kernel(enum spec_kind kind)
{
    return kind == SPEC_LINUX || kind == SPEC_LINUX_RANDOM || kind == SPEC_LINUX_OPEN;
}

bool spec_has_lan(const struct spec *s, size_t host)
{
    for (size_t i = host + 1; i < s->n_hosts; i++)
        if (s->hosts[i].behind == host)
            return true;
    return false;
}

/* "MAPPING/ALLOCATION/FILTERING", in the order of the classes. */
static bool parse_class(struct nat_conf *c, char *text)
{
    const char *mapping = strsep(&text, "/"), *allocation = strsep(&text, "/");
    int m, a, f;

    if (allocation == NULL || text == NULL ||
        !spec_choice(mapping, behaviour_name, BEHAVIOUR_COUNT, &m) ||
        !spec_choice(allocation, allocation_name, ALLOCATION_COUNT, &a) ||
        !spec_choice(text, behaviour_name, BEHAVIOUR_COUNT, &f))
        return false;
    c->mapping = (enum behaviour)m;
    c->allocation = (enum allocation)a;
    c->filtering = (enum behaviour)f;
    return m >= NAT_EI && a >= ALLOC_PRESERVE && f >= NAT_EI;
}

/* "@HOST": there must be a NAT in front of that host.  On its LAN no line is long. */
static bool put_behind(const struct spec *s, struct spec_host *h, const char *name)
{
    h->behind = spec_find(s, name);
    h->line = (struct net_line){0};
    return h->behind < s->n_hosts &&
           (spec_is_kernel(s->hosts[h->behind].kind) ||
            (s->hosts[h->behind].kind == SPEC_MODEL && s->hosts[h->behind].nat.mapping > NAT_NONE));
}

static bool parse_kind(const struct spec *s, struct spec_host *h, char *text)
{
    static const char *const kinds[] = {[SPEC_OPEN] = "open",
                                        [SPEC_MODEL] = "firewall",
                                        [SPEC_LINUX] = "linux",
                                        [SPEC_LINUX_RANDOM] = "linux-random",
                                        [SPEC_LINUX_OPEN] = "linux-open",
                                        [SPEC_LAN] = ""};
    const char *name = strsep(&text, "@");
    int kind;

    if (text != NULL && !put_behind(s, h, text))
        return false;
    if (spec_choice(name, kinds, sizeof kinds / sizeof *kinds, &kind)) {
        h->kind = kind == SPEC_OPEN && text != NULL ? SPEC_LAN : (enum spec_kind)kind;
        h->nat.mapping = NAT_NONE;
        h->nat.filtering = h->kind == SPEC_MODEL ? NAT_APD : NAT_NONE;
        return h->kind != SPEC_LAN || text != NULL;
    }
    h->kind = SPEC_MODEL;
    char copy[32];
    return snprintf(copy, sizeof copy, "%s", name) < (int)sizeof copy && parse_class(&h->nat, copy);
}

/* Documentation networks (RFC 5737) for servers and subscribers, RFC 6598 for those behind a carrier's NAT. */
static struct addr nth_outside(const struct spec *s, const struct spec_host *h, uint8_t n)
{
    if (h->behind != s->n_hosts)
        return addr_v4(100, 64, (uint8_t)(h->behind + 1), n, 0);
    return h->kind == SPEC_OPEN ? addr_v4(203, 0, 113, n, 0) : addr_v4(198, 51, 100, n, 0);
}

/* RFC 1918 inside; a kernel's router has what is behind it on a network apart from its own host's. */
static struct addr inside_address(const struct spec *s, const struct spec_host *h)
{
    bool apart = h->kind == SPEC_LAN && spec_is_kernel(s->hosts[h->behind].kind);
    size_t lan = h->kind == SPEC_LAN ? h->behind : s->n_hosts;

    return addr_v4(10, (uint8_t)(lan + 1), apart, (uint8_t)(2 + s->n_hosts - lan), 0);
}

static bool give_addresses(struct spec *s, struct spec_host *h)
{
    for (uint8_t i = 10; h->line.n_ips == 0 && h->kind != SPEC_LAN; i++) {
        struct addr ip = nth_outside(s, h, i);
        if (!ip_taken(s, &ip))
            h->line.ips[h->line.n_ips++] = ip;
    }
    for (size_t i = 0; i < h->line.n_ips; i++)
        if (ip_taken(s, &h->line.ips[i]))
            return false;
    if (h->kind != SPEC_OPEN && (h->kind != SPEC_MODEL || h->nat.mapping != NAT_NONE))
        h->inside = inside_address(s, h);
    memcpy(h->nat.forward_to.ip, h->inside.ip, sizeof h->inside.ip);
    h->nat.forward_to.len = h->inside.len;
    if (h->nat.forward != 0 && (h->inside.len == 0 || h->kind == SPEC_LAN))
        return false; /* there is no NAT that could */
    memcpy(h->nat.external, h->line.ips, sizeof h->nat.external);
    h->nat.n_external = h->line.n_ips;
    return true;
}

static bool add_host(struct spec *s, const struct spec_host *defaults, const char *arg)
{
    char copy[512], *rest = copy;

    if (s->n_hosts == NET_HOSTS_MAX || strlen(arg) >= sizeof copy)
        return false;
    strcpy(copy, arg);
    struct spec_host *h = &s->hosts[s->n_hosts];
    *h = *defaults;
    h->behind = s->n_hosts;
    const char *name = strsep(&rest, "=");
    if (rest == NULL || strlen(name) == 0 || strlen(name) >= sizeof h->name ||
        spec_find(s, name) < s->n_hosts)
        return false;
    for (const char *p = name; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
            return false;
    strcpy(h->name, name);
    if (!parse_kind(s, h, strsep(&rest, ",")))
        return false;
    for (char *value; (value = strsep(&rest, ",")) != NULL;) {
        const char *key = strsep(&value, "=");
        if (value == NULL || !spec_set(h, key, value))
            return false;
    }
    if (!give_addresses(s, h))
        return false;
    s->n_hosts++;
    return true;
}

/* ---- options ---- */

/* What two hosts shall see between them, each line contributes half of. */
static bool set_option(struct spec *s, struct spec_host *d, const char *name, const char *value)
{
    int64_t v;
    double share;

    if (strcmp(name, "--delay") == 0 && spec_duration(value, &v))
        d->line.up.delay_us = d->line.down.delay_us = v / 2;
    else if (strcmp(name, "--jitter") == 0 && spec_duration(value, &v))
        d->line.up.jitter_us = d->line.down.jitter_us = v / 2;
    else if (strcmp(name, "--loss") == 0 && spec_percent(value, &share))
        /* Both lines are crossed: the one packet in 1 - P that arrives survives each with its root. */
        d->line.up.loss_ppm = d->line.down.loss_ppm = (uint32_t)lround((1 - sqrt(1 - share)) * 1e6);
    else if (strcmp(name, "--seed") == 0 && spec_number(value, 0, INT64_MAX, &v))
        s->seed = (uint64_t)v;
    else if (strcmp(name, "--ready-fd") == 0 && spec_number(value, 0, 65535, &v))
        s->ready_fd = (int)v;
    else if (strcmp(name, "--until-eof") == 0 && spec_number(value, 0, 65535, &v))
        s->until_eof = (int)v;
    else if (strcmp(name, "--state") == 0)
        s->state = value;
    else if (strcmp(name, "--pcap") == 0)
        s->pcap = value;
    else if (strcmp(name, "--name") == 0 && strlen(value) > 0 && strlen(value) < sizeof s->name)
        strcpy(s->name, value);
    else
        return false;
    return true;
}

/* The LAN behind a kernel's router takes a line, and that router a host, of the model. */
static bool fits(const struct spec *s, char *error, size_t cap)
{
    size_t n = s->n_hosts;

    for (size_t i = 0; i < s->n_hosts; i++)
        n += spec_is_kernel(s->hosts[i].kind) && spec_has_lan(s, i);
    if (n > NET_HOSTS_MAX)
        snprintf(error, cap, "too many hosts");
    return n <= NET_HOSTS_MAX;
}

bool spec_parse(struct spec *s, int argc, char **argv, char *error, size_t cap)
{
    struct spec_host defaults = {.line.hops = 1};

    memset(s, 0, sizeof *s);
    s->ready_fd = s->until_eof = -1;
    snprintf(s->name, sizeof s->name, "%d", (int)getpid());
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            s->command = i + 1 < argc ? argv + i + 1 : NULL;
            break;
        }
        if (strcmp(argv[i], "--outlive-parent") == 0) {
            s->outlive_parent = true;
        } else if (argv[i][0] == '-') {
            /* The hosts are made from the options before them. */
            if (i + 1 == argc || s->n_hosts > 0 ||
                !set_option(s, &defaults, argv[i], argv[i + 1])) {
                snprintf(error, cap, "bad option %s, or after a host, or bad value", argv[i]);
                return false;
            }
            i++;
        } else if (!add_host(s, &defaults, argv[i])) {
            snprintf(error, cap, "bad host %s", argv[i]);
            return false;
        }
    }
    if (s->n_hosts == 0)
        snprintf(error, cap, "no hosts");
    return s->n_hosts > 0 && fits(s, error, cap);
}
