/* second_relay.c - see second_relay.h. */
#include "tests/lib/second_relay.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { LOOKS_MAX = 5000 };

const char *second_relay_path(const struct ground *g, const char *name)
{
    static char path[8][128];
    static unsigned next;
    char *p = path[next++ % 8];

    snprintf(p, sizeof path[0], "%s/%s", g->dir, name);
    return p;
}

void second_relay_wait(struct ground *g, size_t n)
{
    size_t alive = 0;

    for (int i = 0; i < LOOKS_MAX; i++) {
        json_t *list = ground_admin(g, "relays", NULL), *one;
        size_t at;
        alive = 0;
        json_array_foreach(list, at, one) alive += json_is_true(json_object_get(one, "alive"));
        json_decref(list);
        if (alive == n)
            return;
        sched_yield();
    }
    cr_assert_eq(alive, n);
}

const char *second_relay_certify(struct ground *g, const char *name, const char *ip)
{
    static char key[128];
    const char *said = ground_output(g, "pub",
                                     ARGS(BIN_DIR "/natterjack", "certify-relay", "--state",
                                          second_relay_path(g, "suite"), "--public-ip", ip,
                                          second_relay_path(g, name)));

    snprintf(key, sizeof key, "%.*s", (int)strcspn(said, "\n"), said);
    return key;
}

struct ground_run second_relay_spawn(struct ground *g, const char *sessions)
{
    return ground_spawn(g, "other",
                        ARGS(BIN_DIR "/natterjack-relay", "--link", SECOND_RELAY_LINK,
                             "--public-ip", "203.0.113.30", "--sessions", sessions, "--key",
                             second_relay_path(g, "other/relay"), "--cert",
                             second_relay_path(g, "other/relay.cert"), "--places",
                             second_relay_path(g, "other/places"), "--coordinator-key",
                             second_relay_path(g, "other/coordinator.pub"), "--admin",
                             second_relay_path(g, "other/admin")));
}

struct ground_run second_relay_up(struct ground *g, const char *environment, const char *sessions)
{
    char with_link[512];

    ground_output(g, "pub",
                  ARGS(BIN_DIR "/natterjack", "init", "--state", second_relay_path(g, "suite")));
    snprintf(with_link, sizeof with_link,
             "%s NATTERJACK_COORDINATOR_LINK=" SECOND_RELAY_LINK
             " NATTERJACK_COORDINATOR_RELAYS=%s",
             environment, second_relay_certify(g, "other", "203.0.113.30"));
    ground_up(g, "203.0.113.10,203.0.113.11", with_link);
    struct ground_run r = second_relay_spawn(g, sessions);
    second_relay_wait(g, 2);
    return r;
}
