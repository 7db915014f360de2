/* ask.c - the verbs that ask a running suite: one admin request each, shown as JSON or as text; see ask.h. */
#include "services/natterjack/ask.h"

#include "lib/admin.h"
#include "lib/id.h"
#include "services/natterjack/ask_own.h"
#include "services/natterjack/command.h"
#include "services/natterjack/state_dir.h"
#include "services/natterjack/view.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ASK_TIMEOUT_MS = 3000 };

static const char *const processes[] = {"coordinator", "classifier", "prober", "relay"};
enum { PROCESSES = sizeof processes / sizeof *processes };

static bool process_known(const char *name)
{
    for (size_t i = 0; i < PROCESSES; i++)
        if (strcmp(name, processes[i]) == 0)
            return true;
    return false;
}

static int check_argument(const char *verb, enum argument kind, const char *given)
{
    struct sid sid;
    struct peer_id id;

    switch (kind) {
    case NO_ARGUMENT: return EXIT_OK;
    case SESSION:
        return sid_parse(given, &sid) ? EXIT_OK
                                      : usage_error("%s: a session id has 32 hex digits", verb);
    case PAIR: /* its second has been looked at */
    case PEER:
        return peer_id_parse(given, &id) || name_valid(given)
                   ? EXIT_OK
                   : usage_error("%s: %s is neither a peer's name nor a peer id", verb, given);
    case NAME:
        return name_valid(given) ? EXIT_OK : usage_error("%s: \"%s\" is no name", verb, given);
    case PROCESS:
        return process_known(given) ? EXIT_OK
                                    : usage_error("%s: the processes are coordinator, classifier, "
                                                  "prober and relay",
                                                  verb);
    case LEVEL: return EXIT_OK; /* each process says itself what it knows */
    }
    return EXIT_USAGE;
}

/* What says whom to ask. */
static const char *where_flags(const char *verb)
{
    if (strcmp(verb, "explain") == 0)
        return "--state DIR | --socket PATH | --join J --key FILE";
    return strcmp(verb, "punches") == 0 ? "--socket PATH" : "--state DIR | --socket PATH";
}

int ask_parse(struct question *q, enum argument kind, const struct param *extra, size_t n_extra,
              int argc, char **argv)
{
    static const char *const shown[] = {"",         " SID",   " NAME|PEER-ID", " NAME",
                                        " PROCESS", " LEVEL", " A B"};
    struct param flags[5] = {
        {"state",  PARAM_TEXT, &q->dir,    "DIR  the suite's directory",     false},
        {"socket", PARAM_TEXT, &q->socket, "PATH  a process's admin socket", false},
        {"o",      PARAM_TEXT, &q->o,      "json|text  how to print",        false},
    };
    char usage[128];

    for (size_t i = 0; i < n_extra; i++)
        flags[3 + i] = extra[i];
    snprintf(usage, sizeof usage, "natterjack %s%s %s", argv[0], shown[kind], where_flags(argv[0]));
    q->o = "text";
    argc = params_parse(usage, flags, 3 + n_extra, argc, argv);
    q->json = output_json(q->o);
    if (!q->dir == !q->socket)
        return usage_error("%s: give %s", argv[0], where_flags(argv[0]));
    if (argc != (kind == NO_ARGUMENT ? 1 : kind == PAIR ? 3 : 2))
        return usage_error("usage: %s", usage);
    q->argument = kind == NO_ARGUMENT ? "" : argv[1];
    q->second = kind == PAIR ? argv[2] : "";
    if (kind == PAIR && check_argument(argv[0], PEER, q->second) != EXIT_OK)
        return EXIT_USAGE;
    return check_argument(argv[0], kind, q->argument);
}

json_t *ask(const struct question *q, const char *process, const char *request, char *err,
            size_t err_cap)
{
    char path[PATH_MAX];

    if (q->socket)
        return admin_ask(q->socket, request, ASK_TIMEOUT_MS, err, err_cap);
    if (snprintf(path, sizeof path, "%s/admin/%s", q->dir, process) >= (int)sizeof path) {
        snprintf(err, err_cap, "the directory's name is too long");
        return NULL;
    }
    return admin_ask(path, request, ASK_TIMEOUT_MS, err, err_cap);
}

void ask_print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
}

/* Ask, print the answer with show (as text) or as it is (as JSON); EXIT_FAILED when it is a refusal. */
static int ask_and_show(const struct question *q, const char *process, const char *request,
                        void (*show)(FILE *f, json_t *value))
{
    char err[256];
    json_t *answer = ask(q, process, request, err, sizeof err);

    if (!answer)
        return failure("%s", err);
    const char *refused = json_string_value(json_object_get(answer, "error"));
    int status = refused ? EXIT_FAILED : EXIT_OK;
    if (q->json)
        ask_print_json(answer);
    else if (refused && q->socket && strcmp(refused, ADMIN_UNKNOWN_VERB) == 0)
        failure("the process at %s has no answer to that: it is another one's verb", q->socket);
    else if (refused)
        failure("%s", refused);
    else
        show(stdout, answer);
    json_decref(answer);
    return fflush(stdout) == 0 ? status : EXIT_FAILED;
}

/* A verb that is the request of the same name to the coordinator. */
static int simple(enum argument kind, void (*show)(FILE *f, json_t *value), int argc, char **argv)
{
    struct question q = {0};
    char request[128];

    int status = ask_parse(&q, kind, NULL, 0, argc, argv);
    if (status != EXIT_OK)
        return status;
    snprintf(request, sizeof request, "%s%s%s", argv[0], *q.argument ? " " : "", q.argument);
    return ask_and_show(&q, "coordinator", request, show);
}

int cmd_session(int argc, char **argv) { return simple(SESSION, view_print, argc, argv); }
int cmd_explain(int argc, char **argv)
{
    return ask_own_wanted(argc, argv) ? ask_own(argc, argv)
                                      : simple(SESSION, view_story, argc, argv);
}
int cmd_cancel(int argc, char **argv) { return simple(SESSION, view_print, argc, argv); }
int cmd_peers(int argc, char **argv) { return simple(NO_ARGUMENT, view_print, argc, argv); }
int cmd_peer(int argc, char **argv) { return simple(PEER, view_print, argc, argv); }
int cmd_release(int argc, char **argv) { return simple(NAME, view_print, argc, argv); }
int cmd_relays(int argc, char **argv) { return simple(NO_ARGUMENT, view_print, argc, argv); }
int cmd_coordinators(int argc, char **argv) { return simple(NO_ARGUMENT, view_print, argc, argv); }
int cmd_stats(int argc, char **argv) { return simple(NO_ARGUMENT, view_print, argc, argv); }

/* A peer's own attempts: asked of the peer, at the socket of its --admin. */
int cmd_reflex(int argc, char **argv)
{
    struct question q = {.o = "text"};
    struct addr claimed;
    char request[128];
    const struct param flags[] = {
        {"socket", PARAM_TEXT, &q.socket, "PATH  the --admin of a listen or connect", true },
        {"o",      PARAM_TEXT, &q.o,      "json|text  how to print",                  false},
    };

    int n = params_parse("natterjack reflex [override ADDR:PORT | clear] --socket PATH", flags,
                         sizeof flags / sizeof *flags, argc, argv);
    q.json = output_json(q.o);
    bool set = n == 3 && strcmp(argv[1], "override") == 0;
    if (!set && n != 1 && (n != 2 || strcmp(argv[1], "clear") != 0))
        return usage_error("reflex: override ADDR:PORT, clear, or nothing");
    if (set && (!addr_parse(argv[2], &claimed) || claimed.port == 0))
        return usage_error("reflex: \"%s\" is no ADDR:PORT", argv[2]);
    snprintf(request, sizeof request, "reflex%s%s%s%s", n > 1 ? " " : "", n > 1 ? argv[1] : "",
             set ? " " : "", set ? argv[2] : "");
    return ask_and_show(&q, "", request, view_print);
}

int cmd_punches(int argc, char **argv)
{
    struct question q = {0};

    int status = ask_parse(&q, NO_ARGUMENT, NULL, 0, argc, argv);
    if (status != EXIT_OK)
        return status;
    if (!q.socket)
        return usage_error("punches: give --socket PATH, the --admin of a listen or connect");
    return ask_and_show(&q, "", "punches", view_print);
}

int cmd_sessions(int argc, char **argv)
{
    struct question q = {0};
    const struct param extra[] = {
        {"pending", PARAM_FLAG, &q.pending, "only those that are not settled", false}
    };

    int status = ask_parse(&q, NO_ARGUMENT, extra, 1, argc, argv);
    if (status != EXIT_OK)
        return status;
    return ask_and_show(&q, "coordinator", q.pending ? "sessions pending" : "sessions",
                        view_sessions);
}

int cmd_state(int argc, char **argv)
{
    struct question q = {0};

    int status = ask_parse(&q, PROCESS, NULL, 0, argc, argv);
    return status == EXIT_OK ? ask_and_show(&q, q.argument, "state", view_print) : status;
}

/* ---- health --------------------------------------------------------------------------------- */

/* Ask one process: does it do it?  Adds what came of it to all. */
static bool asked(const struct question *q, const char *process, const char *request, json_t *all)
{
    char err[256] = "";
    json_t *answer = ask(q, process, request, err, sizeof err);
    const char *refused = json_string_value(json_object_get(answer, "error"));
    bool ok = answer && !refused;

    if (ok)
        json_object_set_new(all, process, json_pack("{s:b}", "ok", 1));
    else
        json_object_set_new(all, process,
                            json_pack("{s:b, s:s}", "ok", 0, "why", refused ? refused : err));
    json_decref(answer);
    return ok;
}

/* Does it answer? */
static bool healthy(const struct question *q, const char *process, json_t *all)
{
    return asked(q, process, "state", all);
}

/* Is its supervisor there? */
static bool suite_live(const struct question *q, json_t *all)
{
    bool up = state_locked(q->dir);

    json_object_set_new(all, "up",
                        up ? json_pack("{s:b}", "ok", 1)
                           : json_pack("{s:b, s:s}", "ok", 0, "why", "it is not running"));
    return up;
}

/* Everything that a ready suite has: its supervisor, its join string and an answer of each process. */
static bool suite_ready(const struct question *q, json_t *all)
{
    char path[PATH_MAX];
    bool ok = suite_live(q, all);

    ok = ok && state_path(q->dir, "join", path) && access(path, R_OK) == 0;
    for (size_t i = 0; i < PROCESSES; i++)
        ok = healthy(q, processes[i], all) && ok;
    return ok;
}

static void show_all(bool ok, const char *otherwise, const char *each, json_t *all)
{
    const char *name;
    json_t *v;

    printf("%s\n", ok ? "ok" : otherwise);
    json_object_foreach(all, name, v)
    {
        const char *why = json_string_value(json_object_get(v, "why"));
        printf("  %-12s %s%s%s\n", name, why ? each : "ok", why ? ": " : "", why ? why : "");
    }
}

/* Print what came of it and release it; the exit status. */
static int tell_all(const struct question *q, bool ok, const char *otherwise, const char *each,
                    json_t *all)
{
    if (q->json) {
        json_t *answer = json_pack("{s:b, s:O}", "ok", ok, "processes", all);
        ask_print_json(answer);
        json_decref(answer);
    } else {
        show_all(ok, otherwise, each, all);
    }
    json_decref(all);
    return fflush(stdout) == 0 && ok ? EXIT_OK : EXIT_FAILED;
}

int cmd_health(int argc, char **argv)
{
    struct question q = {0};
    const struct param extra[] = {
        {"live",  PARAM_FLAG, &q.live,  "is the suite up at all?",              false},
        {"ready", PARAM_FLAG, &q.ready, "does all of it answer? (the default)", false}
    };

    int status = ask_parse(&q, NO_ARGUMENT, extra, 2, argc, argv);
    if (status != EXIT_OK)
        return status;
    if (q.live && q.ready)
        return usage_error("health: --live or --ready, not both");
    json_t *all = json_object();
    bool ok = q.socket ? healthy(&q, "process", all)
              : q.live ? suite_live(&q, all)
                       : suite_ready(&q, all);
    return tell_all(&q, ok, "not ready", "down", all);
}

/* ---- what an operator has processes do ------------------------------------------------------ */

/* With --state DIR, of the processes of the suite those that the verb is for. */
static int order(enum argument kind, int argc, char **argv)
{
    struct question q = {0};
    char request[64];
    bool ok = true;

    int status = ask_parse(&q, kind, NULL, 0, argc, argv);
    if (status != EXIT_OK)
        return status;
    if (snprintf(request, sizeof request, "%s %s", argv[0], q.argument) >= (int)sizeof request)
        return usage_error("%s: %s is too long", argv[0], q.argument);
    json_t *all = json_object();
    for (size_t i = 0; i < (q.socket ? 1 : PROCESSES); i++)
        ok = asked(&q, q.socket ? "process" : processes[i], request, all) && ok;
    return tell_all(&q, ok, "failed", "no", all);
}

int cmd_reload(int argc, char **argv) { return order(NO_ARGUMENT, argc, argv); }
int cmd_loglevel(int argc, char **argv) { return order(LEVEL, argc, argv); }

/* How many sessions the suite's relay has, and whether there is another one with room for them. */
static json_t *relayed(const struct question *q)
{
    char err[256];
    json_t *own = ask(q, "relay", "state", err, sizeof err), *one;
    json_t *all = ask(q, "coordinator", "relays", err, sizeof err);
    const char *addr = json_string_value(json_object_get(own, "addr"));
    json_int_t sessions = json_integer_value(json_object_get(own, "sessions"));
    bool other = false;
    size_t i;

    json_array_foreach(all, i, one)
    {
        const char *at = json_string_value(json_object_get(one, "addr"));
        other = other || (at && addr && strcmp(at, addr) != 0 &&
                          json_is_true(json_object_get(one, "alive")) &&
                          !json_is_true(json_object_get(one, "draining")) &&
                          json_integer_value(json_object_get(one, "sessions")) <
                              json_integer_value(json_object_get(one, "sessions_max")));
    }
    json_decref(own);
    json_decref(all);
    return json_pack("{s:b, s:I, s:b}", "ok", 1, "sessions", sessions, "move", other);
}

static void print_relayed(const json_t *relay)
{
    bool move = json_is_true(json_object_get(relay, "move"));

    printf("%" JSON_INTEGER_FORMAT " sessions on the relay: %s\n",
           json_integer_value(json_object_get(relay, "sessions")),
           move ? "they go to other relays"
                : "no other relay has room, they stay until they end or drain-limit is over");
}

/* The coordinator alone, which is the first of them: when it has settled, `up` has the others do it too. */
int cmd_drain(int argc, char **argv)
{
    struct question q = {0};

    int status = ask_parse(&q, NO_ARGUMENT, NULL, 0, argc, argv);
    if (status != EXIT_OK)
        return status;
    json_t *all = json_object();
    json_t *relay = q.socket ? NULL : relayed(&q);
    bool ok = asked(&q, q.socket ? "process" : processes[0], "drain", all);
    if (relay && ok && q.json)
        json_object_set(all, "relay", relay);
    status = tell_all(&q, ok, "failed", "no", all);
    if (relay && ok && !q.json)
        print_relayed(relay);
    json_decref(relay);
    return fflush(stdout) == 0 ? status : EXIT_FAILED;
}
