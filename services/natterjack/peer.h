/* peer.h - what connect, listen and netcheck share: their flags, the agent, and events as JSON lines. */
#ifndef PEER_H
#define PEER_H

#include "services/executor/agent_shell.h"
#include "services/natterjack/command.h"

#include <jansson.h>

/* The flags that every peer verb takes; see PEER_PARAMS. */
struct peer_flags {
    const char *join, *key, *name, *o;
    bool verbose;
};

#define PEER_PARAMS(f)                                                                           \
    {"join", PARAM_TEXT, &(f).join,                                                              \
     "J  the join string, or @FILE (default: NATTERJACK_JOIN, or NATTERJACK_JOIN_FILE)", false}, \
        {"o", PARAM_TEXT, &(f).o, "json|text  how to print", false},                             \
    {                                                                                            \
        "verbose", PARAM_FLAG, &(f).verbose, "   log what happens on stderr", false              \
    }

/* The flags of an operator's port mapping, of listen and connect. */
struct reflex_flags {
    const char *override;
    uint32_t port;
};

#define REFLEX_PARAMS(f)                                                                     \
    {"reflex-override", PARAM_TEXT, &(f).override,                                           \
     "ADDR:PORT  the router's public address and a UDP port of it that is mapped to --port", \
     false},                                                                                 \
    {                                                                                        \
        "port", PARAM_U32, &(f).port, "N  the local UDP port (default: any)", false          \
    }

/* The flags of block-birthday, of listen and connect. */
enum { BLOCKS_MAX = 50, BLOCKS_LIFTED_MAX = 255 }; /* percent of the own NAT's block */
struct blocks_flags {
    uint32_t percent;
    bool lifted;
};

#define BLOCKS_PARAMS(f)                                                                         \
    {"blocks", PARAM_U32, &(f).percent,                                                          \
     "N  where both NATs draw random ports from small blocks, try them with N percent of the "   \
     "own one, at most 50 (default 0: not)",                                                     \
     false},                                                                                     \
    {                                                                                            \
        "blocks-lifted", PARAM_FLAG, &(f).lifted,                                                \
            "   let --blocks be up to 255: for laboratories, since it leaves no port to others", \
            false                                                                                \
    }

/* Fill in conf's blocks.  Returns as peer_conf does. */
int blocks_conf(const struct blocks_flags *f, struct agent_conf *conf);

/* Fill in conf's port and override.  Returns as peer_conf does. */
int reflex_conf(const struct reflex_flags *f, struct agent_conf *conf);

/* "override", "state", "why" of what is known of an operator's port mapping. */
json_t *json_reflex(const struct executor *x);

/*
 * Fill in conf's join string, key and name.  Without a key file the key lives as long as the process.
 * Returns EXIT_OK, or another status after a sentence on stderr.
 */
int peer_conf(const struct peer_flags *f, struct agent_conf *conf);

/* EXIT_OK when --timeout leaves any time. */
int peer_timeout(int64_t timeout_us);

/* What --mode says: of one session, and all that the peer takes. */
int peer_mode(const char *text, struct agent_conf *conf, uint16_t *mode);

/* Print one JSON line on stdout at once, and release it. */
void print_line(json_t *line);

/*
 * Will stdout take a line at once?  A reader that does not read must not stop the sessions: what it leaves no
 * room for is left out and counted, and that is said when there is room again.
 */
bool may_say(bool json);

/* A line about a session that goes on, where there is room: "session", "path" or "closed". */
void say_session(bool json, const struct attempt *a, const char *event);

/* A time in ms since another, or null when it has not come (0 or less). */
json_t *json_ms(int64_t at_us, int64_t since_us);

json_t *json_addr(const struct addr *a); /* text, or null */
json_t *json_profile(const struct profile *p);

/* "session", "peer", "name", "path", "technique", "remote", "kind", "verdict", "remedy" of an attempt. */
json_t *json_attempt(const struct attempt *a);

#endif
