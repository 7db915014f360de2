/*
 * test_peers_page.c - docs/peers.md says of each line that peers print what the line has, docs/answers.md of each
 * answer of a suite, and docs/socket.c works.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void setup(void)
{
    ground_open(&ground, ARGS("--delay", "5ms", "alice=ei/preserve/apd", "bob=ei/random/apd"));
}
static void teardown(void) { ground_close(&ground); }

TestSuite(peers_page, .init = setup, .fini = teardown, .timeout = 120);

/* The fields that the page has for an event or a verb, as an object. */
static json_t *documented(const char *page, const char *event)
{
    FILE *f = fopen(page, "r");
    char line[512], field[64], of[128];
    json_t *all = json_object();
    bool inside = false;

    cr_assert(f, "run from the top of the tree");
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "<!-- ", 5) == 0 || strncmp(line, "<!-- /", 6) == 0)
            inside = strstr(line, "<!-- fields") != NULL;
        if (!inside || sscanf(line, "| `%63[a-z_]` | %127[a-z ] |", field, of) != 2)
            continue;
        for (const char *word = strtok(of, " "); word; word = strtok(NULL, " "))
            if (strcmp(word, event) == 0)
                json_object_set_new(all, field, json_true());
    }
    fclose(f);
    return all;
}

/* The value has these fields and no others; one that comes in some cases only is named. */
static void expect_fields(const json_t *value, const char *page, const char *event,
                          const char *sometimes)
{
    json_t *fields = documented(page, event), *v;
    const char *field;

    cr_assert_gt(json_object_size(fields), 3, "no %s in %s", event, page);
    json_object_foreach((json_t *)(uintptr_t)value, field, v)
    {
        (void)v;
        cr_assert(strcmp(field, "event") == 0 || json_object_get(fields, field),
                  "%s of %s is not in %s", field, event, page);
    }
    json_object_foreach(fields, field, v)
    {
        cr_assert(json_object_get(value, field) || strcmp(field, sometimes) == 0, "%s has no %s",
                  event, field);
    }
    json_decref(fields);
}

static void expect_documented(const json_t *line, const char *sometimes)
{
    expect_fields(line, "docs/peers.md", ground_text(line, "event"), sometimes);
}

/* The suite's answer, or the first of a list, has the fields of a verb. */
static void expect_answer(const char *verb, const char *argument, const char *documented_as)
{
    json_t *answer = ground_admin(&ground, verb, argument);

    expect_fields(json_is_array(answer) ? json_array_get(answer, 0) : answer, "docs/answers.md",
                  documented_as, "");
    json_decref(answer);
}

/* A path that sleeps is found to be lost with the next packet that keeps its mapping: 15 s and a bit. */
enum { PATIENCE_MS = 2 * GROUND_WAIT_MS };

static void expect_line(struct ground_run *r, const char *event)
{
    json_t *line = ground_line(r, PATIENCE_MS);

    cr_assert(line && strcmp(ground_text(line, "event"), event) == 0, "no %s", event);
    expect_documented(line, "");
    json_decref(line);
}

Test(peers_page, has_the_fields_of_each_line)
{
    struct ground_run bob = ground_start(&ground, "bob", "listen", ARGS("--name", "bob", "--echo"));
    struct ground_run check = ground_start(&ground, "alice", "netcheck", ARGS("--timeout", "15"));
    int status;

    expect_line(&bob, "listening");
    json_t *line = ground_connect(&ground, "alice", "bob", ARGS("--ping", "1"), &status);
    cr_assert_eq(status, 0);
    expect_documented(line, "known_peer");
    expect_line(&bob, "session");
    expect_answer("sessions", NULL, "session");
    expect_answer("session", ground_text(line, "session"), "session");
    expect_answer("explain", ground_text(line, "session"), "explain");
    json_decref(line);
    expect_answer("peers", NULL, "peers");
    expect_answer("peer", "bob", "peer");
    expect_answer("relays", NULL, "relays");
    expect_answer("coordinators", NULL, "coordinators");
    expect_answer("stats", NULL, "stats");
    line = ground_result(&check, &status);
    cr_assert_eq(status, 0);
    expect_documented(line, "");
    json_decref(line);
}

/* alice's session with bob, of which her lines tell; bob's NAT loses it on the way. */
static void expect_a_session_that_changes_its_path(void)
{
    char own[96];

    snprintf(own, sizeof own, "%s/own", ground.dir);
    struct ground_run alice = ground_start(&ground, "alice", "connect",
                                           ARGS("bob", "--udp", "127.0.0.1:0", "--admin", own));
    json_t *line = ground_line(&alice, GROUND_WAIT_MS);

    cr_assert_str_eq(ground_text(line, "event"), "forwarding");
    cr_assert_str_neq(ground_text(line, "udp"), "127.0.0.1:0");
    json_decref(line);
    expect_line(&alice, "session");
    json_t *punches = json_loads(
        ground_output(&ground, "alice",
                      ARGS(BIN_DIR "/natterjack", "punches", "-o", "json", "--socket", own)),
        0, &(json_error_t){.line = 0});
    expect_fields(json_array_get(punches, 0), "docs/peers.md", "punches", "");
    json_decref(punches);
    cr_assert(lab_set(&ground.lab, "bob", "flush=now"));
    expect_line(&alice, "path");
    kill(alice.pid, SIGTERM);
    json_decref(ground_result(&alice, &(int){0}));
}

Test(peers_page, tells_what_programs_beside_connect_go_by)
{
    struct ground_run bob = ground_start(&ground, "bob", "listen", ARGS("--name", "bob", "--echo"));

    expect_line(&bob, "listening");
    expect_a_session_that_changes_its_path();
    cr_assert_str_eq(ground_output(&ground, "alice",
                                   ARGS("env", "PATH=" BIN_DIR ":/bin:/usr/bin", BIN_DIR "/hello",
                                        "--join", ground.join, "bob")),
                     "the peer answers: hello\n");
}
