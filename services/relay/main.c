/* main.c - the relay process: read the keys, bind the port; then wait, step, emit. */
#include "lib/admin.h"
#include "lib/cage.h"
#include "lib/config.h"
#include "lib/keys.h"
#include "lib/log.h"
#include "services/relay/plane_shell.h"
#include "services/relay/steer_shell.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

static struct service svc; /* static: too large for the stack, and there is one of each */
static struct relay core;
static struct outputs out;
static struct plane plane;
static struct steer steer;

static struct flags {
    const char *bus, *admin, *public_ip, *key, *cert, *places, *coordinator_key;
    uint32_t port, sessions;
    int64_t ticket_period_us;
} flags = {
    .port = 3480, .sessions = RELAY_SESSIONS_DEFAULT, .ticket_period_us = TICKET_PERIOD_MS * 1000};

/* clang-format off */
static const struct param table[] = {
    {"bus",             PARAM_TEXT, &flags.bus,             "DIR   of the bus sockets", true},
    {"admin",           PARAM_TEXT, &flags.admin,           "PATH  of the admin socket", false},
    {"public-ip",       PARAM_TEXT, &flags.public_ip,       "A     where peers find this relay", true},
    {"port",            PARAM_U32,  &flags.port,            "N     UDP (3480); 0 is any", false},
    {"sessions",        PARAM_U32,  &flags.sessions,        "N     carried at once (10000)", false},
    {"key",             PARAM_TEXT, &flags.key,             "FILE  own X25519 secret, hex", PARAM_REQUIRED | PARAM_SECRET},
    {"cert",            PARAM_TEXT, &flags.cert,            "FILE  the authority's certificate for it, hex", true},
    {"places",          PARAM_TEXT, &flags.places,          "FILE  the authority's word on its address, hex; not needed for the coordinator's own", false},
    {"ticket-period",   PARAM_SECONDS, &flags.ticket_period_us, "S  after which another key opens tickets; that of the period before still does", false},
    {"coordinator-key", PARAM_TEXT, &flags.coordinator_key, "FILE  the coordinator's public key, hex", true},
};
/* clang-format on */

static const struct config_group groups[] = {
    {"relay", "", table, sizeof table / sizeof *table, false}
};

static void must_load(bool (*load)(const char *, void *, size_t), const char *path, void *to,
                      size_t n)
{
    if (!load(path, to, n))
        die("event=no_key path=%s why=\"%s\"", path, key_problem(errno));
}

static void check_flags(struct relay_conf *conf)
{
    if (flags.port > UINT16_MAX)
        die("event=bad_flag name=port why=\"%u is not a port\"", flags.port);
    if (flags.sessions < 1 || flags.sessions > RELAY_SESSIONS_MAX)
        die("event=bad_flag name=sessions why=\"from 1 to %d\"", RELAY_SESSIONS_MAX);
    if (!addr_parse_ip(flags.public_ip, (uint16_t)flags.port, &conf->public_addr))
        die("event=bad_flag name=public-ip why=\"%s is not an address\"", flags.public_ip);
    conf->sessions_max = flags.sessions;
    if (flags.ticket_period_us < 1000000)
        die("event=bad_flag name=ticket-period why=\"at least 1\"");
    conf->ticket_period_ms = flags.ticket_period_us / 1000;
}

static void load_keys(struct relay_conf *conf)
{
    must_load(key_load, flags.key, conf->secret, sizeof conf->secret);
    must_load(key_load_public, flags.cert, conf->cert, sizeof conf->cert);
    if (flags.places) {
        uint8_t certs[2][64]; /* those of a host, of which a relay has the first */
        must_load(key_load_public, flags.places, certs, sizeof certs);
        conf->places.n = 1;
        conf->places.v[0].ip = conf->public_addr;
        conf->places.v[0].ip.port = 0;
        memcpy(conf->places.v[0].cert, certs[0], sizeof certs[0]);
    }
    must_load(key_load_public, flags.coordinator_key, conf->coordinators[0], 32);
    conf->n_coordinators = 1;
}

/* An address that is not this host's, as behind a 1:1 NAT, is advertised and the wildcard bound. */
static uint8_t bind_port(struct relay_conf *conf)
{
    struct addr any = {.len = conf->public_addr.len, .port = conf->public_addr.port};
    char text[ADDR_TEXT_MAX];
    int sock = service_udp(&svc, &conf->public_addr);

    if (sock < 0 && errno == EADDRNOTAVAIL)
        sock = service_udp(&svc, &any);
    addr_format(&conf->public_addr, text, sizeof text);
    if (sock < 0)
        die("event=no_port addr=%s why=\"%s\"", text, strerror(errno));
    conf->public_addr.port = service_udp_local(&svc, (uint8_t)sock).port;
    return (uint8_t)sock;
}

/* Before the core, which keeps its table. */
static void open_steer(struct relay_conf *conf, uint8_t sock)
{
    if (steer_init(&steer, conf->sessions_max) && steer_open(&steer, svc.udp[sock])) {
        conf->marks = steer.table;
        return;
    }
    log_warn("event=one_queue why=\"%s\" text=\"a flood of strangers can crowd out sessions\"",
             strerror(errno));
    steer_close(&steer);
}

static json_t *answer(void *arg, const char *verb, const char *argument)
{
    const struct relay *r = arg;
    char text[ADDR_TEXT_MAX];

    (void)argument;
    if (strcmp(verb, "state") != 0)
        return NULL;
    json_t *counters = json_object();
#define X(name) json_object_set_new(counters, #name, json_integer((json_int_t)r->n.name));
    RELAY_COUNTERS(X)
#undef X
    return json_pack("{s:s, s:s, s:i, s:i, s:b, s:o, s:o}", "service", "relay", "addr",
                     addr_format(&r->public_addr, text, sizeof text), "sessions", (int)r->by_sid.n,
                     "sessions_max", (int)r->by_sid.capacity, "own_queue", steer.fd >= 0,
                     "counters", counters, "shell", admin_counters(&svc));
}

static void drain(void) { relay_drain(&core); }
static bool is_drained(void) { return core.by_sid.n == 0; }

/* Datagrams and the bus need no file, and keys are in memory. */
static void close_cage(void)
{
    const struct cage_path paths[] = {
        {flags.bus,   CAGE_SOCKETS},
        {flags.admin, CAGE_SOCKET },
    };

    cage_files(&(struct cage_plan){.paths = paths, .n_paths = sizeof paths / sizeof *paths});
}

int main(int argc, char **argv)
{
    struct relay_conf conf = {0};
    struct input in;
    uint8_t key[32];

    log_init("relay");
    if (config_load("natterjack-relay --bus DIR --public-ip A --key FILE --cert FILE"
                    " --coordinator-key FILE",
                    groups, 1, argc, argv) != 1)
        die("event=bad_flag why=\"an argument without a flag\"");
    check_flags(&conf);
    if (config_task() == CONFIG_CHECK)
        return 0;
    cage_secrets();
    load_keys(&conf);
    close_cage();
    service_open(&svc, SERVICE_relay, flags.bus);
    uint8_t sock = bind_port(&conf);
    open_steer(&conf, sock);
    void *memory = malloc(relay_bytes(&conf)), *buffers = malloc(BATCH_IN_BYTES(BATCH_MERGED));
    if (!memory || !buffers)
        die("event=no_memory sessions=%u", conf.sessions_max);
    service_random_key(key);
    if (!relay_init(&core, &conf, key, memory))
        die("event=bad_key path=%s why=\"of small order\"", flags.coordinator_key);
    sodium_memzero(key, sizeof key);
    sodium_memzero(&conf, sizeof conf);
    plane_open(&plane, &svc, sock, steer.fd, &core, &out, buffers);
    if (flags.admin)
        admin_open(&svc, flags.admin, answer, &core);
    svc.drain = drain;
    svc.is_drained = is_drained;
    cage_calls(service_name[SERVICE_relay], CAGE_BATCHES);
    service_ready(&svc);
    while (service_wait(&svc, relay_deadline(&core), &in)) {
        relay_step(&core, &in, &out);
        service_emit(&svc, &out);
    }
    admin_close();
    service_close(&svc);
    steer_close(&steer);
    free(memory), free(buffers);
    return service_status(&svc);
}
