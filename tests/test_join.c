/* test_join.c - the join string: a round trip, and every way in which a paste goes wrong. */
#include "lib/join.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

static char text[JOIN_TEXT_MAX], err[JOIN_ERROR_MAX];

TestSuite(join, .timeout = 20);

static struct join example(uint8_t n)
{
    struct join j = {.n = n};

    for (uint8_t i = 0; i < n; i++) {
        if (i % 2 == 0)
            j.front[i] = addr_v4(192, 0, 2, (uint8_t)(i + 1), 7440);
        else
            addr_parse("[2001:db8:ffff:ffff:ffff:ffff:ffff:1]:7440", &j.front[i]);
        j.enrol[i] = j.front[i];
        j.enrol[i].port = 7442;
    }
    for (uint8_t i = 0; i < 32; i++) {
        j.coordinator_key[i] = (uint8_t)(i + 100);
        j.authority[i] = (uint8_t)(i + 200);
        j.token[i / 2] = i;
    }
    return j;
}

static void expect_refused(const char *paste, const char *why)
{
    struct join out, before;

    memset(&out, 0xa5, sizeof out);
    before = out;
    cr_assert_not(join_parse(paste, &out, err), "%s", paste);
    cr_assert(strstr(err, why), "\"%s\" does not say \"%s\"", err, why);
    cr_assert_eq(memcmp(&out, &before, sizeof out), 0, "out is untouched");
}

Test(join, comes_back_as_it_was_for_every_number_of_coordinators)
{
    for (uint8_t n = 1; n <= JOIN_COORDINATORS_MAX; n++) {
        struct join j = example(n), back;
        memset(&back, 0xa5, sizeof back);
        cr_assert(join_parse(join_format(&j, text), &back, err), "%s", err);
        cr_assert_eq(back.n, n);
        for (uint8_t i = 0; i < n; i++) {
            cr_assert(addr_eq(&back.front[i], &j.front[i]));
            cr_assert(addr_eq(&back.enrol[i], &j.enrol[i]));
        }
        cr_assert_eq(memcmp(back.coordinator_key, j.coordinator_key, 32), 0);
        cr_assert_eq(memcmp(back.authority, j.authority, 32), 0);
        cr_assert_eq(memcmp(back.token, j.token, sizeof j.token), 0);
    }
}

Test(join, the_longest_one_fits_its_limit)
{
    struct join j = example(JOIN_COORDINATORS_MAX), back;

    for (uint8_t i = 0; i < j.n; i++) {
        addr_parse("[2001:db8::1]:65535", &j.front[i]);
        j.enrol[i] = j.front[i];
    }
    cr_assert_eq(strlen(join_format(&j, text)), JOIN_TEXT_MAX - 1);
    cr_assert(join_parse(text, &back, err));
}

Test(join, is_one_word_that_a_shell_leaves_alone)
{
    struct join j = example(4);

    join_format(&j, text);
    cr_assert_eq(strncmp(text, "nj1", 3), 0);
    cr_assert_eq(strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
                 strlen(text));
}

Test(join, blanks_and_line_ends_around_it_do_not_matter)
{
    char paste[JOIN_PASTE_MAX];
    struct join j = example(1), back;

    snprintf(paste, sizeof paste, " \r\n\t%s \v\f\r\n\n", join_format(&j, text));
    cr_assert(join_parse(paste, &back, err), "%s", err);
    cr_assert_eq(memcmp(back.token, j.token, sizeof j.token), 0);
}

Test(join, a_paste_that_was_cut_short_says_so_at_every_length)
{
    for (uint8_t n = 1; n <= JOIN_COORDINATORS_MAX; n++) {
        struct join j = example(n);
        join_format(&j, text);
        for (size_t len = strlen(text) - 1; len > 0; len--) {
            char says[48];
            text[len] = '\0';
            snprintf(says, sizeof says, "cut short after %zu", len);
            expect_refused(text, says);
        }
        expect_refused("", "is empty");
    }
}

Test(join, a_paste_whose_beginning_is_missing_says_so_at_every_length)
{
    struct join j = example(1);

    join_format(&j, text);
    for (size_t i = 1; text[i]; i++)
        expect_refused(text + i, "does not begin with nj1");
}

Test(join, no_changed_character_goes_unnoticed)
{
    static const char alphabet[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_ \n=+/.\x80\xff";

    for (uint8_t n = 1; n <= JOIN_COORDINATORS_MAX; n++) {
        struct join j = example(n), out;
        join_format(&j, text);
        size_t len = strlen(text);
        for (size_t i = 0; i < len; i++)
            for (const char *c = alphabet; *c; c++) {
                char was = text[i];
                /* A blank at either end is trimmed: then it is a lost character, found as such. */
                text[i] = *c;
                cr_assert(*c == was || !join_parse(text, &out, err), "%zu %c", i, *c);
                cr_assert(*c == was || *err);
                text[i] = was;
            }
    }
}

Test(join, two_swapped_characters_are_noticed)
{
    struct join j = example(1), out;

    join_format(&j, text);
    for (size_t i = 0; text[i + 1]; i++) {
        char a = text[i], b = text[i + 1];
        text[i] = b, text[i + 1] = a;
        cr_assert(a == b || !join_parse(text, &out, err));
        text[i] = a, text[i + 1] = b;
    }
}

Test(join, an_addition_says_so)
{
    for (uint8_t n = 1; n <= JOIN_COORDINATORS_MAX; n++) {
        struct join j = example(n);
        char paste[2 * JOIN_TEXT_MAX];
        for (size_t extra = 1; extra < 9; extra++) {
            snprintf(paste, sizeof paste, "%s%.*s", join_format(&j, text), (int)extra, "AAAAAAAAA");
            expect_refused(paste, "something after its end");
        }
        snprintf(paste, sizeof paste, "%s%s", text, text);
        expect_refused(paste, "something after its end");
    }
}

Test(join, another_version_says_so)
{
    struct join j = example(1);
    uint8_t raw[JOIN_BYTES_MAX], hash[32];
    size_t len;

    join_format(&j, text);
    text[2] = '2';
    expect_refused(text, "is of version 2");
    cr_assert_eq(sodium_base642bin(raw, sizeof raw, text + 3, strlen(text + 3), NULL, &len, NULL,
                                   sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                 0);
    raw[0] = 2;
    crypto_generichash(hash, sizeof hash, raw, len - 4, NULL, 0);
    memcpy(raw + len - 4, hash, 4);
    text[2] = '1';
    sodium_bin2base64(text + 3, sizeof text - 3, raw, len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    expect_refused(text, "of a version that this program can't read");
}

/* Contents that no join_format writes, with a right checksum: the reader must not rely on the writer. */
Test(join, nonsense_with_a_right_checksum_is_refused)
{
    static const struct {
        size_t at;
        uint8_t value[4];
        size_t n;
    } change[] = {
        {1, {0},          1},
        {1, {5},          1},
        {1, {255},        1},
        {2, {5},          1},
        {3, {0, 0, 0, 0}, 4},
        {7, {0, 0},       2},
        {9, {0, 0},       2}
    };

    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        struct join j = example(1);
        uint8_t raw[JOIN_BYTES_MAX], hash[32];
        size_t len;
        join_format(&j, text);
        cr_assert_eq(sodium_base642bin(raw, sizeof raw, text + 3, strlen(text + 3), NULL, &len,
                                       NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
        memcpy(raw + change[i].at, change[i].value, change[i].n);
        crypto_generichash(hash, sizeof hash, raw, len - 4, NULL, 0);
        memcpy(raw + len - 4, hash, 4);
        sodium_bin2base64(text + 3, sizeof text - 3, raw, len,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        expect_refused(text, "garbled");
    }
}

Test(join, an_endless_paste_is_read_to_its_limit_only)
{
    static char paste[JOIN_PASTE_MAX + 2];

    memset(paste, ' ', JOIN_PASTE_MAX + 1);
    expect_refused(paste, "too long");
    paste[JOIN_PASTE_MAX] = '\0';
    expect_refused(paste, "is empty");
    memset(paste, 'A', JOIN_PASTE_MAX);
    memcpy(paste, "nj1", 3);
    expect_refused(paste, "garbled");
    expect_refused("http://example.com/", "does not begin with nj1");
}

Test(join, random_bytes_in_its_clothes_are_refused)
{
    uint8_t seed[randombytes_SEEDBYTES] = {0}, raw[JOIN_BYTES_MAX];
    struct join out;

    for (uint32_t i = 0; i < 20000; i++) {
        memcpy(seed, &i, sizeof i);
        randombytes_buf_deterministic(raw, sizeof raw, seed);
        raw[0] = 1, raw[1] = (uint8_t)(raw[1] % 5), raw[2] = i % 2 ? 4 : 6;
        strcpy(text, "nj1");
        sodium_bin2base64(text + 3, sizeof text - 3, raw, raw[5] % sizeof raw,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        cr_assert_not(join_parse(text, &out, err));
        cr_assert(*err);
    }
}
