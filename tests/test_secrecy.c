/*
 * test_secrecy.c - what of a session's keys is left anywhere: two whole peers in virtual time, and a search
 * through all of an executor's memory.
 */
#include "tests/sim/world.h"

#include <criterion/criterion.h>
#include <string.h>

enum { SECOND = 1000000, KEYS_MAX = 8 };

static struct world w;
static struct {
    uint8_t key[32];
    const char *name;
} keys[KEYS_MAX];
static size_t n_keys;

TestSuite(secrecy, .timeout = 60);

static void note(const uint8_t key[static 32], const char *name)
{
    memcpy(keys[n_keys].key, key, 32);
    keys[n_keys++].name = name;
}

/* How often these 32 bytes are in the memory of this peer's core. */
static size_t found(size_t peer, const uint8_t key[static 32])
{
    const uint8_t *at = (const uint8_t *)&w.peers[peer].core;
    const uint8_t *end = at + sizeof w.peers[peer].core;
    size_t n = 0;

    while ((at = memmem(at, (size_t)(end - at), key, 32)) != NULL)
        n++, at++;
    return n;
}

/* Two peers with a path, by this policy, a wall between them or not; returns side 0's
 * attempt. */
static const struct attempt *pair(enum policy policy, bool wall)
{
    struct world_conf c = world_two("ei/preserve/apd", "ei/random/apd", 7);

    world_open(&w, &c);
    w.wall = wall;
    world_run(&w, 2 * SECOND);
    size_t r = world_connect(&w, 0, 1, policy, 15 * SECOND);
    world_run(&w, w.now_us + (wall ? 16 : 3) * SECOND);
    cr_assert(w.results[r].settled);
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        if (w.peers[0].core.attempts[i].nonce == w.results[r].nonce)
            return &w.peers[0].core.attempts[i];
    return NULL;
}

Test(secrecy, a_closed_session_leaves_no_key_in_memory_of_either_side)
{
    const struct attempt *a = pair(POLICY_AUTO, false);

    cr_assert_not_null(a);
    cr_assert(a->has_keys);
    note(a->send.key, "what side 0 seals with");
    note(a->receive.key, "what side 1 seals with");
    note(a->punch_key[0], "side 0's punches");
    note(a->punch_key[1], "side 1's punches");
    note(a->relay.ticket + 40, "the ticket");
    for (size_t k = 0; k < n_keys; k++)
        cr_assert_gt(found(0, keys[k].key), 0, "%s is where the test thinks", keys[k].name);
    world_end(&w, 0, (uint32_t)(a - w.peers[0].core.attempts), APP_CLOSE);
    world_run(&w, w.now_us + SECOND);
    for (size_t k = 0; k < n_keys; k++)
        for (size_t p = 0; p < 2; p++)
            cr_assert_eq(found(p, keys[k].key), 0, "%s, peer %zu", keys[k].name, p);
    for (size_t p = 0; p < 2; p++)
        cr_assert_eq(found(p, w.peers[p].conf.secret), 1, "the own key is in its one place alone");
    world_close(&w);
}

Test(secrecy, an_attempt_that_came_to_nothing_leaves_no_handshake)
{
    const struct attempt *a;

    a = pair(POLICY_DIRECT, true);
    if (a) /* it may be forgotten by now */
        cr_assert_neq(a->state, ATTEMPT_DIRECT);
    world_run(&w, w.now_us + 20 * SECOND);
    for (size_t p = 0; p < 2; p++)
        cr_assert_eq(found(p, w.peers[p].conf.secret), 1, "peer %zu", p);
    world_close(&w);
}

Test(secrecy, a_long_session_changes_its_keys_and_loses_nothing)
{
    const struct attempt *a = pair(POLICY_AUTO, false);
    uint64_t sent = 0;

    note(a->send.key, "the first");
    for (unsigned i = 0; i < 60; i++) {
        world_send(&w, 0, (uint32_t)(a - w.peers[0].core.attempts), "hello", 5);
        sent++;
        world_run(&w, w.now_us + 10 * SECOND);
    }
    cr_assert_eq(w.peers[1].received, sent);
    cr_assert_geq(a->send.counter >> REKEY_BITS, 4);
    cr_assert_eq(found(0, keys[0].key) + found(1, keys[0].key), 0, "the first key is gone");
    world_close(&w);
}
