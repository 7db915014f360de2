/*
 * coordinator.c - hostile peers, with keys of their own, against the true coordinator: others' names, sessions and
 * addresses.
 */
#include "tests/attack/intruder.h"

#include "lib/strategy.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <sys/wait.h>

enum { REJECTED_MAX = 6, QUIET_MS = 200, ASKED_AT_ONCE = 10 };

/* Bob is here with his name; each attempt has another key. */
static uint64_t name_of_another(unsigned n)
{
    uint64_t taken = 0;

    for (unsigned i = 0; i < n; i++) {
        struct intruder p = intruder_open();
        struct msg m = intruder_attach_as("bob");
        intruder_say(&p, &m);
        cr_assert(intruder_hear_a(&p, MSG_attached, &m));
        taken += m.attached.kind[0] == '\0';
        zsock_destroy(&p.sock);
    }
    return taken;
}

static uint64_t enrol_by_a_guessed_token(unsigned n)
{
    struct intruder p = {.sock = NULL};
    uint64_t in = 0;
    uint8_t token[JOIN_TOKEN_BYTES];

    crypto_box_keypair(p.id.b, p.secret);
    intruder_go(&p, &attack.join.enrol[0]);
    for (unsigned i = 0; i < n; i++) {
        rng_bytes(&attack.rng, token, sizeof token);
        in += intruder_enrols(&p, token);
    }
    zsock_destroy(&p.sock);
    return in;
}

static uint64_t front_without_enrolment(unsigned n)
{
    uint64_t in = 0;

    for (unsigned i = 0; i < n; i++) {
        struct intruder p = {.sock = NULL};
        struct msg m = intruder_attach_as("");
        crypto_box_keypair(p.id.b, p.secret);
        intruder_go(&p, &attack.join.front[0]);
        intruder_say(&p, &m);
        in += intruder_hear(&p, &m, QUIET_MS);
        zsock_destroy(&p.sock);
    }
    return in;
}

/* Answers of whether names exist, beyond those that a key may have. */
static uint64_t names_by_enumeration(unsigned n)
{
    struct intruder p = intruder_attached("");
    uint64_t told = 0;

    for (unsigned i = 0; i < n; i += ASKED_AT_ONCE) {
        struct msg m;
        for (unsigned k = i; k < i + ASKED_AT_ONCE; k++) {
            m = (struct msg){.type = MSG_punch_request};
            m.punch_request.nonce = 1 + k;
            snprintf(m.punch_request.target, sizeof m.punch_request.target, "name-%u", k);
            m.punch_request.timeout_ms = 5000;
            intruder_say(&p, &m);
        }
        for (unsigned k = 0; k < ASKED_AT_ONCE; k++) {
            cr_assert(intruder_hear_a(&p, MSG_punch_refused, &m));
            told += strcmp(m.punch_refused.kind, "not-found") == 0;
        }
    }
    zsock_destroy(&p.sock);
    return told > REJECTED_MAX ? told - REJECTED_MAX : 0;
}

/* Dora lets nobody in: nobody is told where she is. */
static uint64_t address_of_who_takes_none(unsigned n)
{
    static const uint8_t her_ip[4] = {198, 51, 100, 1};
    struct ground_run dora =
        attack_program("alice", "listen", ARGS("--name", "dora", "--accept", "nobody"));
    json_t *line = ground_line(&dora, GROUND_WAIT_MS);
    struct intruder p = intruder_attached("");
    char body[MSG_SIZE_MAX];
    uint64_t leaks = 0;

    cr_assert(line);
    json_decref(line);
    for (unsigned i = 0; i < n && leaks == 0; i++) {
        struct msg m = {.type = MSG_punch_request};
        m.punch_request.nonce = 1 + i;
        msg_text(m.punch_request.target, sizeof m.punch_request.target, "dora");
        m.punch_request.timeout_ms = 5000;
        intruder_say(&p, &m);
        do {
            cr_assert(intruder_hear(&p, &m, ATTACK_PATIENCE_MS));
            leaks += memmem(body, msg_encode(&m, body), her_ip, sizeof her_ip) != NULL;
        } while (m.type != MSG_punch_refused && m.type != MSG_punch_coordinate);
    }
    zsock_destroy(&p.sock);
    kill(ground_program(&dora), SIGKILL);
    close(dora.out);
    return leaks;
}

/* ---- a session of others' ----------------------------------------------------------------------------------- */

struct ground_run attack_caller;

/* Carol's with Bob; its number is known to the attacker, who should have no use for it. */
struct sid attack_session_open(void)
{
    struct sid sid = {{0}};
    int64_t end = zclock_mono() + ATTACK_PATIENCE_MS;
    size_t len = 0;

    attack_caller = attack_program("carol", "connect", ARGS("bob", "--ping", "3000"));
    while (len != sizeof sid.b) {
        cr_assert_lt(zclock_mono(), end, "no session");
        json_t *all = ground_admin(&attack.ground, "sessions", "--pending"), *one;
        json_decref(all);
        all = ground_admin(&attack.ground, "sessions", NULL);
        json_t *list = json_is_array(all) ? all : json_object_get(all, "sessions");
        size_t i;
        json_array_foreach(list, i, one) if (strcmp(ground_text(one, "state"), "direct") == 0)
            sodium_hex2bin(sid.b, sizeof sid.b, ground_text(one, "session"), 32, NULL, &len, NULL);
        json_decref(all);
    }
    return sid;
}

bool attack_session_lives(const struct sid *sid)
{
    char hex[2 * sizeof sid->b + 1];

    sodium_bin2hex(hex, sizeof hex, sid->b, sizeof sid->b);
    json_t *s = ground_admin(&attack.ground, "session", hex);
    bool direct = strcmp(ground_text(s, "state"), "direct") == 0;
    json_decref(s);
    return direct;
}

/* She leaves as a user would, so that the next session is not taken for this one. */
void attack_session_close(void)
{
    int status;

    if (waitpid(attack_caller.pid, &status, WNOHANG) != 0) { /* by an attack that succeeded */
        close(attack_caller.out);
        return;
    }
    kill(ground_program(&attack_caller), SIGINT);
    json_decref(ground_result(&attack_caller, &status));
}

static uint64_t cancel_of_others(unsigned n)
{
    struct intruder p = intruder_attached("");
    struct msg m = {.type = MSG_punch_cancel};
    struct sid sid = attack_session_open();

    m.punch_cancel.session = sid;
    msg_text(m.punch_cancel.kind, sizeof m.punch_cancel.kind, "cancelled");
    for (unsigned i = 0; i < n; i++) {
        intruder_say(&p, &m);
        if (i % 64 == 63) /* what one connection may have waiting */
            intruder_waits(&p);
    }
    intruder_waits(&p);
    bool alive = attack_session_lives(&sid);
    attack_session_close();
    zsock_destroy(&p.sock);
    return !alive;
}

static uint64_t explain_of_others(unsigned n)
{
    struct intruder p = intruder_attached("");
    struct sid sid = attack_session_open();
    uint64_t told = 0;

    for (unsigned i = 0; i < n; i++) {
        struct msg m = {.type = MSG_explain};
        m.explain.session = sid;
        intruder_say(&p, &m);
        cr_assert(intruder_hear_a(&p, MSG_explained, &m));
        told += m.explained.kind[0] == '\0';
    }
    attack_session_close();
    zsock_destroy(&p.sock);
    return told;
}

const struct attack attack_on_coordinator[] = {
    {"name-of-another",           name_of_another,           10, 100 },
    {"enrol-by-a-guessed-token",  enrol_by_a_guessed_token,  50, 1000},
    {"front-without-enrolment",   front_without_enrolment,   3,  30  },
    {"names-by-enumeration",      names_by_enumeration,      30, 1000},
    {"address-of-who-takes-none", address_of_who_takes_none, 20, 1000},
    {"cancel-of-others",          cancel_of_others,          20, 1000},
    {"explain-of-others",         explain_of_others,         20, 1000},
    {NULL,                        NULL,                      0,  0   },
};
