/*
 * xdp_place_shell.h - the interface whose hook is meant by a text and by what sockets are bound to.
 */
#ifndef XDP_PLACE_SHELL_H
#define XDP_PLACE_SHELL_H

#include "lib/xdp_shell.h"

struct xdp_where {
    char name[IF_NAMESIZE];
    int index;
    bool native, generic;   /* what may be tried */
    struct xdp_place place; /* but for alive_ms */
};

/* False, with the reason, when there is none. */
bool xdp_find_place(const struct xdp_plan *plan, struct xdp_where *w, const char **why);

#endif
