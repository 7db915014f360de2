/* id.c - see id.h. */
#include "lib/id.h"

#include <string.h>

bool peer_id_eq(const struct peer_id *a, const struct peer_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool peer_id_none(const struct peer_id *id)
{
    static const struct peer_id none;

    return peer_id_eq(id, &none);
}

bool sid_eq(const struct sid *a, const struct sid *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

const char *peer_id_format(const struct peer_id *id, char buf[static PEER_ID_TEXT])
{
    unsigned bits = 0, n_bits = 0;
    size_t n = 0;

    for (size_t i = 0; i < sizeof id->b; i++) {
        bits = bits << 8 | id->b[i];
        n_bits += 8;
        for (; n_bits >= 5; n_bits -= 5)
            buf[n++] = "abcdefghijklmnopqrstuvwxyz234567"[bits >> (n_bits - 5) & 31];
        bits &= (1u << n_bits) - 1;
    }
    buf[n++] = "abcdefghijklmnopqrstuvwxyz234567"[bits << (5 - n_bits) & 31];
    buf[n] = '\0';
    return buf;
}

bool peer_id_parse(const char *text, struct peer_id *out)
{
    struct peer_id id;
    unsigned bits = 0, n_bits = 0;
    size_t n = 0;

    if (strlen(text) != PEER_ID_TEXT - 1)
        return false;
    for (; *text; text++) {
        char c = (char)(*text >= 'A' && *text <= 'Z' ? *text | 32 : *text);
        unsigned v;
        if (c >= 'a' && c <= 'z')
            v = (unsigned)(c - 'a');
        else if (c >= '2' && c <= '7')
            v = (unsigned)(c - '2' + 26);
        else
            return false;
        bits = (bits << 5 | v) & 0xfff;
        n_bits += 5;
        if (n_bits >= 8) {
            n_bits -= 8;
            id.b[n++] = (uint8_t)(bits >> n_bits);
            bits &= (1u << n_bits) - 1;
        }
    }
    if (bits != 0) /* the four spare bits: two spellings of one id would be two peers */
        return false;
    *out = id;
    return true;
}

const char *sid_format(const struct sid *s, char buf[static SID_TEXT])
{
    for (size_t i = 0; i < sizeof s->b; i++) {
        buf[2 * i] = "0123456789abcdef"[s->b[i] >> 4];
        buf[2 * i + 1] = "0123456789abcdef"[s->b[i] & 15];
    }
    buf[SID_TEXT - 1] = '\0';
    return buf;
}

bool sid_parse(const char *text, struct sid *out)
{
    struct sid s = {{0}};

    if (strlen(text) != SID_TEXT - 1)
        return false;
    for (size_t i = 0; i < SID_TEXT - 1; i++) {
        char c = (char)(text[i] >= 'A' && text[i] <= 'F' ? text[i] | 32 : text[i]);
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (v < 0)
            return false;
        s.b[i / 2] = (uint8_t)(s.b[i / 2] << 4 | v);
    }
    *out = s;
    return true;
}

bool name_valid(const char *name)
{
    size_t n = strlen(name), base32 = 0;

    if (n == 0 || n > NAME_MAX_BYTES || name[0] == '.' || name[0] == '_' || name[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
            return false;
        base32 += (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
    }
    return n != PEER_ID_TEXT - 1 || base32 != n; /* nor a typing error away from an id */
}
