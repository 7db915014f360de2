/*
 * store_suite.h - what every implementation of lib/store.h must do, case by case.
 *
 * A test of an implementation makes a Test of each: STORE_SUITE(X) lists them.
 */
#ifndef STORE_SUITE_H
#define STORE_SUITE_H

#include "lib/store.h"

/* clang-format off */
#define STORE_SUITE(X) \
    X(gives_back_what_was_put_and_after_reopening_too) \
    X(lets_a_record_expire_but_not_its_name) \
    X(lets_the_later_fence_win_and_refuses_the_older) \
    X(gives_a_name_to_the_first_key_that_claims_it) \
    X(gives_a_key_no_more_names_than_it_may_have) \
    X(remembers_enrolled_keys) \
    X(writes_a_group_together) \
    X(frees_a_name_that_is_released) \
    X(remembers_who_has_had_a_session_with_whom_and_the_latest_so_many) \
    X(adds_up_what_came_of_techniques_for_seven_days)
/* clang-format on */

/* open opens the same data each time, empty at first. */
void store_suite_run(const char *name, struct store *(*open)(void));

#endif
