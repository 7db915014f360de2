/* ports.c - see ports.h. */
#include "services/prober/ports.h"

#include <string.h>

/* One number, of which *at is then the end; -1 when there is none up to 65535. */
static int32_t number(const char **at)
{
    int32_t n = -1;

    for (; **at >= '0' && **at <= '9'; (*at)++) {
        n = (n < 0 ? 0 : n) * 10 + (**at - '0');
        if (n > UINT16_MAX)
            return -1;
    }
    return n;
}

bool ports_parse(const char *text, struct ports *out)
{
    memset(out, 0, sizeof *out);
    if (*text == '\0')
        return true;
    for (const char *at = text;; at++) {
        int32_t n = number(&at);
        if (n < 0 || (*at != ',' && *at != '\0'))
            return false;
        out->bits[n >> 3] |= (uint8_t)(1u << (n & 7));
        if (*at == '\0')
            return true;
    }
}
