/* test_verdict.c - the words for outcomes: machine-readable names, complete texts, stable kinds. */
#include "lib/msg.h"
#include "lib/verdict.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static bool well_formed(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && strspn(name, "abcdefghijklmnopqrstuvwxyz-") == n && name[0] != '-' &&
           name[n - 1] != '-' && !strstr(name, "--");
}

Test(verdict, names_are_unique_well_formed_and_fit_their_field)
{
    struct msg m;

    for (unsigned v = 0; v < VERDICT_COUNT; v++) {
        const char *name = verdict_name((enum verdict)v);
        cr_assert(well_formed(name), "%s", name);
        cr_assert_lt(strlen(name), sizeof m.punch_result.verdict, "%s", name);
        cr_assert_lt(strlen(name), sizeof m.punch_refused.verdict, "%s", name);
        cr_assert_lt(strlen(name), sizeof m.punch_coordinate.reason, "%s", name);
        cr_assert_lt(strlen(name), sizeof m.attached.verdict, "%s", name);
        for (unsigned w = 0; w < v; w++)
            cr_assert_str_neq(name, verdict_name((enum verdict)w));
    }
}

Test(verdict, a_verdict_is_found_by_its_exact_name_only)
{
    static const char *const other[] = {"",           "no-such",      "direct",
                                        "UNKNOWN",    "both-random ", "both_random",
                                        "both-rando", "both-randomm"};

    for (unsigned v = 0; v < VERDICT_COUNT; v++)
        cr_assert_eq(verdict_find(verdict_name((enum verdict)v)), v);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        cr_assert_eq(verdict_find(other[i]), VERDICT_unknown, "%s", other[i]);
}

Test(verdict, every_cause_and_remedy_is_one_sentence_without_its_full_stop)
{
    for (unsigned v = 0; v < VERDICT_COUNT; v++) {
        const char *texts[] = {verdict_cause((enum verdict)v), verdict_remedy((enum verdict)v)};
        for (size_t i = 0; i < 2; i++) {
            const char *t = texts[i];
            cr_assert_gt(strlen(t), 10, "%s", verdict_name((enum verdict)v));
            cr_assert_neq(t[strlen(t) - 1], '.', "%s", t);
            cr_assert_neq(t[strlen(t) - 1], ' ', "%s", t);
            cr_assert_null(strpbrk(t, "\"\n\t\\"), "%s", t); /* it is quoted in logs and JSON */
        }
    }
}

/* DESIGN section 7's list, in its order.  It is a contract: nothing here is renamed. */
static const char kinds[] =
    "reflex-timeout peer-not-reachable transport rendezvous-no-relay rendezvous-rejected "
    "punch-failed "
    "port-map-unavailable unsupported timeout unreachable all-ports-failed cancelled not-found "
    "rate-limited not-authorized bad-request overloaded";

Test(verdict, the_kinds_of_failure_are_the_documented_ones)
{
    char all[sizeof kinds], joined[sizeof kinds] = "";
    struct msg m;
    size_t n = 0, len = 0;

    memcpy(all, kinds, sizeof all);
    for (char *save, *k = strtok_r(all, " ", &save); k; k = strtok_r(NULL, " ", &save), n++) {
        cr_assert(well_formed(k));
        cr_assert_lt(strlen(k), sizeof m.punch_result.kind);
        cr_assert(kind_valid(k), "%s", k);
        cr_assert_str_eq(kind_name[n], k);
        len += (size_t)snprintf(joined + len, sizeof joined - len, "%s%s", n ? " " : "", k);
    }
    cr_assert_eq(n, 17);
    cr_assert_str_eq(joined, kinds);
}

Test(verdict, no_other_text_is_a_kind)
{
    static const char *const other[] = {" ",           "Timeout",      "timeout ",
                                        "time",        "timeouts",     "unknown",
                                        "both-random", "punch_failed", "timeout\n"};

    cr_assert(kind_valid(""));
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        cr_assert(!kind_valid(other[i]), "%s", other[i]);
}
