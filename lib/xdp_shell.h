/*
 * xdp_shell.h - a program of ours at an interface's hook, before the kernel has made a socket's packet of a frame.
 *
 * Prober and relay of a host share one interface: a first program there (xdp/hook.bpf.c) leads to theirs, each in
 * its slot.  Who comes first attaches it, both hold it, and with the last of them it goes.  A process that has died
 * without a word is noticed by its program, which then answers nothing (XDP_DEAD_MS).
 *
 * WHERE is `off`, `auto` or the name of an interface, which must have the address that is served.  `auto`
 * takes that which has it, or leads there.  With /native behind it only the driver's hook will do, with /skb only the
 * kernel's generic one; else the driver's where it has one.  A veth has one that drops answers unless its other
 * end is prepared for them, and so is taken at the generic one.
 *
 * It needs CAP_BPF, CAP_NET_ADMIN and, to find a hook that is there, CAP_SYS_ADMIN; Linux 5.12; a build with clang.  What
 * is missing is told in one line, and all goes on without.
 */
#ifndef XDP_SHELL_H
#define XDP_SHELL_H

#include "lib/addr.h"
#include "lib/xdp/slots.h"

#include <net/if.h>

enum { XDP_MAPS_MAX = 3 };

struct xdp_plan {
    const char *where;
    enum xdp_slot slot;
    const struct addr
        *addrs; /* that sockets are bound to; those of a wildcard are the interface's */
    size_t n_addrs;
    const struct addr *public_addr; /* which a wildcard's interface leads to */
    struct xdp_map {
        const char *name;
        uint32_t entries; /* 0: as many as the program says */
        size_t bytes;     /* to share with the program */
    } maps[XDP_MAPS_MAX];
    int socket; /* one of them: what is sent has its TTL */
};

struct xdp {
    char name[IF_NAMESIZE]; /* of the interface; "" for none */
    const char *mode;
    void *memory[XDP_MAPS_MAX]; /* by map, zeroed; the first begins with a struct xdp_place */
    size_t bytes[XDP_MAPS_MAX];
    int link, hooks;
    void *object;
};

/* Load and place what answers for this slot, after what fill(arg, x) has put into its memory.  False, with
 * nothing held, when there is none. */
bool xdp_open(struct xdp *x, const struct xdp_plan *plan, void (*fill)(void *arg, struct xdp *x),
              void *arg);

/* To be called at least every second. */
void xdp_alive(struct xdp *x, int64_t now_us);
void xdp_close(struct xdp *x);

/* The programs, as clang has made them; in xdp_objects.S of builds with it. */
struct xdp_object {
    const char *name; /* of the program */
    const void *data, *end;
};

#endif
