/*
 * ask_own.c - see ask_own.h.
 *
 * It says who it is by its key alone and does not attach: it would take the place of a listen or connect
 * that runs with the same key.
 */
#include "services/natterjack/ask_own.h"
#include "services/natterjack/ask.h"
#include "services/natterjack/peer.h"
#include "services/natterjack/view.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MS = 5000, TEXT_MAX = 64 * 1024 };

bool ask_own_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--key") == 0 || strncmp(argv[i], "--key=", strlen("--key=")) == 0)
            return true;
    return false;
}

static bool send_question(zsock_t *sock, const struct sid *session)
{
    struct msg m = {.type = MSG_explain, .explain = {.session = *session}};
    char body[MSG_SIZE_MAX];
    size_t len = msg_encode(&m, body);

    return zsock_send(sock, "sb", msg_name[m.type], body, len) == 0;
}

/* One message of the answer; false when none comes, or what comes is something else. */
static bool receive(zsock_t *sock, const struct sid *session, struct msg *m)
{
    zmsg_t *raw = zmsg_recv(sock);
    bool ok = raw && zmsg_size(raw) == 2;

    if (ok) {
        char *type = zmsg_popstr(raw);
        zframe_t *body = zmsg_first(raw);
        ok = msg_decode(m, type, (const char *)zframe_data(body), zframe_size(body), NULL) ==
                 MSG_OK &&
             m->type == MSG_explained && sid_eq(&m->explained.session, session);
        zstr_free(&type);
    }
    zmsg_destroy(&raw);
    return ok;
}

/* All parts in text, which they fill; else why not. */
static const char *receive_all(zsock_t *sock, const struct sid *session, char text[TEXT_MAX + 1])
{
    size_t len = 0;
    struct msg m;

    for (unsigned part = 0;; part++) {
        if (!receive(sock, session, &m))
            return "the coordinator does not answer";
        const struct msg_explained *e = &m.explained;
        if (strcmp(e->kind, "not-found") == 0)
            return "no session of this key that the coordinator knows has that id";
        if (e->kind[0] != '\0')
            return strcmp(e->kind, "rate-limited") == 0 ? "too many questions in a short time"
                                                        : "the coordinator is overloaded";
        if (e->part != part || part >= e->parts || len + e->json.len > TEXT_MAX)
            return "the coordinator's answer makes no sense";
        memcpy(text + len, e->json.b, e->json.len);
        len += e->json.len;
        if (part + 1 == e->parts)
            break;
    }
    text[len] = '\0';
    return NULL;
}

static const char *question(const struct agent_conf *conf, const struct sid *session,
                            char text[TEXT_MAX + 1])
{
    char where[ADDR_TEXT_MAX];
    zsock_t *sock = agent_socket(conf);
    const char *why = "the coordinator can't be reached, or does not admit this key";

    zsock_set_sndtimeo(sock, ANSWER_MS);
    zsock_set_rcvtimeo(sock, ANSWER_MS);
    if (zsock_connect(sock, "tcp://%s", addr_format(&conf->join.front[0], where, sizeof where)) ==
            0 &&
        send_question(sock, session))
        why = receive_all(sock, session, text);
    zsock_destroy(&sock);
    return why;
}

static int refuse(bool json, const char *why)
{
    json_t *error = json_pack("{s:s}", "error", why);

    if (json)
        ask_print_json(error);
    else
        failure("%s", why);
    json_decref(error);
    return EXIT_FAILED;
}

int ask_own(int argc, char **argv)
{
    static char text[TEXT_MAX + 1];
    struct peer_flags f = {.o = "text"};
    struct agent_conf conf = {.name = ""};
    struct sid session;
    const struct param params[] = {
        PEER_PARAMS(f), {"key", PARAM_TEXT, &f.key, "FILE  the peer's key", false}
    };

    argc = params_parse("natterjack explain SID --join J --key FILE", params,
                        sizeof params / sizeof *params, argc, argv);
    if (argc != 2 || !sid_parse(argv[1], &session))
        return usage_error("explain: a session id has 32 hex digits");
    bool json = output_json(f.o);
    if (access(f.key, R_OK) != 0) /* none is made here: it would have had no session */
        return usage_error("cannot use the key file %s: %s", f.key, strerror(errno));
    int status = peer_conf(&f, &conf);
    if (status != EXIT_OK)
        return status;
    const char *why = question(&conf, &session, text);
    sodium_memzero(conf.secret, sizeof conf.secret);
    json_t *answer = why ? NULL : json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!answer)
        return refuse(json, why ? why : "the coordinator's answer makes no sense");
    if (json)
        ask_print_json(answer);
    else
        view_story(stdout, answer);
    json_decref(answer);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
