/*
 * build.c - see build.h.
 *
 *   without a kernel NAT   host: wan0 (TUN)
 *   with one               host: lan0 (veth) - router: lan0 (veth), nftables, wan0 (TUN)
 */
#include "tests/natlab/build.h"

#include "tests/natlab/netns.h"

#include <unistd.h>

/*
 * The kernel's NAT as people run it.  Both filters refuse what the inside did not ask for.  They come
 * before conntrack confirms, so a refused packet leaves no entry; if it did (linux-open), the entry would
 * own the remote's tuple, and the inside's own packet to that remote would have to take another port.
 */
#define MASQUERADE(how)                                \
    "table ip natlab {\n"                              \
    "  chain nat {\n"                                  \
    "    type nat hook postrouting priority srcnat;\n" \
    "    oifname \"wan0\" masquerade " how "\n"        \
    "  }\n"
#define FILTER                                                     \
    "  chain input {\n"                                            \
    "    type filter hook input priority filter; policy drop;\n"   \
    "    ct state established,related accept\n"                    \
    "    iifname != \"wan0\" accept\n"                             \
    "  }\n"                                                        \
    "  chain forward {\n"                                          \
    "    type filter hook forward priority filter; policy drop;\n" \
    "    ct state established,related accept\n"                    \
    "    iifname \"lan0\" accept\n"                                \
    "  }\n"

static const char *const rules[] = {[SPEC_LINUX] = MASQUERADE("") FILTER "}\n",
                                    [SPEC_LINUX_RANDOM] = MASQUERADE("fully-random") FILTER "}\n",
                                    [SPEC_LINUX_OPEN] = MASQUERADE("") "}\n"};

static bool wan(const struct spec_host *h, int *tun)
{
    *tun = netns_tun("wan0");
    for (unsigned i = 0; *tun >= 0 && i < h->line.n_ips; i++)
        if (!netns_address("wan0", i, &h->line.ips[i], 32))
            return false;
    return *tun >= 0 && netns_default_route("wan0", NULL);
}

/* A private address, the gateway being .1 of its network. */
static bool lan(const struct spec_host *h, const char *device)
{
    struct addr gateway = h->inside;

    gateway.ip[3] = 1;
    return netns_address(device, 0, &h->inside, 24) && netns_up(device) &&
           netns_default_route(device, &gateway);
}

static bool build_router(const struct spec_host *h, int *tun, int *space)
{
    struct addr gateway = h->inside;
    int router = netns_new();
    bool ok = router >= 0 && wan(h, tun);

    *space = ok ? netns_new() : -1;
    gateway.ip[3] = 1;
    ok = *space >= 0 && netns_enter(router) && netns_veth("lan0", "lan0", *space) &&
         netns_address("lan0", 0, &gateway, 24) && netns_up("lan0") && netns_forward("lan0") &&
         netns_forward("wan0") && netns_rules(rules[h->kind]) && netns_enter(*space) &&
         lan(h, "lan0");
    /* The TUN and, at its other end, the Ethernet keep the router in being. */
    if (router >= 0)
        close(router);
    return ok;
}

bool build_host(const struct spec_host *h, int *tun, int *space)
{
    if (h->kind == SPEC_LINUX || h->kind == SPEC_LINUX_RANDOM || h->kind == SPEC_LINUX_OPEN)
        return build_router(h, tun, space);
    *space = netns_new();
    if (*space < 0)
        return false;
    if (h->inside.len == 0)
        return wan(h, tun);
    *tun = netns_tun("wan0");
    return *tun >= 0 && lan(h, "wan0");
}
