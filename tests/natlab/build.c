/*
 * build.c - see build.h.
 *
 *   without a kernel NAT   host: wan0 (TUN)
 *   with one               host: lan0 (veth) - router: lan0 (veth), nftables, wan0 (TUN)
 *   and others behind it                       router: lan1 (TUN)
 */
#include "tests/natlab/build.h"

#include "tests/natlab/netns.h"

#include <stdio.h>
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
    "    iifname \"lan*\" accept\n"                                \
    "  }\n"

static const char *const rules[] = {[SPEC_LINUX] = MASQUERADE("") FILTER "}\n",
                                    [SPEC_LINUX_RANDOM] = MASQUERADE("fully-random") FILTER "}\n",
                                    [SPEC_LINUX_OPEN] = MASQUERADE("") "}\n"};

/* After conntrack has made the entry, before it is confirmed.  The kernel's own times for UDP are 30 s and, after both sides have spoken for 2 s, 120 s. */
static bool set_lifetime(const struct nat_conf *nat)
{
    char text[512];
    long long s = nat->lifetime_us / 1000000;

    if (nat->lifetime_us == 0)
        return true;
    snprintf(text, sizeof text,
             "table ip natlab {\n"
             "  ct timeout short {\n"
             "    protocol udp\n"
             "    l3proto ip\n"
             "    policy = { unreplied : %lld, replied : %lld }\n"
             "  }\n"
             "  chain timeouts {\n"
             "    type filter hook prerouting priority mangle\n"
             "    meta l4proto udp ct timeout set \"short\"\n"
             "  }\n"
             "}\n",
             s > 0 ? s : 1, s > 0 ? s : 1);
    return netns_rules(text);
}

/* Before the filter's chain drops what the inside did not ask for. */
static bool set_forward(const struct nat_conf *nat)
{
    char text[512], to[ADDR_TEXT_MAX];

    if (nat->forward == 0)
        return true;
    snprintf(text, sizeof text,
             "table ip natlab {\n"
             "  chain forwards {\n"
             "    type nat hook prerouting priority dstnat;\n"
             "    iifname \"wan0\" udp dport %u dnat to %s\n"
             "  }\n"
             "  chain forward {\n"
             "    ct status dnat accept\n"
             "  }\n"
             "}\n",
             nat->forward, addr_format(&nat->forward_to, to, sizeof to));
    return netns_rules(text);
}

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

/* The side of a router at which those are that the model brings. */
static bool shared_lan(const struct spec *s, size_t host, int *tun)
{
    struct addr gateway = addr_v4(10, (uint8_t)(host + 1), 1, 1, 0);

    *tun = -1;
    if (!spec_has_lan(s, host))
        return true;
    *tun = netns_tun("lan1");
    if (*tun < 0 || !netns_address("lan1", 0, &gateway, 32) || !netns_forward("lan1"))
        return false;
    for (size_t i = host + 1; i < s->n_hosts; i++) {
        const struct spec_host *h = &s->hosts[i];
        const struct addr *ips = h->kind == SPEC_LAN ? &h->inside : h->line.ips;
        for (size_t j = 0; h->behind == host && j < (h->kind == SPEC_LAN ? 1 : h->line.n_ips); j++)
            if (!netns_host_route("lan1", &ips[j]))
                return false;
    }
    return true;
}

static bool build_router(const struct spec *s, size_t host, struct built *b)
{
    const struct spec_host *h = &s->hosts[host];
    struct addr gateway = h->inside;
    int router = netns_new();
    bool ok = router >= 0 && wan(h, &b->tun) && shared_lan(s, host, &b->lan);

    b->space = ok ? netns_new() : -1;
    gateway.ip[3] = 1;
    ok = b->space >= 0 && netns_enter(router) && netns_veth("lan0", "lan0", b->space) &&
         netns_address("lan0", 0, &gateway, 24) && netns_up("lan0") && netns_forward("lan0") &&
         netns_forward("wan0") && netns_rules(rules[h->kind]) && set_lifetime(&h->nat) &&
         set_forward(&h->nat) && netns_enter(b->space) && lan(h, "lan0");
    /* The TUN and, at its other end, the Ethernet keep the router in being. */
    if (router >= 0)
        close(router);
    return ok;
}

bool build_host(const struct spec *s, size_t host, struct built *b)
{
    const struct spec_host *h = &s->hosts[host];

    *b = (struct built){-1, -1, -1};
    if (spec_is_kernel(h->kind))
        return build_router(s, host, b);
    b->space = netns_new();
    if (b->space < 0)
        return false;
    if (h->inside.len == 0)
        return wan(h, &b->tun);
    b->tun = netns_tun("wan0");
    return b->tun >= 0 && lan(h, "wan0");
}
