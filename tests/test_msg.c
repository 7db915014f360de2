/* test_msg.c - properties of the codec that hold for every message in the schema. */
#include "lib/msg.h"
#include "tests/lib/random_msg.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct rng rng;

static void setup(void) { rng_seed(&rng, 1); }

static struct msg random_msg(enum msg_type type) { return msg_random(&rng, type); }

TestSuite(msg, .init = setup, .timeout = 120);

Test(msg, what_is_encoded_is_decoded)
{
    for (unsigned i = 0; i < 20000; i++) {
        struct msg in = random_msg(i % MSG_TYPE_COUNT), back;
        char buf[MSG_SIZE_MAX];
        const char *field = "?";
        size_t len = msg_encode(&in, buf);

        cr_assert_eq(msg_decode_exact(&back, in.type, buf, len, &field), MSG_OK, "%s",
                     msg_name[in.type]);
        cr_assert_null(field);
        cr_assert_eq(memcmp(&in, &back, sizeof in), 0, "%s", msg_name[in.type]);
    }
}

Test(msg, the_largest_of_every_message_fits_its_limit)
{
    for (unsigned type = 0; type < MSG_TYPE_COUNT; type++)
        for (unsigned i = 0; i < 50; i++) {
            struct msg in = msg_random_full(&rng, (enum msg_type)type), back;
            char buf[MSG_SIZE_MAX];
            size_t len = msg_encode(&in, buf);

            cr_assert_leq(len, MSG_SIZE_MAX, "%s", msg_name[type]);
            cr_assert_eq(msg_decode_exact(&back, in.type, buf, len, NULL), MSG_OK, "%s",
                         msg_name[type]);
            cr_assert_eq(memcmp(&in, &back, sizeof in), 0, "%s", msg_name[type]);
        }
}

Test(msg, a_truncated_or_corrupted_body_is_an_error_never_a_crash)
{
    for (unsigned i = 0; i < 20000; i++) {
        struct msg in = random_msg(i % MSG_TYPE_COUNT), back;
        char buf[MSG_SIZE_MAX], text[512];
        size_t len = msg_encode(&in, buf);

        cr_assert_neq(msg_decode_exact(&back, in.type, buf, rng_below(&rng, len), NULL), MSG_OK);
        for (int flips = 0; flips < 3; flips++) {
            buf[rng_below(&rng, len)] ^= (char)(1 << rng_below(&rng, 8));
            if (msg_decode_exact(&back, in.type, buf, len, NULL) == MSG_OK)
                msg_format(&back, text, sizeof text); /* what was accepted can be printed */
        }
    }
}

Test(msg, every_truncation_is_an_error)
{
    for (unsigned type = 0; type < MSG_TYPE_COUNT; type++) {
        struct msg in = random_msg((enum msg_type)type), back;
        char buf[MSG_SIZE_MAX];
        size_t len = msg_encode(&in, buf);

        for (size_t n = 0; n < len; n++)
            cr_assert_neq(msg_decode_exact(&back, in.type, buf, n, NULL), MSG_OK, "%s %zu",
                          msg_name[type], n);
    }
}

Test(msg, random_bytes_are_refused)
{
    struct msg m;
    char buf[MSG_SIZE_MAX];

    for (unsigned i = 0; i < 50000; i++) {
        size_t len = rng_below(&rng, 200);
        rng_bytes(&rng, buf, len);
        cr_assert_neq(msg_decode_exact(&m, i % MSG_TYPE_COUNT, buf, len, NULL), MSG_OK);
    }
    for (unsigned tag = 0; tag < 256; tag++)
        for (unsigned i = 0; i < 50; i++) { /* every kind of object, short of its bytes */
            size_t len = rng_below(&rng, 24);
            rng_bytes(&rng, buf, len);
            buf[0] = (char)tag;
            cr_assert_neq(msg_decode_exact(&m, MSG_detach, buf, len, NULL), MSG_OK);
        }
}

Test(msg, bytes_behind_the_body_are_refused)
{
    struct msg in = random_msg(MSG_detach), back;
    char buf[MSG_SIZE_MAX + 1];
    size_t len = msg_encode(&in, buf);

    for (int c = 0; c < 256; c++) {
        buf[len] = (char)c;
        cr_assert_eq(msg_decode_exact(&back, MSG_detach, buf, len + 1, NULL), MSG_MALFORMED);
    }
}

Test(msg, only_names_of_messages_are_types)
{
    static const char *const other[] = {"", "attac", "attachx", "ATTACH", "attach ", "none", "%s"};
    struct msg m;

    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        cr_assert_eq(msg_decode(&m, other[i], "\x80", 1, NULL), MSG_UNKNOWN_TYPE, "%s", other[i]);
}

/* ---- bombs ----------------------------------------------------------------------------------------- */

/* The most memory this process ever had, in kB. */
static long peak_kb(void)
{
    char line[128];
    long kb = -1;
    FILE *f = fopen("/proc/self/status", "r");

    cr_assert(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmPeak: %ld", &kb) == 1)
            break;
    fclose(f);
    return kb;
}

Test(msg, a_short_body_cannot_claim_a_huge_array)
{
    static const struct {
        size_t len;
        const char *body;
    } bombs[] = {
        {5, "\xdd\xff\0\0\0"          }, /* 4 billion objects, 137 GB */
        {5, "\xdd\x01\0\0\0"          }, /* 16 million, 402 MB */
        {5, "\xdf\xff\xff\xff\xff"    }, /* a map */
        {5, "\xdf\0\x80\0\0"          }, /* a map of 8 million pairs */
        {3, "\xdc\xff\xff"            }, /* array 16 */
        {3, "\xde\xff\xff"            }, /* map 16 */
        {1, "\x9f"                    }, /* fixarray of 15 */
        {1, "\x8f"                    }, /* fixmap of 15 */
        {7, "\x81\xc0\xdd\x01\0\0\0"  }, /* as a value */
        {7, "\x81\xdd\x01\0\0\0\xc0"  }, /* as a key */
        {5, "\xc6\xff\xff\xff\xff"    }, /* bin 32 */
        {5, "\xdb\xff\xff\xff\xff"    }, /* str 32 */
        {6, "\xc9\xff\xff\xff\xff\x01"}  /* ext 32 */
    };
    struct msg m;
    long before = peak_kb();

    for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++) {
        cr_assert_eq(msg_decode_exact(&m, MSG_relay_usage, bombs[i].body, bombs[i].len, NULL),
                     MSG_MALFORMED, "bomb %zu", i);
        /* Padded, so that each level claims no more than there are bytes, but all of them together. */
        char padded[MSG_SIZE_MAX];
        memset(padded, 0xdd, sizeof padded);
        memcpy(padded, bombs[i].body, bombs[i].len);
        msg_decode_exact(&m, MSG_relay_usage, padded, sizeof padded, NULL);
    }
    cr_assert_lt(peak_kb() - before, 100000, "refused before anything was allocated");
}

Test(msg, many_arrays_that_share_the_same_bytes_are_refused)
{
    char body[MSG_SIZE_MAX];
    struct msg m;

    /* Nested arrays, each of which claims all the bytes that follow. */
    for (size_t i = 0; i + 3 <= sizeof body; i += 3) {
        size_t left = sizeof body - i - 3;
        body[i] = (char)0xdc, body[i + 1] = (char)(left >> 8), body[i + 2] = (char)left;
    }
    cr_assert_eq(msg_decode_exact(&m, MSG_detach, body, sizeof body, NULL), MSG_MALFORMED);
    /* Empty maps all the way: as many objects as bytes, at one depth. */
    memset(body, 0x80, sizeof body);
    body[0] = (char)0xdc, body[1] = (MSG_SIZE_MAX - 3) >> 8, body[2] = (char)(MSG_SIZE_MAX - 3);
    cr_assert_eq(msg_decode_exact(&m, MSG_detach, body, sizeof body, NULL), MSG_MALFORMED);
}

/* A relay_usage whose unknown field nests arrays (or maps) to this depth under the outermost map. */
static enum msg_err decode_nested(unsigned char tag, size_t depth)
{
    struct msg in = random_msg(MSG_detach), back;
    char body[MSG_SIZE_MAX];
    size_t len = msg_encode(&in, body);

    body[0]++; /* one more field in the fixmap */
    body[len++] = (char)0xa1, body[len++] = 'x';
    for (size_t i = 0; i < depth; i++) {
        body[len++] = (char)tag;
        if (tag == 0x81)
            body[len++] = 'k';
    }
    body[len++] = (char)0xc0;
    return msg_decode_exact(&back, MSG_detach, body, len, NULL);
}

Test(msg, nesting_deeper_than_eight_is_refused)
{
    for (size_t depth = 0; depth < 1000; depth = depth < 20 ? depth + 1 : depth * 2) {
        cr_assert_eq(decode_nested(0x91, depth), depth + 1 <= 8 ? MSG_OK : MSG_MALFORMED, "%zu",
                     depth);
        cr_assert_eq(decode_nested(0x81, depth), depth + 1 <= 8 ? MSG_OK : MSG_MALFORMED, "%zu",
                     depth);
    }
}

Test(msg, a_body_larger_than_the_limit_is_refused)
{
    struct msg in = random_msg(MSG_detach), back;
    char *body = malloc(2 * MSG_SIZE_MAX);

    for (size_t total = MSG_SIZE_MAX - 2; total <= MSG_SIZE_MAX + 2; total++) {
        size_t len = msg_encode(&in, body);
        body[0]++;
        body[len++] = (char)0xa1, body[len++] = 'x';
        size_t fill = total - len - 3;
        body[len++] = (char)0xc5, body[len++] = (char)(fill >> 8), body[len++] = (char)fill;
        memset(body + len, 7, fill);
        cr_assert_eq(msg_decode_exact(&back, MSG_detach, body, len + fill, NULL),
                     total <= MSG_SIZE_MAX ? MSG_OK : MSG_MALFORMED, "%zu", total);
    }
    free(body);
}

/* ---- routes ------------------------------------------------------------------------------------------ */

Test(msg, nobody_else_may_send)
{
    static const struct {
        enum msg_type type;
        enum role from, to;
    } routes[] = {
        {MSG_enrol,            SERVICE_executor,    SERVICE_coordinator},
        {MSG_attached,         SERVICE_coordinator, SERVICE_executor   },
        {MSG_reflex_report,    SERVICE_executor,    SERVICE_coordinator},
        {MSG_reflex_report,    SERVICE_coordinator, SERVICE_classifier },
        {MSG_nat_profile,      SERVICE_classifier,  SERVICE_coordinator},
        {MSG_nat_profile,      SERVICE_coordinator, SERVICE_executor   },
        {MSG_punch_coordinate, SERVICE_coordinator, SERVICE_executor   },
        {MSG_punch_cancel,     SERVICE_executor,    SERVICE_coordinator},
        {MSG_punch_cancel,     SERVICE_coordinator, SERVICE_executor   },
        {MSG_prober_hello,     SERVICE_prober,      SERVICE_coordinator},
        {MSG_prober_hello,     SERVICE_prober,      SERVICE_classifier },
        {MSG_prober_hello,     SERVICE_prober,      SERVICE_prober     },
        {MSG_relay_usage,      SERVICE_relay,       SERVICE_coordinator},
    };
    enum { N = sizeof routes / sizeof routes[0] };

    for (size_t i = 0; i < N; i++)
        for (unsigned from = 0; from < SERVICE_COUNT; from++)
            for (unsigned to = 0; to < SERVICE_COUNT; to++) {
                bool want = false;
                for (size_t j = 0; j < N; j++)
                    want = want || (routes[j].type == routes[i].type && routes[j].from == from &&
                                    routes[j].to == to);
                cr_assert_eq(msg_routed(routes[i].type, (enum role)from, (enum role)to), want,
                             "%s %s -> %s", msg_name[routes[i].type], service_name[from],
                             service_name[to]);
            }
}

Test(msg, every_message_has_a_sender_and_nobody_is_not_one)
{
    for (unsigned type = 0; type <= MSG_TYPE_COUNT; type++) {
        unsigned n = 0;
        for (unsigned from = 0; from < SERVICE_COUNT; from++)
            for (unsigned to = 0; to < SERVICE_COUNT; to++) {
                bool may = msg_routed((enum msg_type)type, (enum role)from, (enum role)to);
                n += may;
                bool lends = from == SERVICE_prober && to == SERVICE_prober; /* to its like */
                cr_assert(!may || (from != SERVICE_none && to != SERVICE_none));
                cr_assert(!may || lends || from != to);
                cr_assert(!may || lends || from == SERVICE_coordinator ||
                          to == SERVICE_coordinator || to == SERVICE_classifier);
            }
        cr_assert_eq(n > 0, type < MSG_TYPE_COUNT);
    }
}

/* ---- text --------------------------------------------------------------------------------------------- */

Test(msg, the_printed_form_is_cut_to_fit_and_always_ends)
{
    for (unsigned type = 0; type < MSG_TYPE_COUNT; type++) {
        struct msg m = msg_random_full(&rng, (enum msg_type)type);
        char full[16384];
        msg_format(&m, full, sizeof full);
        size_t len = strlen(full), name = strlen(msg_name[type]);
        cr_assert_lt(len, sizeof full - 1);
        cr_assert_eq(strncmp(full, msg_name[type], name), 0);
        for (size_t cap = 1; cap <= len + 2; cap = cap < 300 ? cap + 1 : cap * 3 / 2) {
            char *exact = malloc(cap);
            msg_format(&m, exact, cap);
            cr_assert_eq(strnlen(exact, cap), len < cap ? len : cap - 1);
            cr_assert_eq(strncmp(exact, full, cap - 1), 0);
            free(exact);
        }
    }
}

Test(msg, the_printed_form_names_every_field)
{
    struct msg m = {.type = MSG_punch_ack};

    m.punch_ack.session = (struct sid){
        {0xab, 1}
    };
    m.punch_ack.technique = 4;
    m.punch_ack.remote = addr_v4(192, 0, 2, 1, 5);
    m.punch_ack.after_us = 4294967295;
    char text[256];
    msg_format(&m, text, sizeof text);
    cr_assert_str_eq(text, "punch_ack session=ab010000000000000000000000000000 technique=4 "
                           "remote=192.0.2.1:5 after_us=4294967295");
}

Test(msg, text_fields_are_filled_to_their_end)
{
    for (size_t cap = 1; cap < 8; cap++) {
        char field[8];
        memset(field, 'x', sizeof field);
        msg_text(field, cap, "abcd");
        cr_assert_eq(strlen(field), cap <= 4 ? cap - 1 : 4);
        cr_assert_eq(strncmp(field, "abcd", cap - 1), 0);
        for (size_t i = 4; i < cap; i++)
            cr_assert_eq(field[i], '\0');
        cr_assert_eq(field[cap], 'x');
    }
}
