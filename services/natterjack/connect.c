/*
 * connect.c - `natterjack connect`: a path to a peer; pings over it, a local UDP address or a command at its
 * near end; and one line that says what came of it.
 */
#include "lib/cage.h"
#include "lib/params.h"
#include "services/natterjack/bridge.h"
#include "services/natterjack/known.h"
#include "services/natterjack/own.h"
#include "services/natterjack/peer.h"
#include "services/natterjack/pinger.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct {
    bool json;
    int64_t began_us, attached_us, profiled_us;
    const struct attempt *a; /* ours, from its first event on */
    struct attempt settled;  /* as it was then */
    bool is_settled, closed, forwarding;
    const char *udp, *exec, *admin, *key;
    enum known known; /* of a target called by its name, once there is a path */
    struct peer_id known_peer;
    struct addr udp_at;
    struct bridge bridge; /* when there is one of these two */
    struct pinger pinger; /* or this */
} self = {.pinger.fd = -1};

/* ---- the result -------------------------------------------------------------------------------------------- */

static json_t *median_ms(void)
{
    int64_t us = pinger_median_us(&self.pinger);

    return us < 0 ? json_null() : json_real((double)us / 1000.0);
}

static json_t *result(const struct agent *g)
{
    const struct attempt *a = &self.settled;
    enum path_kind path = executor_path(a);
    const struct way_state *w = &a->way[path == PATH_DIRECT ? WAY_DIRECT : WAY_RELAY];
    json_t *line = json_attempt(a);
    struct addr local = a->own_seen.len ? a->own_seen : g->core.reflexive;
    bool up = path != PATH_FAILED;

    json_object_set_new(line, "event", json_string("result"));
    json_object_set_new(line, "local", json_addr(&local));
    json_object_set_new(line, "warm", json_boolean(a->warm));
    json_object_set_new(line, "known",
                        self.known ? json_string(known_name[self.known]) : json_null());
    if (self.known == KNOWN_CHANGED) {
        char id[PEER_ID_TEXT];
        json_object_set_new(line, "known_peer", json_string(peer_id_format(&self.known_peer, id)));
    }
    json_object_set_new(line, "attach_ms", json_ms(self.attached_us, self.began_us));
    json_object_set_new(line, "probe_ms", json_ms(self.profiled_us, self.attached_us));
    json_object_set_new(line, "connect_ms", json_ms(up ? w->first_heard_us : 0, a->asked_us));
    json_object_set_new(line, "confirmed_ms", json_ms(up ? w->confirmed_us : 0, a->asked_us));
    json_object_set_new(line, "total_ms", json_ms(a->settled_us, self.began_us));
    json_object_set_new(line, "rtt_ms", median_ms());
    json_object_set_new(line, "retry_after_ms",
                        a->retry_after_ms ? json_integer(a->retry_after_ms) : json_null());
    json_object_set_new(line, "attempts", json_integer(a->attempts));
    json_object_set_new(line, "punch_sent",
                        json_integer((json_int_t)a->way[WAY_DIRECT].punches_sent));
    json_object_set_new(line, "punch_received",
                        json_integer((json_int_t)a->way[WAY_DIRECT].punches_received));
    json_object_set_new(line, "sent",
                        json_integer((json_int_t)(self.udp ? self.bridge.sent : self.pinger.sent)));
    json_object_set_new(
        line, "received",
        json_integer((json_int_t)(self.udp ? self.bridge.received : self.pinger.received)));
    return line;
}

static const char *text_of(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));

    return text ? text : "-";
}

static void print_result(const struct agent *g)
{
    json_t *line = result(g);

    if (self.json) {
        print_line(line);
        return;
    }
    printf("%s", text_of(line, "path"));
    if (executor_path(&self.settled) == PATH_DIRECT)
        printf(" by %s", text_of(line, "technique"));
    if (executor_path(&self.settled) != PATH_FAILED)
        printf(", to %s, settled after %.0f ms", text_of(line, "remote"),
               json_real_value(json_object_get(line, "total_ms")));
    printf("\n  why: %s\n", verdict_cause(self.settled.verdict));
    if (executor_path(&self.settled) != PATH_DIRECT)
        printf("  what would help: %s\n", verdict_remedy(self.settled.verdict));
    if (self.settled.retry_after_ms > 0)
        printf("  try again in %u s\n", (self.settled.retry_after_ms + 999) / 1000);
    if (self.pinger.sent > 0)
        printf("  pings: %u sent, %u answered, median %.1f ms\n", self.pinger.sent,
               self.pinger.received, json_real_value(json_object_get(line, "rtt_ms")));
    printf("  session: %s\n", text_of(line, "session"));
    fflush(stdout); /* what the path is for goes on */
    json_decref(line);
}

/* ---- what is at the near end ------------------------------------------------------------------------------- */

static bool bridged(void) { return self.udp || self.exec; }

static void say_forwarding(const struct attempt *a)
{
    char sid[SID_TEXT], peer[PEER_ID_TEXT], at[ADDR_TEXT_MAX];

    if (self.json)
        print_line(json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "event", "forwarding", "session",
                             sid_format(&a->session, sid), "peer", peer_id_format(&a->peer, peer),
                             "udp", self.udp ? addr_format(&self.udp_at, at, sizeof at) : NULL,
                             "exec", self.exec));
    else if (self.udp)
        printf("forwarding %s\n", addr_format(&self.udp_at, at, sizeof at));
    fflush(stdout);
}

/* For who reads the lines, once both have come, in whatever order; as text the result says it. */
static void say_settled(const struct attempt *a)
{
    if (self.json && self.forwarding && self.is_settled)
        say_session(self.json, a, "session");
}

/* A name is the coordinator's word: is its key the one that it had before?  Said before any data flows. */
static void check_known(const struct attempt *a)
{
    char now[PEER_ID_TEXT], before[PEER_ID_TEXT];

    if (a->target[0] == '\0' || self.known)
        return;
    self.known = known_check(self.key, a->target, &a->peer, &self.known_peer);
    if (self.known == KNOWN_CHANGED)
        failure("WARNING: %s has another key than before: now %s, before %s. Somebody else has "
                "claimed the "
                "name, or the coordinator lies. When you have checked that it is right, remove its "
                "line "
                "from %s.known_peers",
                a->target, peer_id_format(&a->peer, now), peer_id_format(&self.known_peer, before),
                self.key);
}

/* The path carries data from here on, over the relay until it is settled. */
static void on_opened(struct agent *g, const struct attempt *a)
{
    int fd = agent_take_socket(g, a);

    check_known(a);
    if (!bridged()) {
        self.pinger.fd = fd;
        self.pinger.raw = a->mode == MODE_RAW;
        return;
    }
    if (fd < 0)
        return;
    if (a->mode == MODE_RAW)
        bridge_raw(&self.bridge, (uint32_t)(a - g->core.attempts));
    if (self.udp)
        bridge_open(&self.bridge, fd);
    else
        bridge_exec(&self.bridge, fd, self.exec,
                    a); /* without a command the session ends at once */
    say_forwarding(a);
    self.forwarding = true;
    say_settled(a);
}

/* ---- events ------------------------------------------------------------------------------------------------- */

/* What ended it is the result, whatever path there was before. */
static void fail_late(const struct attempt *a)
{
    self.settled.path = PATH_FAILED;
    self.settled.verdict = a->verdict;
    memcpy(self.settled.kind, a->kind, sizeof self.settled.kind);
}

static void on_event(struct agent *g, enum app_event event, const struct attempt *a)
{
    int64_t now = service_now_us();

    switch (event) {
    case APP_ATTACHED:
        if (!self.attached_us)
            self.attached_us = now;
        break;
    case APP_PROFILE: self.profiled_us = now; break;
    case APP_OPENED:
        if (a->side == 0)
            on_opened(g, a);
        break;
    case APP_SETTLED:
        if (a->side == 0 && !self.is_settled) {
            self.a = a;
            self.settled = *a;
            self.is_settled = true;
            say_settled(a);
        }
        break;
    case APP_PATH:
        if (a == self.a && self.forwarding &&
            (a->state == ATTEMPT_DIRECT || a->state == ATTEMPT_RELAYED))
            say_session(self.json, a, "path");
        break;
    case APP_CLOSED:
        if (a != self.a)
            break;
        self.closed = self.pinger.over = true;
        if (self.is_settled && a->kind[0] != '\0') /* it has failed since */
            fail_late(a);
        bridge_close(&self.bridge);
        break;
    default: break;
    }
}

static bool settled(void *arg)
{
    (void)arg;
    return self.is_settled;
}

static bool closed(void *arg)
{
    (void)arg;
    return self.closed;
}

static int exit_status(void)
{
    static const int by_path[PATH_COUNT] = {
        [PATH_FAILED] = EXIT_FAILED,
        [PATH_RELAYED] = EXIT_RELAYED,
        [PATH_HALF] = EXIT_HALF,
        [PATH_DIRECT] = EXIT_OK,
    };

    if (self.pinger.pings > 0 && self.pinger.received == 0)
        return EXIT_FAILED;
    return by_path[executor_path(&self.settled)];
}

static bool find_text(const char *text, const char *const *names, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (uint16_t)i;
            return true;
        }
    return false;
}

/* What the application at the near end is; EXIT_OK, or another status after a sentence on stderr. */
static int open_near_end(struct agent *g)
{
    bridge_init(&self.bridge, &g->svc);
    if ((self.pinger.pings > 0) + (self.udp != NULL) + (self.exec != NULL) > 1)
        return usage_error("one of --ping, --udp and --exec-udp, not more");
    if (self.pinger.pings > PINGS_MAX)
        return usage_error("--ping takes at most %d", PINGS_MAX);
    if (!self.udp)
        return EXIT_OK;
    if (!bridge_address(self.udp, &self.udp_at))
        return usage_error("--udp takes HOST:PORT, not \"%s\"", self.udp);
    if (!bridge_bind(&self.bridge, &self.udp_at))
        return failure("cannot listen on %s: %s", self.udp, strerror(errno));
    return EXIT_OK;
}

/* Until settled, and then for as long as the near end wants. */
static void run(struct agent *g, const struct agent_conf *conf, const struct connect_args *args)
{
    agent_open(g, conf);
    own_admin_open(g, self.admin);
    cage_peer(self.exec);
    agent_connect(g, args);
    agent_run(g, NEVER, settled, NULL);
    if (!self.is_settled || executor_path(&self.settled) == PATH_FAILED)
        return;
    if (self.pinger.pings > 0)
        pinger_run(&self.pinger, g);
    if (bridged() && !self.json)
        print_result(g);
    if (bridged())
        agent_run(g, NEVER, closed, NULL);
}

static int finish(struct agent *g)
{
    bool interrupted = g->svc.stop_signal == SIGINT;
    enum app_op op = self.is_settled ? APP_CLOSE : APP_CANCEL;

    for (size_t i = 0; i < ATTEMPTS_MAX;
         i++) /* one of them is ours, at most; cancelling settles it */
        if (g->core.attempts[i].state != ATTEMPT_FREE &&
            g->core.attempts[i].state != ATTEMPT_CLOSED)
            agent_close_path(g, &g->core.attempts[i], op);
    bool said = bridged() && !self.json && executor_path(&self.settled) != PATH_FAILED;
    if (!said)
        print_result(g);
    bridge_fini(&self.bridge);
    own_admin_close(self.admin);
    agent_close(g);
    pinger_fini(&self.pinger);
    if (interrupted)
        return EXIT_INTERRUPTED;
    return exit_status();
}

int cmd_connect(int argc, char **argv)
{
    static struct agent agent;
    struct peer_flags f = {.o = "text"};
    struct reflex_flags reflex = {0};
    struct blocks_flags blocks = {0};
    struct agent_conf conf = {.on_event = on_event, .accept = ACCEPT_NOBODY};
    struct connect_args args = {.mode = MODE_MANAGED};
    const char *policy = "auto", *mode = "managed";
    int64_t timeout_us = 15 * 1000000;
    const struct param params[] = {
        PEER_PARAMS(f),
        REFLEX_PARAMS(reflex),
        BLOCKS_PARAMS(blocks),
        {"name",     PARAM_TEXT,    &f.name,            "N  the own name, claimed by this key",                  false},
        {"key",      PARAM_TEXT,    &f.key,             "FILE  this peer's key, made if absent",                 false},
        {"ping",     PARAM_U32,     &self.pinger.pings, "N  exchange N pings over the path",                     false},
        {"udp",      PARAM_TEXT,    &self.udp,
                  "HOST:PORT  listen there; what comes goes to the peer, its answers to the last sender",
                  false                                                                                                        },
        {"exec-udp", PARAM_TEXT,    &self.exec,
                  "CMD  run CMD with the path as stdin and stdout, a datagram per read and write",                        false},
        {"policy",   PARAM_TEXT,    &policy,            "auto|direct|relay  which paths are wanted",             false},
        {"admin",    PARAM_TEXT,    &self.admin,        "PATH  answer `natterjack punches --socket PATH` there",
                  false                                                                                                        },
        {"mode",     PARAM_TEXT,    &mode,
                  "managed|raw  the hand-over: watched over and sealed, or the bare UDP socket",                          false},
        {"timeout",  PARAM_SECONDS, &timeout_us,        "S  settle within S seconds (default 15)",               false},
    };

    self.began_us = service_now_us();
    int n = params_parse("natterjack connect --join J --key FILE NAME|PEER-ID "
                         "[--ping N | --udp HOST:PORT | --exec-udp CMD]",
                         params, sizeof params / sizeof *params, argc, argv);
    if (n != 2)
        return usage_error(n < 2 ? "whom to connect to?" : "unexpected argument: %s", argv[n - 1]);
    self.json = output_json(f.o);
    if (!peer_id_parse(argv[1], &args.target_id)) {
        if (!name_valid(argv[1]))
            return usage_error("\"%s\" is neither a name nor a peer id", argv[1]);
        msg_text(args.target, sizeof args.target, argv[1]);
    }
    if (!find_text(policy, policy_name, POLICY_COUNT, &args.policy))
        return usage_error("--policy takes auto, direct or relay, not \"%s\"", policy);
    int status = peer_timeout(timeout_us);
    if (status == EXIT_OK)
        status = peer_mode(mode, &conf, &args.mode);
    if (status == EXIT_OK)
        status = open_near_end(&agent);
    if (status == EXIT_OK)
        status = reflex_conf(&reflex, &conf);
    if (status == EXIT_OK)
        status = blocks_conf(&blocks, &conf);
    if (status == EXIT_OK)
        status = peer_conf(&f, &conf);
    self.key = f.key;
    if (status != EXIT_OK)
        return status;

    args.deadline_us = self.began_us + timeout_us;
    run(&agent, &conf, &args);
    return finish(&agent);
}
