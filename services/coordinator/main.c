/* main.c - the coordinator process: read keys and store, open the doors; then wait, step, emit. */
#include "lib/cage.h"
#include "lib/config.h"
#include "lib/keys.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "services/coordinator/admin_shell.h"
#include "services/coordinator/allowlist_shell.h"
#include "services/coordinator/check_shell.h"
#include "services/coordinator/conns_shell.h"
#include "services/coordinator/front_shell.h"
#include "services/coordinator/relays_shell.h"
#include "services/coordinator/store_shell.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static struct service svc; /* static: too large for the stack, and there is one of each */
static struct coordinator core;
static struct outputs out;

static struct flags {
    const char *bus, *admin, *key, *authority, *token_file, *store, *listen_ip, *admission,
        *allowlist, *link, *relays;
    uint32_t front_port, enrol_port, peers, sessions, requests, rejected, relay_kb, relay_kb_s,
        connections, per_ip, all_requests, ip_requests, calls, ip_calls;
    int64_t check_us, handshake_us;
} flags = {
    .listen_ip = "0.0.0.0",
    .admission = "token",
    .front_port = 7440,
    .enrol_port = 7442,
    .peers = COORD_PEERS,
    .sessions = COORD_SESSIONS,
    .requests = COORD_REQUESTS_PER_MIN,
    .rejected = COORD_REJECTED_PER_MIN,
    .per_ip = CONNS_PER_IP,
    .all_requests = COORD_REQUESTS_PER_S,
    .ip_requests = COORD_REQUESTS_OF_SOURCE_PER_MIN,
    .calls = COORD_CALLS_OF_TARGET_PER_MIN,
    .ip_calls = COORD_CALLS_OF_SOURCE_PER_MIN,
    .handshake_us = INT64_C(10000000),
    .check_us = INT64_C(60000000),
};

/* clang-format off */
static const struct param table[] = {
    {"bus",        PARAM_TEXT, &flags.bus,        "DIR   of the bus sockets", true},
    {"admin",      PARAM_TEXT, &flags.admin,      "PATH  of the admin socket", false},
    {"key",        PARAM_TEXT, &flags.key,        "FILE  own X25519 secret, hex", PARAM_REQUIRED | PARAM_SECRET},
    {"authority",  PARAM_TEXT, &flags.authority,  "FILE  public key that certifies probers and relays, hex", true},
    {"token-file", PARAM_TEXT, &flags.token_file, "FILE  enrolment token, hex", PARAM_REQUIRED | PARAM_SECRET},
    {"store",      PARAM_TEXT, &flags.store,      "FILE  of the directory", true},
    {"listen-ip",  PARAM_TEXT, &flags.listen_ip,  "IP    to listen on (0.0.0.0)", false},
    {"front-port", PARAM_U32,  &flags.front_port, "N     TCP, for enrolled peers (7440); 0 is any", false},
    {"enrol-port", PARAM_U32,  &flags.enrol_port, "N     TCP, for enrolment (7442); 0 is any", false},
    {"admission",  PARAM_TEXT, &flags.admission,  "token|allowlist|open  which keys may come in", PARAM_RELOAD},
    {"allowlist",  PARAM_TEXT, &flags.allowlist,  "FILE  with a peer id per line, for that admission; read again by a reload", PARAM_RELOAD},
    {"link",       PARAM_TEXT, &flags.link,       "IP:PORT  TCP, where relays on other hosts reach this coordinator", false},
    {"relays",     PARAM_TEXT, &flags.relays,     "KEY[,...]  of those relays, as certify-relay prints them", PARAM_RELOAD},
    {"peers",      PARAM_U32,  &flags.peers,      "N     attached at once (10000)", false},
    {"sessions",   PARAM_U32,  &flags.sessions,   "N     live at once (10000)", false},
    {"requests-per-minute", PARAM_U32, &flags.requests, "N     punch requests of one peer", PARAM_RELOAD},
    {"relay-kilobytes", PARAM_U32, &flags.relay_kb, "N     that a side may send over the relay in a session (0: any)", PARAM_RELOAD},
    {"relay-kilobytes-per-second", PARAM_U32, &flags.relay_kb_s, "N     that it may send there (0: any)", PARAM_RELOAD},
    {"connections", PARAM_U32, &flags.connections, "N     TCP connections at once; 0 is what the limit of descriptors leaves", false},
    {"connections-per-ip", PARAM_U32, &flags.per_ip, "N     of these, of one ip (IPv6: one /56)", false},
    {"handshake-limit", PARAM_SECONDS, &flags.handshake_us, "S     for a connection to say who it is, then it is dropped", false},
    {"check-every", PARAM_SECONDS, &flags.check_us, "S     between two tries whether the front refuses who is not enrolled", false},
    {"rejected-per-minute", PARAM_U32, &flags.rejected, "N     of these, to targets that don't accept it", PARAM_RELOAD},
    {"requests-per-second", PARAM_U32, &flags.all_requests, "N     punch requests of all peers", false},
    {"requests-per-minute-and-ip", PARAM_U32, &flags.ip_requests, "N     punch requests of the peers of one ip (IPv6: one /56)", false},
    {"calls-per-minute", PARAM_U32, &flags.calls, "N     of one target, by all that call it", false},
    {"calls-per-minute-and-ip", PARAM_U32, &flags.ip_calls, "N     of these, of one ip (IPv6: one /56)", false},
};
/* clang-format on */

static const struct config_group groups[] = {
    {"coordinator", "", table, sizeof table / sizeof *table, false}
};

enum { TABLE_ROWS_MAX = 1000000, BUDGET_MOST = UINT16_MAX };

static void must_load(bool (*load)(const char *, void *, size_t), const char *path, void *to,
                      size_t n)
{
    if (!load(path, to, n))
        die("event=no_key path=%s why=\"%s\"", path, key_problem(errno));
}

static struct peer_id *allowlist; /* the one in force */
static struct service_link_conf links;

/* What the flags say of admission; false, with a sentence in err, when that can't be. */
static bool read_admission(enum admission *how, struct peer_id **keys, size_t *n,
                           char err[static CONFIG_ERROR_MAX])
{
    _Static_assert((int)CONFIG_ERROR_MAX >= (int)ALLOWLIST_ERROR_MAX, "a sentence fits");
    unsigned i = 0;

    *keys = NULL;
    *n = 0;
    while (i < ADMISSION_COUNT && strcmp(admission_name[i], flags.admission) != 0)
        i++;
    *how = (enum admission)i;
    if (i == ADMISSION_COUNT)
        snprintf(err, CONFIG_ERROR_MAX, "admission is token, allowlist or open");
    else if (i == ADMIT_LISTED && !flags.allowlist)
        snprintf(err, CONFIG_ERROR_MAX, "admission by allowlist needs the allowlist's file");
    else
        return i != ADMIT_LISTED || allowlist_load(flags.allowlist, keys, n, err);
    return false;
}

/* A budget is of so many a minute, whose parts are at least a microsecond long. */
static void check_budgets(void)
{
    const uint32_t budgets[] = {flags.all_requests, flags.ip_requests, flags.calls, flags.ip_calls};

    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++)
        if (budgets[i] < 1 || budgets[i] > BUDGET_MOST)
            die("event=bad_flag why=\"requests and calls are from 1 to %d\"", BUDGET_MOST);
}

/* Where relays on other hosts come in, and which. */
static bool read_links(struct service_link_conf *to, char err[static CONFIG_ERROR_MAX])
{
    _Static_assert((int)CONFIG_ERROR_MAX >= (int)RELAYS_ERROR_MAX, "a sentence fits");

    return relays_parse(flags.link, flags.relays, to, err);
}

static void check_flags(void)
{
    struct addr listen;
    enum admission how;
    struct peer_id *keys;
    size_t n;
    char err[CONFIG_ERROR_MAX];

    if (flags.front_port > UINT16_MAX || flags.enrol_port > UINT16_MAX)
        die("event=bad_flag why=\"a port is at most 65535\"");
    if (flags.check_us < 1 || flags.handshake_us < 1000)
        die("event=bad_flag why=\"check-every and handshake-limit are more than 0\"");
    if (flags.per_ip < 1)
        die("event=bad_flag name=connections-per-ip why=\"at least 1\"");
    check_budgets();
    if (!addr_parse_ip(flags.listen_ip, 0, &listen))
        die("event=bad_flag name=listen-ip why=\"%s is not an address\"", flags.listen_ip);
    if (flags.peers < 1 || flags.peers > TABLE_ROWS_MAX || flags.sessions < 1 ||
        flags.sessions > TABLE_ROWS_MAX)
        die("event=bad_flag why=\"peers and sessions are from 1 to %d\"", TABLE_ROWS_MAX);
    if (!read_admission(&how, &keys, &n, err) || !read_links(&links, err))
        die("event=bad_flag why=\"%s\"", err);
    free(keys);
}

static void read_conf(struct coordinator_conf *conf)
{
    must_load(key_load, flags.key, conf->secret, sizeof conf->secret);
    must_load(key_load_public, flags.authority, conf->authority, sizeof conf->authority);
    must_load(key_load, flags.token_file, conf->enrol_token, sizeof conf->enrol_token);
    conf->epoch = (uint64_t)service_wall_ms();
    conf->peers_max = flags.peers;
    conf->sessions_max = flags.sessions;
    conf->requests_per_s = flags.all_requests;
    conf->requests_of_source_per_min = flags.ip_requests;
    conf->calls_of_target_per_min = (uint16_t)flags.calls;
    conf->calls_of_source_per_min = flags.ip_calls;
}

/* Both limits fit, and 0 stands for the default. */
static void set_limits(void)
{
    uint32_t requests = flags.requests < UINT16_MAX ? flags.requests : UINT16_MAX;
    uint32_t rejected = flags.rejected < UINT16_MAX ? flags.rejected : UINT16_MAX;

    coordinator_limit_requests(&core, (uint16_t)requests, (uint16_t)rejected);
    coordinator_limit_relaying(&core, flags.relay_kb * UINT64_C(1000),
                               flags.relay_kb_s * UINT64_C(1000));
}

static bool set_up(char *err)
{
    enum admission how;
    struct peer_id *keys;
    size_t n;

    if (!read_links(&links, err) || !read_admission(&how, &keys, &n, err))
        return false;
    service_links_change(links.to, links.n);
    coordinator_admission(&core, how, keys, n);
    free(allowlist);
    allowlist = keys;
    set_limits();
    return true;
}

/* May this key come in by the front? */
static bool let_in(const struct peer_id *peer)
{
    switch (core.admission) {
    case ADMIT_OPEN: return !check_is_stranger(peer); /* who tries whether anybody is asked */
    case ADMIT_LISTED: return coordinator_listed(&core, peer);
    case ADMIT_TOKEN: break;
    }
    return store_shell_enrolled(peer);
}

static void drain(void) { coordinator_drain(&core); }

/* Under a supervisor the relay drains next, and its sessions are moved from here. */
static bool is_drained(void)
{
    static int64_t settled_us;

    if (coordinator_pending(&core))
        return false;
    if (!service_settled(&svc))
        return true;
    if (settled_us == 0)
        settled_us = service_now_us();
    return coordinator_relays_done(&core,
                                   service_now_us() - settled_us >= COORD_DRAIN_MS * INT64_C(1000));
}

static void open_doors(const struct coordinator_conf *conf)
{
    struct front_conf doors = {
        .listen_ip = flags.listen_ip,
        .front_port = flags.front_port,
        .enrol_port = flags.enrol_port,
        .enrolled = let_in,
        .check_every_us = flags.check_us,
        .handshake_us = flags.handshake_us,
    };
    uint16_t front, enrol;

    memcpy(doors.secret, conf->secret, sizeof doors.secret);
    front_open(&svc, &doors);
    sodium_memzero(&doors, sizeof doors);
    relays_open(&svc, &links, conf->secret);
    front_ports(&front, &enrol);
    log_info("event=listening ip=%s front=%u enrol=%u", flags.listen_ip, front, enrol);
}

/* Of the state directory nothing can be read from here on: keys are in memory, and the store is open. */
static void close_cage(void)
{
    const struct cage_path paths[] = {
        {flags.store,     CAGE_DATABASE},
        {flags.bus,       CAGE_SOCKETS },
        {flags.admin,     CAGE_SOCKET  },
        {flags.allowlist, CAGE_READS   },
    };
    const struct cage_plan plan = {
        .paths = paths,
        .n_paths = sizeof paths / sizeof *paths,
        .listens = {(uint16_t)flags.front_port, (uint16_t)flags.enrol_port, links.listen.port},
        .n_listens = links.listen.len ? 3 : 2,
    };

    cage_files(&plan);
}

int main(int argc, char **argv)
{
    struct coordinator_conf conf = {0};
    struct input in;
    uint8_t key[32];
    char err[CONFIG_ERROR_MAX];

    log_init("coordinator");
    if (config_load("natterjack-coordinator --bus DIR --key FILE --authority FILE --token-file FILE"
                    " --store FILE",
                    groups, 1, argc, argv) != 1)
        die("event=bad_flag why=\"an argument without a flag\"");
    check_flags();
    if (config_task() == CONFIG_CHECK)
        return 0;
    cage_secrets();
    memory_open();
    read_conf(&conf);
    store_shell_open(flags.store);
    close_cage();
    service_open(&svc, SERVICE_coordinator, flags.bus);
    store_shell_serve(&svc);
    conns_open(flags.peers, flags.connections, flags.per_ip);
    void *memory = malloc(coordinator_bytes(&conf));
    if (!memory)
        die("event=no_memory peers=%u sessions=%u", flags.peers, flags.sessions);
    service_random_key(key);
    coordinator_init(&core, &conf, key, memory);
    if (!set_up(err))
        die("event=bad_flag why=\"%s\"", err);
    sodium_memzero(key, sizeof key);
    open_doors(&conf);
    sodium_memzero(&conf, sizeof conf);
    if (flags.admin)
        coordinator_admin_open(&svc, flags.admin, &core);
    svc.reload = set_up;
    svc.drain = drain;
    svc.is_drained = is_drained;
    cage_calls("coordinator", CAGE_STORE);
    service_ready(&svc);
    while (service_wait(&svc, coordinator_deadline(&core), &in)) {
        coordinator_step(&core, &in, &out);
        coordinator_tell(&core, &out);
        relays_log(&core);
        service_emit(&svc, &out);
    }
    coordinator_admin_close();
    relays_close();
    front_close();
    conns_close();
    store_shell_close();
    service_close(&svc);
    free(memory);
    free(allowlist);
    return service_status(&svc);
}
