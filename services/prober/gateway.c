/* gateway.c - see gateway.h. */
#include "services/prober/gateway.h"

#include <string.h>

/* RFC 1918, RFC 4193, and the link-local and loopback ones. */
static bool is_private(const struct addr *a)
{
    const uint8_t *ip = a->ip;
    static const uint8_t loopback[16] = {[15] = 1};

    if (a->len == 16)
        return (ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) ||
               memcmp(ip, loopback, sizeof loopback) == 0;
    return ip[0] == 10 || ip[0] == 127 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) ||
           (ip[0] == 192 && ip[1] == 168) || (ip[0] == 169 && ip[1] == 254);
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
