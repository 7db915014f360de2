/* test_id.c - peer ids, session ids and names: their printed forms and what is refused. */
#include "lib/id.h"
#include "lib/rng.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(id, .timeout = 20);

/* RFC 4648 section 6, slowly: the text's character i is made of bits 5i to 5i + 4, the rest is zero. */
static void slow_base32(const uint8_t *b, size_t n, char *text)
{
    size_t bits = 8 * n, chars = (bits + 4) / 5;

    for (size_t i = 0; i < chars; i++) {
        unsigned v = 0;
        for (size_t j = 5 * i; j < 5 * i + 5; j++)
            v = v * 2 + (j < bits ? (unsigned)b[j / 8] >> (7 - j % 8) & 1u : 0);
        text[i] = (char)(v < 26 ? 'a' + (int)v : '2' + (int)v - 26);
    }
    text[chars] = '\0';
}

Test(id, the_slow_base32_gives_the_vectors_of_rfc_4648)
{
    static const char *const vector[][2] = {
        {"",       ""          },
        {"f",      "my"        },
        {"fo",     "mzxq"      },
        {"foo",    "mzxw6"     },
        {"foob",   "mzxw6yq"   },
        {"fooba",  "mzxw6ytb"  },
        {"foobar", "mzxw6ytboi"}
    };
    char text[64];

    for (size_t i = 0; i < sizeof vector / sizeof vector[0]; i++) {
        slow_base32((const uint8_t *)vector[i][0], strlen(vector[i][0]), text);
        cr_assert_str_eq(text, vector[i][1]);
    }
}

Test(id, a_peer_id_is_printed_as_rfc_4648_base32)
{
    struct peer_id id;
    struct rng r;
    char text[PEER_ID_TEXT], slow[PEER_ID_TEXT];

    memcpy(id.b, "foobafoobafoobafoobafoobafooba\xff\xff", 32);
    cr_assert_str_eq(peer_id_format(&id, text),
                     "mzxw6ytbmzxw6ytbmzxw6ytbmzxw6ytbmzxw6ytbmzxw6ytb777q");
    rng_seed(&r, 1);
    for (int i = 0; i < 10000; i++) {
        struct peer_id back;
        rng_bytes(&r, id.b, sizeof id.b);
        slow_base32(id.b, sizeof id.b, slow);
        cr_assert_eq(peer_id_format(&id, text), text);
        cr_assert_str_eq(text, slow);
        cr_assert_eq(strlen(text), PEER_ID_TEXT - 1);
        cr_assert(peer_id_parse(text, &back) && peer_id_eq(&id, &back), "%s", text);
        for (char *c = text; *c; c++)
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
        cr_assert(peer_id_parse(text, &back) && peer_id_eq(&id, &back), "%s", text);
    }
}

Test(id, every_peer_id_has_one_spelling)
{
    struct peer_id id, back;
    struct rng r;
    char text[PEER_ID_TEXT];

    rng_seed(&r, 2);
    rng_bytes(&r, id.b, sizeof id.b);
    peer_id_format(&id, text);
    char last = text[51];
    unsigned taken = 0;
    for (const char *c = "abcdefghijklmnopqrstuvwxyz234567"; *c; c++) {
        text[51] = *c;
        if (peer_id_parse(text, &back)) {
            taken++;
            cr_assert(*c == last || !peer_id_eq(&id, &back));
        }
    }
    cr_assert_eq(taken, 2); /* the last character carries one bit */
}

static void refused(const char *text)
{
    struct peer_id id, id_before;
    struct sid sid, sid_before;

    memset(&id, 0x5a, sizeof id), memset(&id_before, 0x5a, sizeof id_before);
    memset(&sid, 0x5a, sizeof sid), memset(&sid_before, 0x5a, sizeof sid_before);
    char *exact = strdup(text);
    cr_assert(!peer_id_parse(exact, &id), "%s", text);
    cr_assert(!sid_parse(exact, &sid), "%s", text);
    free(exact);
    cr_assert(peer_id_eq(&id, &id_before) && sid_eq(&sid, &sid_before), "%s", text);
}

Test(id, malformed_texts_are_refused)
{
    char good[PEER_ID_TEXT], hex[SID_TEXT];
    struct peer_id id = {
        {1, 2, 3}
    };
    struct sid sid = {
        {1, 2, 3}
    };

    peer_id_format(&id, good);
    sid_format(&sid, hex);
    for (int c = 1; c < 256; c++) {
        if (c < '0' || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || c > 'z' || c == '0' ||
            c == '1' || c == '8' || c == '9') {
            char bad[PEER_ID_TEXT];
            for (size_t at = 0; at < 52; at += 17) {
                memcpy(bad, good, sizeof bad);
                bad[at] = (char)c;
                refused(bad);
            }
        }
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F')) {
            char bad[SID_TEXT];
            for (size_t at = 0; at < 32; at += 31) {
                memcpy(bad, hex, sizeof bad);
                bad[at] = (char)c;
                refused(bad);
            }
        }
    }
    char longer[PEER_ID_TEXT + 1];
    for (size_t n = 0; n <= 53; n++) { /* every length but the two right ones */
        memset(longer, 'a', n);
        longer[n] = '\0';
        if (n != 52 && n != 32)
            refused(longer);
    }
    snprintf(longer, sizeof longer, "%s=", good);
    refused(longer);
}

Test(id, a_session_id_is_hex_of_either_case)
{
    struct rng r;
    char text[SID_TEXT], slow[SID_TEXT];

    rng_seed(&r, 3);
    for (int i = 0; i < 10000; i++) {
        struct sid sid, back;
        rng_bytes(&r, sid.b, sizeof sid.b);
        for (size_t j = 0; j < 16; j++)
            snprintf(slow + 2 * j, 3, "%02x", sid.b[j]);
        cr_assert_str_eq(sid_format(&sid, text), slow);
        cr_assert(sid_parse(text, &back) && sid_eq(&sid, &back));
        for (size_t j = 0; j < 16; j++)
            snprintf(slow + 2 * j, 3, "%02X", sid.b[j]);
        cr_assert(sid_parse(slow, &back) && sid_eq(&sid, &back));
    }
}

Test(id, no_peer_is_all_zero)
{
    for (size_t i = 0; i < 32; i++) {
        struct peer_id id = {{0}};
        cr_assert(peer_id_none(&id));
        id.b[i] = 1;
        cr_assert(!peer_id_none(&id));
    }
}

Test(id, names_are_short_plain_and_never_look_like_a_peer_id)
{
    static const char *const good[] = {"a",     "0",   "bob",          "bob.example.org",
                                       "a_b-c", "9-_", "a..b",         "x.",
                                       "a-",    "a_",  "mzxw6ytbmzxw", "00000000"};
    static const char *const bad[] = {
        "",      ".",        "..",        ".a",  "_a",  "-a",   "-",   "_",    "Bob",
        "boB",   "a b",      " a",        "a ",  "a\n", "a\tb", "a/b", "../a", "a:b",
        "a\"b",  "a'b",      "a\\b",      "a=b", "a,b", "a%n",  "a*",  "a;b",  "a$b",
        "a\x7f", "\xc3\xa4", "a\xc3\xa4", "a+b", "a@b", "a<b",  "a#b", "a~",   "a\x01"};
    char name[NAME_MAX_BYTES + 2];

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert(name_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert(!name_valid(bad[i]), "%s", bad[i]);
    for (size_t n = 1; n <= NAME_MAX_BYTES + 1; n++) {
        memset(name, 'q', n);
        name[n] = '\0';
        cr_assert_eq(name_valid(name), n <= NAME_MAX_BYTES && n != 52, "%zu", n);
    }
}

Test(id, a_mistyped_peer_id_is_no_name_either)
{
    struct peer_id id = {{9}};
    char text[PEER_ID_TEXT];

    peer_id_format(&id, text);
    cr_assert(!name_valid(text));
    text[51] =
        'z'; /* the spare bits set: no id, but somebody could claim it and wait for the typo */
    cr_assert(!peer_id_parse(text, &id));
    cr_assert(!name_valid(text));
    text[20] = '-';
    cr_assert(name_valid(text));
    text[20] = '1';
    cr_assert(name_valid(text));
}
