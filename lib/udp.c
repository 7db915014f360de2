/* udp.c - see udp.h. */
#include "lib/udp.h"

#include <netinet/in.h>
#include <string.h>

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
    if (a->len == 16) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
        memcpy(&in6->sin6_addr, a->ip, 16);
        return sizeof *in6;
    }
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(a->port)};
    memcpy(&in->sin_addr, a->ip, 4);
    return sizeof *in;
}

struct addr addr_from_sockaddr(const struct sockaddr_storage *in)
{
    struct addr a = {0};

    if (in->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)in;
        a.len = 4;
        a.port = ntohs(v4->sin_port);
        memcpy(a.ip, &v4->sin_addr, 4);
    } else if (in->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)in;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        a.len = mapped ? 4 : 16;
        a.port = ntohs(v6->sin6_port);
        memcpy(a.ip, v6->sin6_addr.s6_addr + (mapped ? 12 : 0), a.len);
    }
    return a;
}
