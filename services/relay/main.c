/* main.c - the relay process: read the keys, bind the port; then wait, step, emit. */
#include "lib/admin.h"
#include "lib/cage.h"
#include "lib/config.h"
#include "lib/keys.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/service_link.h"
#include "lib/xdp_shell.h"
#include "services/relay/workers_shell.h"

#include <errno.h>
#include <sodium.h>

static struct service svc; /* static: too large for the stack, and there is one of each */
static struct steer steer;
static struct xdp hook;
static struct service_link_conf links; /* to the coordinator of another host, which says nothing */
static struct relay_workers workers;
static struct addr public_addr;

static struct flags {
    const char *bus, *link, *admin, *public_ip, *key, *cert, *places, *coordinator_key, *xdp;
    uint32_t port, sessions, workers;
    int64_t ticket_period_us;
} flags = {.port = 3480,
           .sessions = RELAY_SESSIONS_DEFAULT,
           .ticket_period_us = TICKET_PERIOD_MS * 1000,
           .xdp = "off"};

/* clang-format off */
static const struct param table[] = {
    {"bus",             PARAM_TEXT, &flags.bus,             "DIR   of the bus sockets; not needed with link", false},
    {"link",            PARAM_TEXT, &flags.link,            "IP:PORT  of the coordinator's link, TCP, when that is on another host", false},
    {"admin",           PARAM_TEXT, &flags.admin,           "PATH  of the admin socket", false},
    {"public-ip",       PARAM_TEXT, &flags.public_ip,       "A     where peers find this relay", true},
    {"port",            PARAM_U32,  &flags.port,            "N     UDP (3480); 0 is any", false},
    {"sessions",        PARAM_U32,  &flags.sessions,        "N     carried at once (10000)", false},
    {"workers",         PARAM_U32,  &flags.workers,         "N     threads, of a core each; 0 is one for each core", false},
    {"key",             PARAM_TEXT, &flags.key,             "FILE  own X25519 secret, hex", PARAM_REQUIRED | PARAM_SECRET},
    {"cert",            PARAM_TEXT, &flags.cert,            "FILE  the authority's certificate for it, hex", true},
    {"places",          PARAM_TEXT, &flags.places,          "FILE  the authority's word on its address, hex; not needed for the coordinator's own", false},
    {"ticket-period",   PARAM_SECONDS, &flags.ticket_period_us, "S  after which another key opens tickets; that of the period before still does", false},
    {"coordinator-key", PARAM_TEXT, &flags.coordinator_key, "FILE  the coordinator's public key, hex", true},
    {"xdp",             PARAM_TEXT, &flags.xdp,             "off|auto|INTERFACE  forward sessions in the kernel, there (off); docs/operating.md", false},
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
    if (flags.workers > STEER_WORKERS_MAX)
        die("event=bad_flag name=workers why=\"at most %d\"", STEER_WORKERS_MAX);
    conf->sessions_max = flags.sessions;
    if (flags.ticket_period_us < 1000000)
        die("event=bad_flag name=ticket-period why=\"at least 1\"");
    conf->ticket_period_ms = flags.ticket_period_us / 1000;
    conf->n_workers = flags.workers > 0 ? flags.workers : service_cores(STEER_WORKERS_MAX);
    if (!flags.bus == !flags.link)
        die("event=bad_flag name=link why=\"the coordinator is found by one of bus and link\"");
    if (flags.link && (!addr_parse(flags.link, &links.to[0].addr) || !links.to[0].addr.port))
        die("event=bad_flag name=link why=\"%s is not IP:PORT\"", flags.link);
    links.n = conf->link = flags.link != NULL;
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
    links.to[0].role = SERVICE_coordinator;
    memcpy(links.to[0].key, conf->coordinators[0], LINK_KEY);
    memcpy(links.secret, conf->secret, LINK_KEY);
    crypto_scalarmult_base(links.key, links.secret);
}

static void open_link(void)
{
    if (links.n > 0)
        service_links_open(&svc, &links);
    for (unsigned i = 1; i < workers.n && links.n > 0; i++)
        service_links_join(workers.crew.v[i]->svc, &links);
    sodium_memzero(links.secret, sizeof links.secret);
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

/* Before the cores, which keep its table. */
static void open_steer(struct relay_conf *conf, uint8_t sock)
{
    if (steer_init(&steer, conf->sessions_max) &&
        steer_open(&steer, svc.udp[sock], conf->n_workers)) {
        conf->marks = steer.table;
        conf->proofs = steer.proofs;
        return;
    }
    log_warn("event=one_queue workers=1 why=\"%s\" text=\"a flood of strangers can crowd out "
             "sessions, and one core carries all\" remedy=\"CAP_BPF\"",
             strerror(errno));
    steer_close(&steer);
    conf->n_workers = 1;
}

static void fill_hook(void *arg, struct xdp *x)
{
    struct relay_conf *conf = arg;
    struct express_head *head = x->memory[0];

    head->bits = express_bits(conf->sessions_max);
    conf->express =
        (struct express){.sets = x->memory[1], .cells = x->memory[2], .bits = head->bits};
    xdp_alive(x, service_now_us());
}

/* Before the core, which keeps its table as well. */
static void open_hook(struct relay_conf *conf, uint8_t sock)
{
    uint32_t sets = 1u << express_bits(conf->sessions_max), cells = sets * EXPRESS_WAYS;
    struct addr bound = service_udp_local(&svc, sock);
    const struct xdp_plan plan = {
        .where = flags.xdp,
        .slot = XDP_RELAY,
        .addrs = &bound,
        .n_addrs = 1,
        .public_addr = &conf->public_addr,
        .maps = {{.name = "head", .bytes = sizeof(struct express_head)},
                 {.name = "sets", .entries = sets, .bytes = sets * sizeof(struct express_set)},
                 {.name = "cells", .entries = cells, .bytes = cells * sizeof(struct express_cell)}},
        .socket = svc.udp[sock],
    };

    if (!xdp_open(&hook, &plan, fill_hook, conf))
        conf->express = (struct express){0}; /* what was filled may be gone again */
}

static json_t *counters_json(const struct relay_counters *n)
{
    json_t *j = json_object();

#define X(name) json_object_set_new(j, #name, json_integer((json_int_t)n->name));
    RELAY_COUNTERS(X)
#undef X
    return j;
}

static json_t *workers_json(void)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < workers.n; i++) {
        const struct plane *p = &workers.v[i]->plane;
        struct relay_counters n = relay_workers_counters(&workers, i);
        json_array_append_new(list, json_pack("{s:I, s:I, s:o}", "handed_over",
                                              (json_int_t)p->handed_over, "lost",
                                              (json_int_t)p->lost, "counters", counters_json(&n)));
    }
    return list;
}

static json_t *answer(void *arg, const char *verb, const char *argument)
{
    char text[ADDR_TEXT_MAX];

    (void)arg, (void)argument;
    if (strcmp(verb, "state") != 0)
        return NULL;
    struct relay_counters sum = relay_workers_sum(&workers);
    struct service_counters shell = crew_counters(&workers.crew);
    return json_pack("{s:s, s:s, s:s?, s:b, s:i, s:i, s:b, s:s, s:o, s:o, s:o}", "service", "relay",
                     "addr", addr_format(&public_addr, text, sizeof text), "link", flags.link,
                     "draining", workers.v[0]->core.draining, "sessions",
                     (int)relay_workers_sessions(&workers), "sessions_max",
                     (int)workers.load.sessions_max, "own_queue", steer.n_fds > 0, "xdp",
                     hook.name[0] ? hook.mode : "off", "counters", counters_json(&sum), "shell",
                     admin_counters(&shell), "workers", workers_json());
}

static void drain(void) { relay_workers_drain(&workers); }
static bool is_drained(void) { return relay_drained(&workers.v[0]->core); }

/* Datagrams, the bus and the link need no file, and keys are in memory. */
static void close_cage(void)
{
    const struct cage_path paths[] = {
        {flags.bus,   CAGE_SOCKETS},
        {flags.admin, CAGE_SOCKET },
    };

    cage_files(&(struct cage_plan){.paths = paths,
                                   .n_paths = sizeof paths / sizeof *paths,
                                   .connects = {links.to[0].addr.port},
                                   .n_connects = links.n});
}

int main(int argc, char **argv)
{
    struct relay_conf conf = {0};
    struct input in;

    log_init("relay");
    if (config_load("natterjack-relay --public-ip A --key FILE --cert FILE --coordinator-key FILE"
                    " --bus DIR | --link IP:PORT",
                    groups, 1, argc, argv) != 1)
        die("event=bad_flag why=\"an argument without a flag\"");
    check_flags(&conf);
    if (config_task() == CONFIG_CHECK)
        return 0;
    cage_secrets();
    memory_open();
    load_keys(&conf);
    close_cage();
    service_open(&svc, SERVICE_relay, flags.bus);
    uint8_t sock = bind_port(&conf);
    open_steer(&conf, sock);
    open_hook(&conf, sock);
    public_addr = conf.public_addr;
    relay_workers_open(&workers, &svc, sock, &steer, &conf);
    open_link();
    sodium_memzero(&conf, sizeof conf);
    if (flags.admin)
        admin_open(&svc, flags.admin, answer, NULL);
    svc.drain = drain;
    svc.is_drained = is_drained;
    relay_workers_start(&workers);
    cage_calls(service_name[SERVICE_relay], CAGE_BATCHES | (links.n > 0 ? CAGE_LINKS : 0U));
    service_ready(&svc);
    struct relay_worker *first = workers.v[0];
    while (service_wait(&svc, relay_deadline(&first->core), &in)) {
        xdp_alive(&hook, in.now_us);
        relay_step(&first->core, &in, &first->out);
        service_emit(&svc, &first->out);
    }
    admin_close();
    relay_workers_close(&workers);
    service_close(&svc);
    steer_close(&steer);
    xdp_close(&hook);
    return service_status(&svc);
}
