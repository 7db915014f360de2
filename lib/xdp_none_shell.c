/* xdp_none_shell.c - xdp_shell.h for a build without clang or libbpf. */
#include "lib/xdp_shell.h"

#include "lib/log.h"

#include <string.h>

bool xdp_open(struct xdp *x, const struct xdp_plan *plan, void (*fill)(void *arg, struct xdp *x),
              void *arg)
{
    (void)fill, (void)arg;
    *x = (struct xdp){.link = -1, .hooks = -1};
    if (strcmp(plan->where, "off") != 0)
        log_warn("event=no_xdp where=%s why=\"built without clang or libbpf\" "
                 "what=\"every packet takes the usual way\"",
                 plan->where);
    return false;
}

void xdp_alive(struct xdp *x, int64_t now_us) { (void)x, (void)now_us; }
void xdp_close(struct xdp *x) { (void)x; }
