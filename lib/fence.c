/* fence.c - see fence.h. */
#include "lib/fence.h"

#include <string.h>

struct block {
    uint8_t ip[16];
    uint8_t bits;
    uint8_t kind; /* enum addr_kind */
};

/* The first block that holds an address decides; what is in none of IPv4's is public. */
static const struct block v4_blocks[] = {
    {{0},            8,  ADDR_REFUSED   }, /* this network, RFC 1122 */
    {{10},           8,  ADDR_PRIVATE   },
    {{100, 64},      10, ADDR_SHARED    },
    {{127},          8,  ADDR_LOOPBACK  },
    {{169, 254},     16, ADDR_LINK_LOCAL},
    {{172, 16},      12, ADDR_PRIVATE   },
    {{192, 0, 2},    24, ADDR_LABORATORY},
    {{192, 0, 0},    24, ADDR_REFUSED   }, /* protocol assignments, RFC 6890; DS-Lite, RFC 7335 */
    {{192, 88, 99},  24, ADDR_REFUSED   }, /* 6to4's relays, RFC 7526 */
    {{192, 168},     16, ADDR_PRIVATE   },
    {{198, 18},      15, ADDR_LABORATORY},
    {{198, 51, 100}, 24, ADDR_LABORATORY},
    {{203, 0, 113},  24, ADDR_LABORATORY},
    {{224},          3,  ADDR_REFUSED   }, /* multicast, reserved, broadcast */
};

/* What is in none of IPv6's is refused: only 2000::/3 is given to networks so far (RFC 4291). */
static const struct block v6_blocks[] = {
    {{[15] = 1},               128, ADDR_LOOPBACK  },
    {{0xfe, 0x80},             10,  ADDR_LINK_LOCAL},
    {{0xfc},                   7,   ADDR_PRIVATE   },
    {{0x20, 0x01, 0x0d, 0xb8}, 32,  ADDR_LABORATORY},
    {{0x20, 0x01, 0x00, 0x02}, 48,  ADDR_LABORATORY},
    {{0x20, 0x01},             23,  ADDR_REFUSED   }, /* Teredo, ORCHID, protocols: RFC 2928 */
    {{0x20, 0x02},             16,  ADDR_REFUSED   }, /* 6to4, RFC 3056 */
    {{0x3f, 0xff},             20,  ADDR_LABORATORY},
    {{0x20},                   3,   ADDR_PUBLIC    },
};

static bool inside(const uint8_t *ip, const struct block *b)
{
    uint8_t whole = b->bits / 8, rest = b->bits % 8;

    if (memcmp(ip, b->ip, whole) != 0)
        return false;
    return rest == 0 || ((ip[whole] ^ b->ip[whole]) & (0xff00 >> rest & 0xff)) == 0;
}

static enum addr_kind find(const struct block *blocks, size_t n, const uint8_t *ip,
                           enum addr_kind otherwise)
{
    for (size_t i = 0; i < n; i++)
        if (inside(ip, &blocks[i]))
            return (enum addr_kind)blocks[i].kind;
    return otherwise;
}

/* An interface id that is an IPv4 address in disguise, under whatever prefix (RFC 5214 section 6.1). */
static bool is_isatap(const uint8_t ip[static 16])
{
    static const uint8_t marks[2][4] = {
        {0, 0, 0x5e, 0xfe},
        {2, 0, 0x5e, 0xfe}
    };

    return memcmp(ip + 8, marks[0], 4) == 0 || memcmp(ip + 8, marks[1], 4) == 0;
}

enum addr_kind addr_kind(const struct addr *a)
{
    if (a->port == 0)
        return ADDR_REFUSED;
    if (a->len == 4)
        return find(v4_blocks, sizeof v4_blocks / sizeof *v4_blocks, a->ip, ADDR_PUBLIC);
    if (a->len != 16 || is_isatap(a->ip))
        return ADDR_REFUSED;
    return find(v6_blocks, sizeof v6_blocks / sizeof *v6_blocks, a->ip, ADDR_REFUSED);
}

struct fence fence_of(const struct addr *suite, size_t n)
{
    struct fence f = {1u << ADDR_PUBLIC};

    for (size_t i = 0; i < n; i++) {
        struct addr at = suite[i];
        at.port = 1; /* it may be listening on any: only the ip counts */
        f.kinds |= (uint8_t)(1u << addr_kind(&at));
    }
    f.kinds &= (uint8_t) ~(1u << ADDR_REFUSED);
    return f;
}

bool fence_admits(struct fence f, const struct addr *a) { return f.kinds >> addr_kind(a) & 1; }

bool addr_is_local(const struct addr *a)
{
    enum addr_kind k = addr_kind(a);

    return k == ADDR_PRIVATE || k == ADDR_SHARED || k == ADDR_LINK_LOCAL;
}
