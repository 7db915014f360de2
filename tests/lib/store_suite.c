/* store_suite.c - see store_suite.h. */
#include "tests/lib/store_suite.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct store *(*open_store)(void);
static struct store *s;

static void reopen(void)
{
    store_close(s);
    s = open_store();
}

static struct dir_record record(uint8_t peer, const char *name, uint64_t epoch, uint64_t seq)
{
    struct dir_record r = {
        .peer = {{peer}           },
        .epoch = epoch,
        .seq = seq,
        .attached = true,
        .profile = { .mapping = NAT_EI, .confidence = 90, .port_hi = 65535},
        .expires_ms = 1000,
    };

    msg_text(r.name, sizeof r.name, name);
    return r;
}

static enum store_status put(uint8_t peer, const char *name, uint64_t epoch, uint64_t seq)
{
    struct dir_record r = record(peer, name, epoch, seq);

    return store_put(s, &r);
}

static enum store_status get(uint8_t peer, int64_t wall_ms, struct dir_record *out)
{
    struct peer_id id = {{peer}};

    return store_get(s, &id, wall_ms, out);
}

static void gives_back_what_was_put_and_after_reopening_too(void)
{
    struct dir_record r;

    cr_assert_eq(put(1, "alice", 5, 2), STORE_OK);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(get(1, 999, &r), STORE_OK);
        cr_assert(strcmp(r.name, "alice") == 0 && r.epoch == 5 && r.seq == 2 && r.attached);
        cr_assert(r.profile.mapping == NAT_EI && r.profile.port_hi == 65535 &&
                  r.expires_ms == 1000);
        cr_assert_eq(store_get_name(s, "alice", 999, &r), STORE_OK);
        cr_assert_eq(r.peer.b[0], 1);
        reopen();
    }
    cr_assert_eq(get(2, 0, &r), STORE_NOT_FOUND);
    cr_assert_eq(store_get_name(s, "bob", 0, &r), STORE_NOT_FOUND);
}

static void lets_a_record_expire_but_not_its_name(void)
{
    struct dir_record r;

    put(1, "alice", 5, 2);
    put(2, "", 5, 3);
    cr_assert_eq(get(1, 1000, &r), STORE_OK);
    cr_assert(!r.attached && strcmp(r.name, "alice") == 0);
    cr_assert_eq(get(2, 1000, &r), STORE_NOT_FOUND);
    cr_assert_eq(store_sweep(s, 999, 10), 0);
    cr_assert_eq(store_sweep(s, 1000, 1), 1);
    cr_assert_eq(store_sweep(s, 1000, 10), 1);
    cr_assert_eq(store_get_name(s, "alice", 1000, &r), STORE_OK);
    cr_assert(!r.attached && r.peer.b[0] == 1);
    cr_assert_eq(put(3, "alice", 9, 9), STORE_NAME_TAKEN);
}

static void lets_the_later_fence_win_and_refuses_the_older(void)
{
    struct dir_record r;

    cr_assert_eq(put(1, "", 5, 2), STORE_OK);
    cr_assert_eq(put(1, "", 5, 2), STORE_OK);
    cr_assert_eq(put(1, "", 5, 1), STORE_STALE);
    cr_assert_eq(put(1, "", 4, 9), STORE_STALE);
    cr_assert_eq(put(1, "", 6, 1), STORE_OK);
    cr_assert_eq(put(1, "", UINT64_MAX, 1), STORE_OK);
    cr_assert_eq(put(1, "", UINT64_MAX - 1, 2), STORE_STALE);
    cr_assert_eq(get(1, 0, &r), STORE_OK);
    cr_assert(r.epoch == UINT64_MAX && r.seq == 1);
}

static void gives_a_name_to_the_first_key_that_claims_it(void)
{
    struct dir_record r;

    cr_assert_eq(put(1, "alice", 1, 1), STORE_OK);
    cr_assert_eq(put(2, "alice", 1, 2), STORE_NAME_TAKEN);
    cr_assert_eq(get(2, 0, &r), STORE_NOT_FOUND); /* nothing of it was written */
    cr_assert_eq(put(1, "alicia", 1, 3), STORE_OK);
    cr_assert_eq(put(2, "alice", 1, 4), STORE_NAME_TAKEN); /* the first one is still its own */
    cr_assert_eq(put(1, "zoe", 0, 1), STORE_STALE);
    cr_assert_eq(store_get_name(s, "zoe", 0, &r), STORE_NOT_FOUND);
}

static void gives_a_key_no_more_names_than_it_may_have(void)
{
    char name[NAME_MAX_BYTES + 1];
    struct dir_record r;

    for (unsigned i = 0; i < NAMES_PER_KEY; i++) {
        snprintf(name, sizeof name, "n%u", i);
        cr_assert_eq(put(1, name, 1, 1 + i), STORE_OK);
    }
    cr_assert_eq(put(1, "one-more", 2, 1), STORE_NAMES_SPENT);
    cr_assert_eq(store_get_name(s, "one-more", 0, &r), STORE_NOT_FOUND);
    cr_assert_eq(put(1, "n0", 2, 2), STORE_OK); /* those that it has stay its own */
    cr_assert_eq(put(2, "one-more", 2, 3), STORE_OK);
    cr_assert_eq(store_release_name(s, "n3"), STORE_OK);
    cr_assert_eq(put(1, "another", 2, 4), STORE_OK);
}

static bool count(void *arg, const struct peer_id *peer)
{
    unsigned *n = arg;

    return ++*n < 3 && peer;
}

static void remembers_enrolled_keys(void)
{
    struct dir_record r;
    unsigned n = 0;

    for (uint8_t i = 1; i <= 2; i++)
        for (int twice = 0; twice < 2; twice++)
            cr_assert_eq(store_put_enrolled(s, &(struct peer_id){{i}}), STORE_OK);
    reopen();
    cr_assert_eq(store_is_enrolled(s, &(struct peer_id){{1}}), STORE_OK);
    cr_assert_eq(store_is_enrolled(s, &(struct peer_id){{9}}), STORE_NOT_FOUND);
    cr_assert_eq(store_list_enrolled(s, count, &n), STORE_OK);
    cr_assert_eq(n, 2);
    cr_assert_eq(get(1, 0, &r), STORE_OK); /* known, though it never attached */
    cr_assert(!r.attached);
}

static void writes_a_group_together(void)
{
    struct dir_record r;

    cr_assert_eq(store_begin(s), STORE_OK);
    for (uint8_t i = 1; i < 100; i++)
        cr_assert_eq(put(i, "", 1, i), STORE_OK);
    cr_assert_eq(put(1, "", 0, 0), STORE_STALE); /* a refusal takes nothing else with it */
    cr_assert_eq(store_commit(s), STORE_OK);
    cr_assert_eq(store_commit(s), STORE_OK); /* nothing is open: nothing to do */
    reopen();
    cr_assert_eq(get(99, 0, &r), STORE_OK);
}

static void frees_a_name_that_is_released(void)
{
    struct dir_record r;

    put(1, "alice", 1, 1);
    cr_assert_eq(store_release_name(s, "alice"), STORE_OK);
    cr_assert_eq(store_release_name(s, "alice"), STORE_NOT_FOUND);
    cr_assert_eq(store_get_name(s, "alice", 0, &r), STORE_NOT_FOUND);
    cr_assert_eq(get(1, 0, &r), STORE_OK); /* it is attached as before, without a name */
    cr_assert(r.attached && r.name[0] == '\0');
    cr_assert_eq(put(2, "alice", 1, 2), STORE_OK);
    cr_assert_eq(put(1, "alice", 1, 3), STORE_NAME_TAKEN);
}

static struct peer_id numbered(uint32_t n)
{
    struct peer_id id = {{3}};

    memcpy(id.b + 4, &n, sizeof n);
    return id;
}

static void remembers_who_has_had_a_session_with_whom_and_the_latest_so_many(void)
{
    struct peer_id a = numbered(0), b = numbered(1), last = numbered(STORE_CONTACTS_MAX + 1);

    cr_assert_eq(store_is_contact(s, &a, &b), STORE_NOT_FOUND);
    cr_assert_eq(store_put_contact(s, &a, &b, 1), STORE_OK);
    reopen();
    cr_assert_eq(store_is_contact(s, &a, &b), STORE_OK);
    cr_assert_eq(store_is_contact(s, &b, &a), STORE_OK);
    cr_assert_eq(store_is_contact(s, &b, &last), STORE_NOT_FOUND);
    cr_assert_eq(store_begin(s), STORE_OK);
    for (uint32_t i = 2; i <= STORE_CONTACTS_MAX + 1; i++) {
        struct peer_id other = numbered(i);
        cr_assert_eq(store_put_contact(s, &a, &other, i), STORE_OK);
        cr_assert_eq(store_put_contact(s, &a, &other, i), STORE_OK); /* again is once */
    }
    cr_assert_eq(store_commit(s), STORE_OK);
    cr_assert_eq(store_is_contact(s, &a, &b), STORE_NOT_FOUND); /* met longest ago */
    cr_assert_eq(store_is_contact(s, &a, &last), STORE_OK);
    cr_assert_eq(store_is_contact(s, &b, &a), STORE_OK); /* b has few */
}

static enum store_status outcome(uint8_t key, uint8_t technique, bool hit, int64_t wall_ms)
{
    struct outcome o = {.key = {{key}}, .technique = technique, .hit = hit};

    return store_put_outcome(s, &o, wall_ms);
}

static void adds_up_what_came_of_techniques_for_seven_days(void)
{
    struct history_key one = {{1}}, two = {{2}};
    struct history h;

    cr_assert_eq(store_get_history(s, &one, 0, &h), STORE_NOT_FOUND);
    cr_assert_eq(outcome(1, TECHNIQUE_HOST, false, 1000), STORE_OK);
    cr_assert_eq(store_begin(s), STORE_OK);
    cr_assert_eq(outcome(1, TECHNIQUE_HOST, false, 2000),
                 STORE_OK); /* each sees the one before it */
    cr_assert_eq(outcome(1, TECHNIQUE_SYNCHRONOUS, true, 3000), STORE_OK);
    cr_assert_eq(store_commit(s), STORE_OK);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(store_get_history(s, &one, 4000, &h), STORE_OK);
        cr_assert(h.by[TECHNIQUE_HOST].misses == 2 && h.by[TECHNIQUE_HOST].hits == 0);
        cr_assert(h.by[TECHNIQUE_SYNCHRONOUS].hits == 1 &&
                  h.by[TECHNIQUE_SYNCHRONOUS].last_ms == 3000);
        reopen();
    }
    cr_assert_eq(store_get_history(s, &two, 4000, &h), STORE_NOT_FOUND);
    cr_assert_eq(store_get_history(s, &one, 2000 + HISTORY_TTL_MS, &h), STORE_OK);
    cr_assert(h.by[TECHNIQUE_HOST].misses == 0 && h.by[TECHNIQUE_SYNCHRONOUS].hits == 1);
    cr_assert_eq(store_get_history(s, &one, 3000 + HISTORY_TTL_MS, &h), STORE_NOT_FOUND);
}

void store_suite_run(const char *name, struct store *(*open)(void))
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
#define X(name) {#name, name},
        STORE_SUITE(X)
#undef X
    };

    open_store = open;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, name) == 0) {
            s = open();
            cases[i].run();
            store_close(s);
            return;
        }
    cr_assert_fail("no such case: %s", name);
}
