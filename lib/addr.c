/* addr.c - see addr.h. */
#include "lib/addr.h"

#include <string.h>

struct addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
    return (struct addr){
        4, {a, b, c, d},
         port
    };
}

bool addr_ip_eq(const struct addr *a, const struct addr *b)
{
    return a->len == b->len && memcmp(a->ip, b->ip, a->len) == 0;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return addr_ip_eq(a, b) && a->port == b->port;
}

/* ---- text; by hand, since the cores that print and parse may not call libc's formatted I/O ---- */

struct text {
    char *p;
    size_t cap, len;
};

static void put(struct text *t, char c)
{
    if (t->len + 1 < t->cap)
        t->p[t->len++] = c;
}

static void put_number(struct text *t, unsigned v, unsigned base)
{
    char digits[8];
    size_t n = 0;

    do
        digits[n++] = "0123456789abcdef"[v % base];
    while ((v /= base) > 0);
    while (n > 0)
        put(t, digits[--n]);
}

/* RFC 5952: the longest run of two or more zero groups becomes "::". */
static void put_v6(struct text *t, const uint8_t ip[16])
{
    int best = -1, best_n = 1;

    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && ip[2 * (i + n)] == 0 && ip[2 * (i + n) + 1] == 0)
            n++;
        if (n > best_n)
            best = i, best_n = n;
    }
    for (int i = 0; i < 8; i++) {
        if (i == best) {
            put(t, ':'), put(t, ':');
            i += best_n - 1;
            continue;
        }
        if (i > 0 && i != best + best_n)
            put(t, ':');
        put_number(t, (unsigned)(ip[2 * i] << 8 | ip[2 * i + 1]), 16);
    }
}

const char *addr_format(const struct addr *a, char *buf, size_t cap)
{
    struct text t = {buf, cap, 0};

    if (a->len == 4) {
        for (int i = 0; i < 4; i++) {
            if (i > 0)
                put(&t, '.');
            put_number(&t, a->ip[i], 10);
        }
    } else if (a->len == 16) {
        put(&t, '[');
        put_v6(&t, a->ip);
        put(&t, ']');
    } else {
        put(&t, '-');
    }
    if (a->len > 0) {
        put(&t, ':');
        put_number(&t, a->port, 10);
    }
    if (cap > 0)
        buf[t.len] = '\0';
    return buf;
}

/* A decimal number of at most max without sign or leading zero; false when there is none. */
static bool take_number(const char **p, unsigned max, unsigned *out)
{
    unsigned v = 0;
    const char *s = *p;

    if (*s < '0' || *s > '9' || (s[0] == '0' && s[1] >= '0' && s[1] <= '9'))
        return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        v = v * 10 + (unsigned)(*s - '0');
        if (v > max)
            return false;
    }
    *p = s;
    *out = v;
    return true;
}

static bool take_v4(const char **p, uint8_t ip[4])
{
    for (int i = 0; i < 4; i++) {
        unsigned v;
        if (i > 0 && *(*p)++ != '.')
            return false;
        if (!take_number(p, 255, &v))
            return false;
        ip[i] = (uint8_t)v;
    }
    return true;
}

static bool take_hex(const char **p, unsigned *out)
{
    unsigned v = 0;
    int n = 0;

    for (; n < 5; n++, (*p)++) {
        char c = **p;
        if (c >= '0' && c <= '9')
            v = v * 16 + (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v * 16 + (unsigned)((c | 32) - 'a' + 10);
        else
            break;
    }
    *out = v;
    return n > 0 && n < 5;
}

/* RFC 4291 section 2.2, forms 1 and 2. */
static bool take_v6(const char **p, uint8_t ip[16])
{
    uint16_t head[8], tail[8];
    int n = 0, m = 0;
    bool gap = false;
    const char *s = *p;

    if (s[0] == ':' && s[1] == ':')
        gap = true, s += 2;
    for (;;) {
        unsigned v;
        const char *before = s;
        if (!take_hex(&s, &v)) {
            s = before;
            if (!gap || m > 0)
                return false;
            break;
        }
        if (n + m == 8)
            return false;
        if (gap)
            tail[m++] = (uint16_t)v;
        else
            head[n++] = (uint16_t)v;
        if (*s != ':')
            break;
        s++;
        if (*s == ':') {
            if (gap)
                return false;
            gap = true, s++;
            if (*s == '\0' || *s == ']')
                break;
        }
    }
    if (gap ? n + m > 7 : n != 8)
        return false;
    memset(ip, 0, 16);
    for (int i = 0; i < n; i++)
        ip[2 * i] = (uint8_t)(head[i] >> 8), ip[2 * i + 1] = (uint8_t)head[i];
    for (int i = 0; i < m; i++) {
        int g = 8 - m + i;
        ip[2 * g] = (uint8_t)(tail[i] >> 8), ip[2 * g + 1] = (uint8_t)tail[i];
    }
    *p = s;
    return true;
}

bool addr_parse(const char *text, struct addr *out)
{
    struct addr a = {0};
    unsigned port;

    if (*text == '[') {
        text++;
        a.len = 16;
        if (!take_v6(&text, a.ip) || *text++ != ']')
            return false;
    } else {
        a.len = 4;
        if (!take_v4(&text, a.ip))
            return false;
    }
    if (*text++ != ':' || !take_number(&text, UINT16_MAX, &port) || *text != '\0')
        return false;
    a.port = (uint16_t)port;
    *out = a;
    return true;
}

bool addr_parse_ip(const char *text, uint16_t port, struct addr *out)
{
    struct addr a = {.port = port};
    const char *p = text;

    a.len = 4;
    if (take_v4(&p, a.ip) && *p == '\0') {
        *out = a;
        return true;
    }
    p = text;
    a = (struct addr){.len = 16, .port = port};
    if (!take_v6(&p, a.ip) || *p != '\0')
        return false;
    *out = a;
    return true;
}
