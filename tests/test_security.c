/* test_security.c - docs/SECURITY.md says of each limit what the code says. */
#include "lib/crowd.h"
#include "lib/familiar.h"
#include "lib/rekey.h"
#include "lib/store.h"
#include "lib/token.h"
#include "services/coordinator/conns_shell.h"
#include "services/coordinator/coordinator.h"
#include "services/executor/executor.h"
#include "services/natterjack/known.h"
#include "services/prober/prober.h"
#include "services/relay/relay.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(security, .timeout = 20);

static const struct {
    const char *name;
    int64_t value;
} limits[] = {
#define L(name)     \
    {               \
#name, name \
    }
    L(TOKEN_TTL_MS),
    L(PACKETS_MAX),
    L(GUESSES_MAX),
    L(GUESS_WINDOW_US),
    L(GUESS_EVERY_US),
    L(GUESS_IPS_MAX),
    L(KNOCKS_MAX),
    L(KNOCK_EVERY_US),
    L(KNOCK_IPS_MAX),
    L(ATTEMPTS_MAX),
    L(RESERVED_ATTEMPTS),
    L(RESERVED_BY_KEY),
    L(RESERVED_BY_IP),
    L(REPLAY_WINDOW),
    L(REKEY_EVERY_US),
    L(REKEY_PACKETS),
    L(KNOWN_PEERS_MAX),
    L(NAMES_PER_KEY),
    L(COORD_REQUESTS_PER_MIN),
    L(COORD_REJECTED_PER_MIN),
    L(COORD_ATTACHES_PER_MIN),
    L(COORD_REPORTS_PER_MIN),
    L(COORD_EXPLAINS_PER_MIN),
    L(COORD_ENROLS_PER_S),
    L(COORD_ENROLS_OF_SOURCE_PER_MIN),
    L(COORD_JOINS_PER_S),
    L(COORD_JOINS_OF_SOURCE_PER_MIN),
    L(COORD_REQUESTS_PER_S),
    L(COORD_REQUESTS_OF_SOURCE_PER_MIN),
    L(COORD_CALLS_OF_TARGET_PER_MIN),
    L(COORD_CALLS_OF_SOURCE_PER_MIN),
    L(CONNS_PER_IP),
    L(CONNS_RESERVE),
    L(COORD_UNTRY_MS),
    L(COORD_PEERS),
    L(COORD_SESSIONS),
    L(COORD_TICKET_TTL_MS),
    L(COORD_TICKET_AGAIN_MS),
    L(DAYKEY_MS),
    L(TICKET_PERIOD_MS),
    L(RELAY_SESSIONS_DEFAULT),
    L(RELAY_COOKIE_US),
    L(RELAY_STRANGERS),
    L(RELAY_STRANGER_US),
    L(COOKIE_ROTATE_US),
    L(FAMILIAR_CELLS),
    L(CROWD_WAIT_US),
    L(BUDGET_WINDOW_US),
    L(DISCOVERY_BUDGET),
    L(SIGNING_BUDGET),
    L(CHALLENGE_BUDGET),
#undef L
};
enum { LIMITS = sizeof limits / sizeof *limits };

static bool seen[LIMITS];

/* A row "| `NAME` | value | ...". */
static void check_row(const char *row)
{
    char name[64];
    int64_t value;

    cr_assert_eq(sscanf(row, "| `%63[A-Z0-9_]` | %" SCNd64 " |", name, &value), 2, "%s", row);
    for (size_t i = 0; i < LIMITS; i++)
        if (strcmp(limits[i].name, name) == 0) {
            cr_assert_not(seen[i], "%s is there twice", name);
            cr_assert_eq(value, limits[i].value, "%s is %" PRId64, name, limits[i].value);
            seen[i] = true;
            return;
        }
    cr_assert_fail("%s is no limit of the code", name);
}

Test(security, the_documented_limits_are_those_of_the_code)
{
    FILE *f = fopen("docs/SECURITY.md", "re");
    char *line = NULL;
    size_t cap = 0;

    cr_assert_not_null(f, "tests run in the top directory");
    while (getline(&line, &cap, f) > 0)
        if (strncmp(line, "| `", 3) == 0)
            check_row(line);
    free(line);
    fclose(f);
    for (size_t i = 0; i < LIMITS; i++)
        cr_assert(seen[i], "%s is not in docs/SECURITY.md", limits[i].name);
}
