/*
 * spec.h - the laboratory's command line: which hosts there are, and what is in front of each.
 */
#ifndef NATLAB_SPEC_H
#define NATLAB_SPEC_H

#include "tests/natlab/net.h"

#include <stdio.h>

enum { SPEC_NAME_MAX = 32 };

enum spec_kind {
    SPEC_OPEN,  /* no NAT */
    SPEC_MODEL, /* nat.h, a firewall is one too */
    SPEC_LINUX, /* the kernel's NAT in a router of its own, by the nftables rules in netns.c */
    SPEC_LINUX_RANDOM,
    SPEC_LINUX_OPEN,
    SPEC_LAN, /* nothing of its own: on another host's LAN */
};

struct spec_host {
    char name[SPEC_NAME_MAX];
    enum spec_kind kind;
    size_t behind;        /* the host on whose LAN this one, or its line, is; itself for none */
    struct addr inside;   /* its address, when that is not the line's */
    struct net_line line; /* without the NAT's memory */
    struct nat_conf
        nat; /* of the kernel's NATs only the forward, and lifetime_us, 0 for the kernel's own */
};

struct spec {
    char name[64]; /* of the lab */
    uint64_t seed;
    int ready_fd;      /* -1 for none */
    const char *state; /* file for the ground truth at the end, or NULL */
    const char *pcap;  /* file for all packets, or NULL */
    int until_eof;     /* descriptor at whose end the lab ends; -1 for none */
    bool outlive_parent;
    size_t n_hosts;
    struct spec_host hosts[NET_HOSTS_MAX];
    char **command; /* NULL for none */
};

/* Parse the options, hosts and command after the program's name.  False: why is in error. */
bool spec_parse(struct spec *s, int argc, char **argv, char *error, size_t cap);

/* One key=value of a host; the keys are in spec_keys.c's table. */
bool spec_set(struct spec_host *h, const char *key, const char *value);

/* Values: "42"; "1.5s", "20ms", "300us", "0"; "2%" or "2", both per cent; one of some names. */
bool spec_number(const char *text, int64_t lo, int64_t hi, int64_t *out);
bool spec_duration(const char *text, int64_t *us);
bool spec_percent(const char *text, double *share);
bool spec_choice(const char *text, const char *const *names, size_t n, int *out);

/* The index of a host by name; n_hosts for none. */
size_t spec_find(const struct spec *s, const char *name);

bool spec_is_kernel(enum spec_kind kind);

/* Is anybody else on this host's LAN? */
bool spec_has_lan(const struct spec *s, size_t host);

/* Print the keys, for the usage text. */
void spec_help(FILE *to);

#endif
