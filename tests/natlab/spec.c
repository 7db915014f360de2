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

/* "MAPPING/ALLOCATION/FILTERING", in the order of the classes. */
static bool parse_class(struct nat_conf *c, char *text)
{
    static const char *const scopes[] = {[SCOPE_EI] = "ei", [SCOPE_AD] = "ad", [SCOPE_APD] = "apd"};
    static const char *const allocations[] = {"preserve", "contiguous", "random"};
    const char *mapping = strsep(&text, "/"), *allocation = strsep(&text, "/");
    int m, a, f;

    if (allocation == NULL || text == NULL || !spec_choice(mapping, scopes, 4, &m) ||
        !spec_choice(allocation, allocations, 3, &a) || !spec_choice(text, scopes, 4, &f))
        return false;
    c->mapping = (enum nat_scope)m;
    c->allocation = (enum nat_allocation)a;
    c->filtering = (enum nat_scope)f;
    return true;
}

static bool parse_kind(const struct spec *s, struct spec_host *h, char *text)
{
    static const char *const kinds[] = {[SPEC_OPEN] = "open",
                                        [SPEC_MODEL] = "firewall",
                                        [SPEC_LINUX] = "linux",
                                        [SPEC_LINUX_RANDOM] = "linux-random",
                                        [SPEC_LINUX_OPEN] = "linux-open"};
    int kind;

    if (text[0] == '@') {
        h->kind = SPEC_BEHIND;
        h->behind = spec_find(s, text + 1);
        return h->behind < s->n_hosts && s->hosts[h->behind].kind == SPEC_MODEL &&
               s->hosts[h->behind].nat.mapping != SCOPE_NONE;
    }
    if (spec_choice(text, kinds, sizeof kinds / sizeof *kinds, &kind)) {
        h->kind = (enum spec_kind)kind;
        if (h->kind == SPEC_MODEL)
            h->nat.filtering = SCOPE_APD;
        return true;
    }
    h->kind = SPEC_MODEL;
    return parse_class(&h->nat, text);
}

/* Documentation networks outside (RFC 5737): servers in one, subscribers in the other. */
static bool give_addresses(struct spec *s, struct spec_host *h)
{
    size_t index = s->n_hosts;

    for (uint8_t i = 10; h->line.n_ips == 0 && h->kind != SPEC_BEHIND; i++) {
        struct addr ip =
            h->kind == SPEC_OPEN ? addr_v4(203, 0, 113, i, 0) : addr_v4(198, 51, 100, i, 0);
        if (!ip_taken(s, &ip))
            h->line.ips[h->line.n_ips++] = ip;
    }
    for (size_t i = 0; i < h->line.n_ips; i++)
        if (ip_taken(s, &h->line.ips[i]))
            return false;
    h->inside = addr_v4(10, (uint8_t)(h->behind + 1), 0, (uint8_t)(2 + index - h->behind), 0);
    if (h->kind == SPEC_OPEN || (h->kind == SPEC_MODEL && h->nat.mapping == SCOPE_NONE))
        h->inside.len = 0;
    h->nat.external = h->line.ips[0];
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
    else if (strcmp(name, "--state") == 0)
        s->state = value;
    else if (strcmp(name, "--name") == 0 && strlen(value) > 0 && strlen(value) < sizeof s->name)
        strcpy(s->name, value);
    else
        return false;
    return true;
}

bool spec_parse(struct spec *s, int argc, char **argv, char *error, size_t cap)
{
    struct spec_host defaults = {.line.hops = 1};

    memset(s, 0, sizeof *s);
    s->ready_fd = -1;
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
    return s->n_hosts > 0;
}
