/* second_relay.c - see second_relay.h. */
#include "tests/lib/second_relay.h"

#include "lib/keys.h"
#include "lib/token.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { LOOKS_MAX = 5000 };

static const char *in_dir(const struct ground *g, const char *name)
{
    static char path[8][128];
    static unsigned next;
    char *p = path[next++ % 8];

    snprintf(p, sizeof path[0], "%s/%s", g->dir, name);
    return p;
}

/* How many relays the coordinator knows. */
static size_t relays(struct ground *g)
{
    json_t *list = ground_admin(g, "relays", NULL);
    size_t n = json_array_size(list);

    json_decref(list);
    return n;
}

struct ground_run second_relay(struct ground *g, const char *sessions)
{
    uint8_t authority[64], secret[32], key[32], cert[64];

    cr_assert_geq(sodium_init(), 0);
    cr_assert(key_load(in_dir(g, "suite/keys/authority"), authority, sizeof authority));
    cr_assert(key_create_x25519(in_dir(g, "other.key"), secret, key));
    cert_sign('r', key, authority, cert);
    cr_assert(key_save(in_dir(g, "other.cert"), cert, sizeof cert, 0644));
    struct addr at = {0};
    cr_assert(addr_parse_ip("203.0.113.30", 0, &at));
    struct place place = place_sign(&at, authority);
    uint8_t places[2][64] = {0};
    memcpy(places[0], place.cert, sizeof places[0]);
    cr_assert(key_save(in_dir(g, "other.places"), places, sizeof places, 0644));
    cr_assert_eq(mkdir(in_dir(g, "other"), 0700), 0);
    cr_assert_eq(symlink("../suite/bus/coordinator", in_dir(g, "other/coordinator")), 0);
    struct ground_run r =
        ground_spawn(g, "other",
                     ARGS(BIN_DIR "/natterjack-relay", "--bus", in_dir(g, "other"), "--public-ip",
                          "203.0.113.30", "--sessions", sessions, "--key", in_dir(g, "other.key"),
                          "--cert", in_dir(g, "other.cert"), "--places", in_dir(g, "other.places"),
                          "--coordinator-key", in_dir(g, "suite/keys/coordinator.pub")));
    for (int i = 0; i < LOOKS_MAX && relays(g) < 2; i++)
        sched_yield();
    cr_assert_eq(relays(g), 2);
    return r;
}
