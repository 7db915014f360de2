/*
 * listen.c - `natterjack listen`: be reachable under a name, and answer: with an echo, a local UDP service
 * or a command for each session.
 */
#include "lib/cage.h"
#include "lib/params.h"
#include "services/natterjack/ask_hook.h"
#include "services/natterjack/bridge.h"
#include "services/natterjack/own.h"
#include "services/natterjack/peer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RAW_SILENT_US = 300 * 1000000, RAW_LOOK_US = 10 * 1000000, UNHEARD_US = 5 * 1000000 };

static struct {
    bool json, echo, said, over;
    const char *udp, *exec, *admin;
    struct addr udp_at;
    uint16_t mode;
    int app[ATTEMPTS_MAX];          /* the application's end of each path that has no bridge */
    int64_t heard_us[ATTEMPTS_MAX]; /* when something last came by it */
    struct bridge bridge[ATTEMPTS_MAX];
    int status;
} self;

/* The application: send back what comes, or only read it. */
static bool receive_app(struct service *s, void *arg, struct input *in)
{
    uint8_t data[DATAGRAM_MAX];
    int fd = self.app[(uintptr_t)arg];
    ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);
    bool raw = self.mode == MODE_RAW;

    (void)in;
    if (n >= 0)
        self.heard_us[(uintptr_t)arg] = service_now_us();
    if ((n > 0 || (n == 0 && raw)) && self.echo)
        send(fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n == 0 && !raw)
        service_unwatch_fd(s, fd); /* closed by the session's end, told by its event */
    return false;
}

static void say_listening(struct agent *g)
{
    char id[PEER_ID_TEXT];

    if (self.said || !g->core.attached || !may_say(self.json))
        return;
    self.said = true;
    peer_id_format(&g->core.conf.id, id);
    if (self.json) {
        print_line(json_pack("{s:s, s:s?, s:s, s:o, s:o}", "event", "listening", "name",
                             g->conf.name[0] ? g->conf.name : NULL, "peer", id, "profile",
                             json_profile(&g->core.profile), "reflexive",
                             json_addr(&g->core.reflexive)));
        return;
    }
    printf("listening as %s%s%s\n", g->conf.name[0] ? g->conf.name : id,
           g->conf.name[0] ? ", key " : "", g->conf.name[0] ? id : "");
    fflush(stdout);
}

static void say_reflex(const struct executor *x)
{
    if (!may_say(self.json))
        return;
    json_t *line = json_reflex(x);
    if (self.json) {
        json_object_set_new(line, "event", json_string("reflex"));
        print_line(line);
        return;
    }
    const char *at = json_string_value(json_object_get(line, "override")); /* none when cleared */
    printf("port mapping%s%s: %s%s%s\n", at ? " " : "", at ? at : "",
           override_state_name[x->override.state], x->override.why ? ", " : "",
           x->override.why ? x->override.why : "");
    fflush(stdout);
    json_decref(line);
}

/* Hand the path to what --udp or --exec-udp says; what can't be begun ends the session. */
static void open_bridge(struct agent *g, const struct attempt *a, size_t path)
{
    struct bridge *b = &self.bridge[path];
    int fd = agent_take_socket(g, a);

    bridge_fini(b); /* a command of the path's earlier life that has not ended */
    if (fd < 0)     /* its end comes next */
        return;
    if (a->mode == MODE_RAW)
        bridge_raw(b, (uint32_t)path);
    if (self.exec) {
        bridge_exec(b, fd, self.exec, a);
    } else if (bridge_dial(b, &self.udp_at)) {
        bridge_open(b, fd);
    } else {
        failure("cannot reach %s: %s", self.udp, strerror(errno));
        close(fd);
    }
}

static void on_opened(struct agent *g, const struct attempt *a)
{
    size_t path = (size_t)(a - g->core.attempts);

    if (self.udp || self.exec) {
        open_bridge(g, a, path);
        return;
    }
    self.app[path] = agent_take_socket(g, a);
    self.heard_us[path] = service_now_us();
    if (self.app[path] >= 0)
        service_watch_fd(&g->svc, self.app[path], ZMQ_POLLIN, receive_app, (void *)(uintptr_t)path);
}

static void on_closed(struct agent *g, const struct attempt *a)
{
    size_t path = (size_t)(a - g->core.attempts);

    bridge_close(&self.bridge[path]);
    if (self.app[path] < 0)
        return;
    service_unwatch_fd(&g->svc, self.app[path]);
    close(self.app[path]);
    self.app[path] = -1;
}

static void on_event(struct agent *g, enum app_event event, const struct attempt *a)
{
    switch (event) {
    case APP_PROFILE:
    case APP_ATTACHED:
        if (event == APP_PROFILE || g->core.profile_known)
            say_listening(g);
        break;
    case APP_REFUSED:
        self.status = failure("%s; %s", verdict_cause(g->core.refused_verdict),
                              verdict_remedy(g->core.refused_verdict));
        self.over = true;
        break;
    case APP_REFLEX: say_reflex(&g->core); break;
    case APP_OPENED: on_opened(g, a); break;
    case APP_SETTLED: say_session(self.json, a, "session"); break;
    case APP_PATH:
        if (a->state == ATTEMPT_DIRECT || a->state == ATTEMPT_RELAYED)
            say_session(self.json, a, "path");
        break;
    case APP_CLOSED:
        say_session(self.json, a, "closed");
        on_closed(g, a);
        break;
    default: break;
    }
}

/*
 * A raw path does not end by itself when the other side is gone; where we are its application, silence
 * ends it.  (A command of --exec-udp sees to that itself.)
 */
static void close_silent(struct agent *g)
{
    int64_t since_us = service_now_us() - RAW_SILENT_US;

    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        bool bridged = self.bridge[i].raw && self.bridge[i].udp >= 0;
        if ((bridged && self.bridge[i].heard_us < since_us) ||
            (self.mode == MODE_RAW && self.app[i] >= 0 && self.heard_us[i] < since_us))
            agent_close_path(g, &g->core.attempts[i], APP_CLOSE);
    }
}

static bool is_over(void *arg)
{
    (void)arg;
    return self.over;
}

static bool is_heard(void *arg)
{
    const struct agent *g = arg;

    return self.over || g->core.attached;
}

/* It tries for as long as it runs; who has started it is told that it waits. */
static void await_coordinator(struct agent *g)
{
    enum verdict why = VERDICT_coordinator_unreachable;

    agent_run(g, service_now_us() + UNHEARD_US, is_heard, g);
    if (!is_heard(g) && !g->svc.stop)
        failure("%s: %s; it is tried again and again", verdict_cause(why), verdict_remedy(why));
}

/* Who may call; asking needs somebody to ask. */
static int parse_accept(const char *text, const char *hook, struct agent_conf *conf)
{
    for (uint16_t i = 0; i < ACCEPT_COUNT; i++)
        if (strcmp(text, accept_name[i]) == 0) {
            conf->accept = i;
            if ((i == ACCEPT_ASK) != (hook != NULL))
                return usage_error("--accept ask and --ask-hook PROGRAM go together");
            if (hook && !ask_hook_found(hook))
                return usage_error("--ask-hook: there is no program %s", hook);
            return EXIT_OK;
        }
    return usage_error("--accept takes anyone, known, ask or nobody, not \"%s\"", text);
}

int cmd_listen(int argc, char **argv)
{
    static struct agent agent;
    struct peer_flags f = {.o = "text"};
    struct reflex_flags reflex = {0};
    struct blocks_flags blocks = {0};
    struct agent_conf conf = {.on_event = on_event, .on_invite = ask_hook_run};
    const char *accept = "anyone", *hook = NULL, *mode = "managed";
    const struct param params[] = {
        PEER_PARAMS(f),
        REFLEX_PARAMS(reflex),
        BLOCKS_PARAMS(blocks),
        {"name",     PARAM_TEXT, &f.name,     "N  be called N; the first key to claim it keeps it",    false},
        {"key",      PARAM_TEXT, &f.key,      "FILE  this peer's key, made if absent",                 false},
        {"echo",     PARAM_FLAG, &self.echo,  "   send every datagram back",                           false},
        {"udp",      PARAM_TEXT, &self.udp,
                  "HOST:PORT  pass each session's datagrams to this UDP service, from a socket of its own",
                  false                                                                                              },
        {"exec-udp", PARAM_TEXT, &self.exec,
                  "CMD  for each session run CMD with the path as stdin and stdout, a datagram per read and "
         "write",                                                                                               false},
        {"accept",   PARAM_TEXT, &accept,
                  "anyone|known|ask|nobody  who may connect; known: who has been in a session with this key "
         "before",                                                                                              false},
        {"ask-hook", PARAM_TEXT, &hook,
                  "PROGRAM  is run with a caller's peer id and name, and takes the call with status 0",
                  false                                                                                              },
        {"admin",    PARAM_TEXT, &self.admin, "PATH  answer `natterjack punches --socket PATH` there",
                  false                                                                                              },
        {"mode",     PARAM_TEXT, &mode,
                  "managed|raw  the hand-over of sessions: watched over and sealed, or the bare UDP socket",
                  false                                                                                              },
    };
    int n = params_parse("natterjack listen --join J --name NAME --key FILE "
                         "[--echo | --udp HOST:PORT | --exec-udp CMD]",
                         params, sizeof params / sizeof *params, argc, argv);

    if (n != 1)
        return usage_error("unexpected argument: %s", argv[1]);
    self.json = output_json(f.o);
    int status = parse_accept(accept, hook, &conf);
    if (status != EXIT_OK)
        return status;
    status = peer_mode(mode, &conf, &self.mode);
    if (status != EXIT_OK)
        return status;
    if (self.echo + (self.udp != NULL) + (self.exec != NULL) > 1)
        return usage_error("one of --echo, --udp and --exec-udp, not more");
    if (self.udp && (!bridge_address(self.udp, &self.udp_at) || self.udp_at.port == 0))
        return usage_error("--udp takes HOST:PORT, not \"%s\"", self.udp);
    status = reflex_conf(&reflex, &conf);
    if (status == EXIT_OK)
        status = blocks_conf(&blocks, &conf);
    if (status == EXIT_OK)
        status = peer_conf(&f, &conf);
    if (status != EXIT_OK)
        return status;
    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        self.app[i] = -1;
        bridge_init(&self.bridge[i], &agent.svc);
    }
    agent_open(&agent, &conf);
    own_admin_open(&agent, self.admin);
    ask_hook_open(&agent.svc, hook);
    cage_peer(hook || self.exec);
    await_coordinator(&agent);
    while (!self.over && !agent.svc.stop) {
        agent_run(&agent, self.mode == MODE_RAW ? service_now_us() + RAW_LOOK_US : NEVER, is_over,
                  NULL);
        close_silent(&agent);
    }
    int signal = agent.svc.stop_signal;
    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        bridge_fini(&self.bridge[i]);
    ask_hook_close();
    own_admin_close(self.admin);
    agent_close(&agent);
    return signal == SIGINT ? EXIT_INTERRUPTED : self.status;
}
