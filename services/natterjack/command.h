/*
 * command.h - the verbs of the command `natterjack`, and what they share.
 *
 * A verb is a function with main's arguments, argv[0] being the verb; it returns the exit status.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>

enum {
    EXIT_OK = 0, /* of connect: direct */
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_RELAYED = 3,
    EXIT_HALF = 4,
    EXIT_INTERRUPTED = 130
};

int cmd_up(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_certify_prober(int argc, char **argv);
int cmd_certify_relay(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_join_string(int argc, char **argv);
int cmd_keygen(int argc, char **argv);
int cmd_connect(int argc, char **argv);
int cmd_listen(int argc, char **argv);
int cmd_netcheck(int argc, char **argv);

int cmd_sessions(int argc, char **argv);
int cmd_session(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_coordinate(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_peers(int argc, char **argv);
int cmd_peer(int argc, char **argv);
int cmd_release(int argc, char **argv);
int cmd_relays(int argc, char **argv);
int cmd_coordinators(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_punches(int argc, char **argv);
int cmd_reflex(int argc, char **argv);
int cmd_state(int argc, char **argv);
int cmd_health(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_loglevel(int argc, char **argv);

/*
 * What the flag "-o" (a PARAM_TEXT named "o", "text" by default) asks for: true for json, false for
 * text; exits with status 2 and a sentence on stderr for anything else.
 */
bool output_json(const char *o);

/* Say on stderr what is wrong with the command line, and return EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int usage_error(const char *fmt, ...);

/* Say on stderr why it did not work, and return EXIT_FAILED. */
__attribute__((format(printf, 1, 2))) int failure(const char *fmt, ...);

#endif
