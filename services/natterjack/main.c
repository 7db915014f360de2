/* main.c - the command `natterjack`: its verbs, and which function carries each out. */
#include "services/natterjack/command.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *arguments, *help; /* each verb's --help lists its flags */
} verbs[] = {
    {"up",             cmd_up,              "--state DIR [--public-ip A[,B]]",              "run a whole suite here; prints its join string"},
    {"init",           cmd_init,            "--state DIR [--public-ip A[,B]]",              "only make the keys of a suite; prints its join string"},
    {"run",            cmd_run,             "PROCESS --state DIR [--public-ip A]",          "run one process of it, in the foreground"},
    {"certify-prober", cmd_certify_prober,  "--state DIR --public-ip A[,B] NEW-DIR",        "make the key of a prober on another host"},
    {"certify-relay",  cmd_certify_relay,   "--state DIR --public-ip A NEW-DIR",            "make the key of one more relay, on any host"},
    {"join-string",    cmd_join_string,     "--state DIR",                                  "print the join string of the suite that runs on DIR"},
    {"netcheck",       cmd_netcheck,        "--join J [--key FILE]",                        "what this host's NAT does, and what that means"},
    {"listen",         cmd_listen,          "--join J --name N --key FILE",                 "be reachable as N"},
    {"connect",        cmd_connect,         "--join J --key FILE NAME|PEER-ID",             "open a path to a peer"},
    {"keygen",         cmd_keygen,          "FILE",                                         "make a peer key and print its peer id"},
    {"sessions",       cmd_sessions,        "[--pending]",                                  "sessions that live, or ended a while ago"},
    {"session",        cmd_session,         "SID",                                          "one session"},
    {"explain",        cmd_explain,         "SID [--join J --key FILE]",                    "why a session went as it did; with a key, one of its own"},
    {"coordinate",     cmd_coordinate,      "A B [--policy P] [--timeout S]",               "bring two peers together that accept each other"},
    {"cancel",         cmd_cancel,          "SID",                                          "end a session"},
    {"peers",          cmd_peers,           "",                                             "peers that are attached, or were a while ago"},
    {"peer",           cmd_peer,            "NAME|PEER-ID",                                 "one peer"},
    {"release",        cmd_release,         "NAME",                                         "free a name whose owner is gone"},
    {"relays",         cmd_relays,          "",                                             "relays and their load"},
    {"coordinators",   cmd_coordinators,    "",                                             "coordinators and what they hold"},
    {"punches",        cmd_punches,         "--socket PATH",                                "a listen's or connect's own attempts, at its --admin PATH"},
    {"reflex",         cmd_reflex,          "[override ADDR:PORT | clear] --socket PATH",   "the port mapping on a listen's or connect's router"},
    {"stats",          cmd_stats,           "",                                             "counters of every outcome"},
    {"state",          cmd_state,           "PROCESS",                                      "what coordinator, classifier, prober or relay holds"},
    {"health",         cmd_health,          "[--live|--ready]",                             "exit status 0 when the suite is well, else 1"},
    {"reload",         cmd_reload,          "",                                             "have the processes read the configuration again"},
    {"drain",          cmd_drain,           "",                                             "take no new sessions, and end when all are settled"},
    {"loglevel",       cmd_loglevel,        "debug|info|warn",                              "what is logged, until the next reload"},
};
/* clang-format on */

static int usage(FILE *f)
{
    fprintf(f, "usage: natterjack VERB ...   (natterjack VERB --help lists a verb's flags)\n\n");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        fprintf(f, "  %-14s %-42s  %s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
    fprintf(f, "\nVerbs about a running suite take --state DIR or --socket PATH; all that print "
               "take -o json.\n");
    return f == stdout ? EXIT_OK : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE,
           SIG_IGN); /* a process that goes away while it is asked is an error, not our end */
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    return usage_error("no such verb: %s (natterjack --help lists them)", argv[1]);
}
