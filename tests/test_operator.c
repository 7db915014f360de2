/*
 * test_operator.c - what an operator does with a suite at work: real programs in the laboratory.
 *
 * What the coordinator decides is tested in test_coordinate.c.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void setup(void)
{
    ground_open(&ground, ARGS("--delay", "20ms", "alice=ei/preserve/apd", "bob=ei/random/apd",
                              "carol=ei/preserve/ei"));
}
static void teardown(void) { ground_close(&ground); }

TestSuite(operator, .init = setup, .fini = teardown, .timeout = 120);

static struct ground_run listen_as(const char *host, const char *accept)
{
    struct ground_run r =
        ground_start(&ground, host, "listen", ARGS("--name", host, "--echo", "--accept", accept));
    json_t *line = ground_line(&r, GROUND_WAIT_MS);

    cr_assert(line && strcmp(ground_text(line, "event"), "listening") == 0);
    json_decref(line);
    return r;
}

/* The next event of a listener, which must be a session on this path with that peer. */
static void expect_session(struct ground_run *r, const char *path, const char *peer)
{
    json_t *line = ground_line(r, GROUND_WAIT_MS);

    cr_assert(line);
    cr_assert_str_eq(ground_text(line, "event"), "session");
    cr_assert_str_eq(ground_text(line, "path"), path);
    cr_assert_str_eq(ground_text(line, "name"), peer);
    json_decref(line);
}

Test(operator, coordinate_connects_two_listeners_that_accept_each_other_and_no_others)
{
    struct ground_run alice = listen_as("alice", "anyone"), bob = listen_as("bob", "anyone");
    int status;

    listen_as("carol", "nobody");
    json_t *session = ground_ask(&ground, "coordinate", ARGS("alice", "bob"), &status);
    cr_assert_eq(status, 0, "%s", ground_text(session, "verdict"));
    cr_assert_str_eq(ground_text(session, "path"), "direct");
    cr_assert_str_eq(ground_text(session, "asked_by"), "operator");
    expect_session(&alice, "direct", "bob");
    expect_session(&bob, "direct", "alice");
    json_t *story = ground_admin(&ground, "explain", ground_text(session, "session"));
    cr_assert_str_eq(json_string_value(json_array_get(json_object_get(story, "story"), 0)),
                     "The operator asked for a path between alice and bob.");
    json_decref(story);
    json_decref(session);
    char state[96];
    snprintf(state, sizeof state, "%s/suite", ground.dir);
    const char *text =
        ground_output(&ground, "pub",
                      ARGS(BIN_DIR "/natterjack", "coordinate", "alice", "bob", "--state", state));
    cr_assert(strstr(text, "The operator asked for a path between alice and bob.\n") &&
                  strstr(text, "they were talking directly") && strstr(text, "\nsession: "),
              "%s", text);
    session = ground_ask(&ground, "coordinate", ARGS("alice", "bob", "--policy", "relay"), &status);
    cr_assert_eq(status, 3);
    cr_assert_str_eq(ground_text(session, "verdict"), "relay-policy");
    json_decref(session);
    session = ground_ask(&ground, "coordinate", ARGS("carol", "bob"), &status);
    cr_assert_eq(status, 1);
    cr_assert_str_eq(ground_text(session, "verdict"), "not-accepted");
    cr_assert_str_eq(ground_text(session, "kind"), "rendezvous-rejected");
    json_decref(session);
    session = ground_ask(&ground, "coordinate", ARGS("zoe", "bob"), &status);
    cr_assert_eq(status, 1);
    cr_assert_str_eq(ground_text(session, "error"), "the first of the two is not attached here");
    json_decref(session);
    json_t *all = ground_admin(&ground, "sessions", NULL);
    cr_assert_eq(json_array_size(all), 4);
    json_decref(all);
}

Test(operator, a_peer_learns_why_of_its_own_sessions_and_goes_on_listening)
{
    struct ground_run alice = listen_as("alice", "anyone");
    char key[128];
    int status;

    listen_as("bob", "anyone");
    json_t *session = ground_ask(&ground, "coordinate", ARGS("alice", "bob"), &status);
    const char *sid = ground_text(session, "session");
    expect_session(&alice, "direct", "bob");
    snprintf(key, sizeof key, "%s/alice---name.key", ground.dir);
    struct ground_run asks = ground_start(&ground, "alice", "explain", ARGS(sid, "--key", key));
    json_t *answer = ground_result(&asks, &status);
    cr_assert_eq(status, 0, "%s", ground_text(answer, "error"));
    cr_assert_str_eq(ground_text(answer, "session"), sid);
    cr_assert_str_eq(ground_text(answer, "path"), "direct");
    cr_assert_gt(json_array_size(json_object_get(answer, "story")), 5);
    json_decref(answer);
    listen_as("carol", "nobody");
    snprintf(key, sizeof key, "%s/carol---name.key", ground.dir);
    asks = ground_start(&ground, "carol", "explain", ARGS(sid, "--key", key));
    answer = ground_result(&asks, &status);
    cr_assert_eq(status, 1);
    cr_assert_str_eq(ground_text(answer, "error"),
                     "no session of this key that the coordinator knows has that id");
    json_decref(answer);
    json_decref(session);
    session = ground_ask(&ground, "coordinate", ARGS("alice", "bob"), &status);
    cr_assert_eq(status, 0, "who asked did not take the listener's place");
    json_decref(session);
    answer = ground_admin(&ground, "coordinators", NULL);
    cr_assert_eq(ground_number(json_array_get(answer, 0), "attached"), 3);
    cr_assert_eq(ground_number(json_array_get(answer, 0), "sessions"), 2);
    json_decref(answer);
}

/* The files go first: the process that has them open does not notice, and the next one begins without. */
Test(operator, a_listener_is_back_by_itself_when_the_store_is_lost)
{
    static const char *const files[] = {"store.db", "store.db-wal", "store.db-shm"};
    char path[128];
    bool back = false;
    int status;

    listen_as("bob", "anyone");
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/suite/%s", ground.dir, files[i]);
        cr_assert(unlink(path) == 0 || i > 0);
    }
    ground_kill(&ground, "coordinator");
    for (int i = 0; i < 1000 && !back; i++) { /* bounded: each question takes some ms */
        json_t *peer = ground_admin(&ground, "peer", "bob");
        back = json_is_true(json_object_get(peer, "attached"));
        json_decref(peer);
    }
    cr_assert(back);
    json_t *line = ground_connect(&ground, "alice", "bob", ARGS("--ping", "1"), &status);
    cr_assert_eq(status, 0, "%s", ground_text(line, "verdict"));
    json_decref(line);
}
