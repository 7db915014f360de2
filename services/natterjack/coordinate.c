/* coordinate.c - `natterjack coordinate A B`: the operator brings two peers together, and sees what comes of it. */
#include "services/natterjack/ask.h"
#include "services/natterjack/command.h"
#include "services/natterjack/view.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    TIMEOUT_DEFAULT_US = 15 * 1000000,
    TIMEOUT_MAX_US = 120 * 1000000,
    POLL_US = 50 * 1000,
    BEGIN_US = 2 * 1000 * 1000, /* the coordinator has it in its table by then, or had no room */
    SPARE_US = 30 * 1000000,    /* after the timeout, for questions to both and late results */
};

/* A settled session's path as connect's exit status. */
static int status_of(const char *path)
{
    return strcmp(path, "direct") == 0    ? EXIT_OK
           : strcmp(path, "relayed") == 0 ? EXIT_RELAYED
           : strcmp(path, "half") == 0    ? EXIT_HALF
                                          : EXIT_FAILED;
}

static bool pending(const char *state)
{
    static const char *const states[] = {"requested", "inviting", "coordinating", "executing"};

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(state, states[i]) == 0)
            return true;
    return false;
}

static const char *field(json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "";
}

/* The session once it is settled; NULL with a sentence in err when it never is. */
static json_t *wait_settled(const struct question *q, const char *sid, int64_t limit_us, char *err,
                            size_t err_cap)
{
    char request[96];

    snprintf(request, sizeof request, "session %s", sid);
    for (int64_t waited_us = 0; waited_us < limit_us; waited_us += POLL_US) {
        json_t *session = ask(q, "coordinator", request, err, err_cap);
        bool known = session && !json_object_get(session, "error");
        if (known && !pending(field(session, "state")))
            return session;
        json_decref(session);
        if (!session)
            return NULL;
        if (!known && waited_us >= BEGIN_US) {
            snprintf(err, err_cap, "the coordinator has no room for another session");
            return NULL;
        }
        usleep(POLL_US);
    }
    snprintf(err, err_cap, "session %s does not settle", sid);
    return NULL;
}

/* What came of it, and why. */
static void print_story(const struct question *q, const char *sid)
{
    char request[96], err[256];

    snprintf(request, sizeof request, "explain %s", sid);
    json_t *story = ask(q, "coordinator", request, err, sizeof err);
    if (story)
        view_story(stdout, story);
    else
        failure("%s", err);
    printf("session: %s\n", sid);
    json_decref(story);
}

int cmd_coordinate(int argc, char **argv)
{
    struct question q = {0};
    const char *policy = "auto";
    int64_t timeout_us = TIMEOUT_DEFAULT_US;
    char request[320], sid[64], err[256] = "";
    const struct param extra[] = {
        {"policy",  PARAM_TEXT,    &policy,     "auto|direct|relay  which paths are wanted", false},
        {"timeout", PARAM_SECONDS, &timeout_us, "S       for both to be there (15)",         false},
    };

    int status = ask_parse(&q, PAIR, extra, 2, argc, argv);
    if (status != EXIT_OK)
        return status;
    if (strcmp(policy, "auto") != 0 && strcmp(policy, "direct") != 0 &&
        strcmp(policy, "relay") != 0)
        return usage_error("coordinate: --policy takes auto, direct or relay, not \"%s\"", policy);
    if (timeout_us <= 0 || timeout_us > TIMEOUT_MAX_US)
        return usage_error("coordinate: --timeout takes up to %d seconds",
                           TIMEOUT_MAX_US / 1000000);
    snprintf(request, sizeof request, "coordinate %s %s %s %" PRId64, q.argument, q.second, policy,
             timeout_us / 1000);
    json_t *answer = ask(&q, "coordinator", request, err, sizeof err);
    if (!answer)
        return failure("%s", err);
    if (json_object_get(answer, "error")) {
        if (q.json)
            ask_print_json(answer);
        else
            failure("%s", field(answer, "error"));
        json_decref(answer);
        return EXIT_FAILED;
    }
    snprintf(sid, sizeof sid, "%s", field(answer, "session"));
    json_decref(answer);
    json_t *session = wait_settled(&q, sid, timeout_us + SPARE_US, err, sizeof err);
    if (!session)
        return failure("%s", err);
    if (q.json)
        ask_print_json(session);
    else
        print_story(&q, sid);
    status = status_of(field(session, "path"));
    json_decref(session);
    return fflush(stdout) == 0 ? status : EXIT_FAILED;
}
