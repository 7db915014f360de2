/*
 * names.c - hostile peers at the true coordinator: names that were released, names and addresses that are none of
 * their business, and words on sessions of others.
 */
#include "tests/attack/intruder.h"

#include "lib/strategy.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
    TAKEN_MAX = 6,   /* names that a key may find taken in a minute */
    NAMES_MAX = 8,   /* that it may claim */
    LATER_MS = 2500, /* without a profile of either side an order takes two seconds */
};

/* The next attachment's answer, asked for by this name. */
static struct msg attach(struct intruder *p, const char *name)
{
    static uint64_t seq = 1000;
    struct msg m = intruder_attach_as(name);

    m.attach.seq = (uint32_t)++seq;
    intruder_say(p, &m);
    cr_assert(intruder_hear_a(p, MSG_attached, &m));
    return m;
}

static void leave(struct intruder *p)
{
    struct msg m = {.type = MSG_detach};

    intruder_say(p, &m);
    zsock_destroy(&p->sock);
}

/* Whose name the operator has released, and who has claimed it since: the one before wants it back. */
static uint64_t name_after_its_release(unsigned n)
{
    struct intruder before = intruder_attached("heir"), heir;
    uint64_t taken = 0;
    int status = 1;

    leave(&before);
    while (status != 0) /* until it has been seen to leave */
        json_decref(ground_ask(&attack.ground, "release", ARGS("heir"), &status));
    heir = intruder_attached("heir");
    intruder_go(&before, &attack.join.front[0]);
    for (unsigned i = 0; i < n; i++)
        taken += attach(&before, "heir").attached.kind[0] == '\0';
    zsock_destroy(&before.sock);
    leave(&heir);
    return taken;
}

/* Which names exist, as their being taken shows it. */
static uint64_t names_by_attaching(unsigned n)
{
    struct intruder p = intruder_attached("");
    uint64_t told = 0;

    for (unsigned i = 0; i < n; i++)
        told += strcmp(attach(&p, "bob").attached.verdict, "name-taken") == 0;
    zsock_destroy(&p.sock);
    return told > TAKEN_MAX ? told - TAKEN_MAX : 0;
}

/* Names that one key claims, so that nobody else can have them. */
static uint64_t names_without_end(unsigned n)
{
    struct intruder p = intruder_attached("");
    char name[16];
    uint64_t claimed = 0;

    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "mine-%u", i);
        claimed += attach(&p, name).attached.kind[0] == '\0';
    }
    zsock_destroy(&p.sock);
    return claimed > NAMES_MAX ? claimed - NAMES_MAX : 0;
}

/* A program that takes its time over each call, longer than callers wait. */
static const char *slow_hook(char path[static 96])
{
    snprintf(path, 96, "%s/slow-hook", attack.ground.dir);
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs("#!/bin/sh\nexec sleep 60\n", f) >= 0 && fclose(f) == 0);
    cr_assert_eq(chmod(path, 0700), 0);
    return path;
}

/* Dora is asked, and has not answered. */
static uint64_t address_before_the_answer(unsigned n)
{
    static const uint8_t her_ip[4] = {198, 51, 100, 1};
    char hook[96];
    struct ground_run dora = attack_program(
        "alice", "listen",
        ARGS("--name", "dora-asks", "--accept", "ask", "--ask-hook", slow_hook(hook)));
    json_t *line = ground_line(&dora, GROUND_WAIT_MS);
    struct intruder p = intruder_attached("");
    char body[MSG_SIZE_MAX];
    uint64_t leaks = 0;

    cr_assert(line && strcmp(ground_text(line, "event"), "listening") == 0);
    json_decref(line);
    for (unsigned i = 0; i < n; i++) {
        struct msg m = {.type = MSG_punch_request};
        m.punch_request.nonce = 1 + i;
        msg_text(m.punch_request.target, sizeof m.punch_request.target, "dora-asks");
        m.punch_request.timeout_ms = 5000;
        intruder_say(&p, &m);
        while (intruder_hear(&p, &m, i + 1 < n ? 0 : LATER_MS))
            leaks += memmem(body, msg_encode(&m, body), her_ip, sizeof her_ip) != NULL;
    }
    zsock_destroy(&p.sock);
    kill(ground_program(&dora), SIGKILL);
    close(dora.out);
    return leaks;
}

/* That a session of others' has failed, that its relay is no good, that a packet of it has come. */
static uint64_t word_on_a_session_of_others(unsigned n)
{
    struct intruder p = intruder_attached("");
    struct sid sid = attack_session_open();
    static const enum msg_type says[] = {MSG_punch_result, MSG_relay_refused, MSG_punch_ack};

    for (unsigned i = 0; i < n; i++) {
        struct msg m = {.type = says[i % 3]};
        m.punch_result.session = sid; /* all three begin with it */
        if (m.type == MSG_punch_result)
            msg_text(m.punch_result.kind, sizeof m.punch_result.kind, "punch-failed");
        intruder_say(&p, &m);
        if (i % 32 == 31 || i + 1 == n)
            intruder_waits(&p);
    }
    bool alive = attack_session_lives(&sid);
    attack_session_close();
    zsock_destroy(&p.sock);
    return !alive;
}

const struct attack attack_on_names[] = {
    {"name-after-its-release",      name_after_its_release,      10, 50  },
    {"names-by-attaching",          names_by_attaching,          30, 1000},
    {"names-without-end",           names_without_end,           20, 50  },
    {"address-before-the-answer",   address_before_the_answer,   20, 1000},
    {"word-on-a-session-of-others", word_on_a_session_of_others, 30, 3000},
    {NULL,                          NULL,                        0,  0   },
};
