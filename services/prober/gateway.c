/* gateway.c - see gateway.h. */
#include "services/prober/gateway.h"

#include "lib/fence.h"

static bool is_private(const struct addr *a)
{
    struct addr at = *a;

    at.port = 1; /* only the ip counts */
    enum addr_kind k = addr_kind(&at);
    return k == ADDR_PRIVATE || k == ADDR_LINK_LOCAL || k == ADDR_LOOPBACK;
}

void gateway_init(struct gateway *g, const struct addr *known_as)
{
    *g = (struct gateway){.ruled_out = is_private(known_as)};
}

void gateway_note(struct gateway *g, const struct addr *src)
{
    if (g->ruled_out)
        return;
    if (!is_private(src) || (g->requests > 0 && !addr_ip_eq(&g->ip, src))) {
        g->ruled_out = true;
        return;
    }
    g->ip = *src;
    g->requests += g->requests < GATEWAY_REQUESTS;
}

bool gateway_suspected(const struct gateway *g)
{
    return !g->ruled_out && g->requests == GATEWAY_REQUESTS;
}
