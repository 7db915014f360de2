/* main.c - the prober process: flags, key, sockets; then wait, step, emit. */
#include "lib/admin.h"
#include "lib/cage.h"
#include "lib/config.h"
#include "lib/keys.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "lib/xdp_shell.h"
#include "services/prober/partners_shell.h"
#include "services/prober/workers_shell.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

enum { PUBLIC_IP_TEXT_MAX = 2 * ADDR_TEXT_MAX };

struct shell {
    struct service svc;
    struct prober_workers workers;
    struct prober *core; /* of the first worker */
    struct xdp xdp;
};

static struct {
    const char *bus, *admin, *public_ip, *key, *cert, *places, *link, *partners, *refused_ports,
        *xdp;
    uint32_t port, alt_port, workers;
} flags = {.port = 3478, .alt_port = 3479, .refused_ports = PORTS_REFUSED, .xdp = "off"};

static const struct param params[] = {
    {"bus",           PARAM_TEXT, &flags.bus,
     "DIR  the bus directory, mode 0700; not needed with partners, who tell of this prober",                        false},
    {"admin",         PARAM_TEXT, &flags.admin,         "PATH  the admin socket",                                   false},
    {"public-ip",     PARAM_TEXT, &flags.public_ip,
     "A[,B]  addresses to serve on; one that is not local is advertised, and the wildcard bound",                   true },
    {"port",          PARAM_U32,  &flags.port,          "PORT  the first port (3478)",                              false},
    {"alt-port",      PARAM_U32,  &flags.alt_port,      "PORT  the second port (3479)",                             false},
    {"key",           PARAM_TEXT, &flags.key,           "FILE  Ed25519 secret key, 128 hex digits",
     PARAM_REQUIRED | PARAM_SECRET                                                                                       },
    {"cert",          PARAM_TEXT, &flags.cert,          "FILE  the authority's certificate for it, 128 hex digits",
     true                                                                                                                },
    {"places",        PARAM_TEXT, &flags.places,
     "FILE  the authority's word on its addresses, 256 hex digits; not needed for the "
     "coordinator's own",                                                                                           false},
    {"link",          PARAM_TEXT, &flags.link,          "IP:PORT  TCP, where partners reach this prober",           false},
    {"partners",      PARAM_TEXT, &flags.partners,
     "KEY@IP:PORT[,...]  probers on other hosts to lend addresses to and borrow them from: public "
     "key and --link of each",                                                                                      false},
    {"refused-ports", PARAM_TEXT, &flags.refused_ports,
     "PORT[,...]  source ports that get no answer, since servers listen there that would answer",                   false},
    {"workers",       PARAM_U32,  &flags.workers,
     "N  threads, of a core each; 0 is one for each core, and with partners there is one",                          false},
    {"xdp",           PARAM_TEXT, &flags.xdp,
     "off|auto|INTERFACE  answer floods of bare requests in the kernel, there (off); "
     "docs/operating.md",                                                                                           false},
};

static const struct config_group groups[] = {
    {"prober", "", params, sizeof params / sizeof *params, false}
};

/* "A" or "A,B", of one family; returns how many. */
static size_t parse_public_ips(const char *text, struct addr ips[static 2])
{
    char copy[PUBLIC_IP_TEXT_MAX];
    size_t len = strlen(text);

    if (len >= sizeof copy)
        die("event=bad_flag flag=public-ip why=\"too long\"");
    memcpy(copy, text, len + 1);
    char *second = strchr(copy, ',');
    if (second)
        *second++ = '\0';
    if (!addr_parse_ip(copy, 0, &ips[0]) || (second && !addr_parse_ip(second, 0, &ips[1])))
        die("event=bad_flag flag=public-ip why=\"not an address\" text=%s", text);
    if (second && (ips[0].len != ips[1].len || addr_ip_eq(&ips[0], &ips[1])))
        die("event=bad_flag flag=public-ip why=\"two different addresses of one family\"");
    return second ? 2 : 1;
}

/* Bind one more socket at ip:port.  False when ip is not one of this host's. */
static bool bind_at(struct service *s, const struct addr *ip, uint16_t port)
{
    struct addr at = *ip;
    char text[ADDR_TEXT_MAX];

    at.port = port;
    if (service_udp(s, &at) >= 0)
        return true;
    if (errno == EADDRNOTAVAIL)
        return false;
    die("event=no_socket addr=%s why=\"%s\"", addr_format(&at, text, sizeof text), strerror(errno));
}

/*
 * Bind both ports of the first address, and of the second where it is local too: several sockets can't
 * share a wildcard, so an address that is not local leaves us with the first one's.
 */
static void open_sockets(struct service *s, struct addr ips[static 2], size_t n_ips,
                         struct prober_info *info)
{
    struct addr bound = ips[0];
    uint16_t ports[2] = {(uint16_t)flags.port, (uint16_t)flags.alt_port};
    char text[ADDR_TEXT_MAX];
    bool wildcard = !bind_at(s, &bound, ports[0]);

    if (wildcard) {
        log_warn("event=not_local addr=%s what=\"advertised, and the wildcard bound\"",
                 addr_format(&ips[0], text, sizeof text));
        memset(bound.ip, 0, sizeof bound.ip);
        if (!bind_at(s, &bound, ports[0]))
            die("event=no_socket why=\"the wildcard can't be bound\"");
    }
    if (!bind_at(s, &bound, ports[1]))
        die("event=no_socket why=\"%s\"", strerror(errno));
    for (uint8_t i = 0; i < 2; i++) /* port 0 has become a real one */
        ports[i] = service_udp_local(s, i).port;
    if (n_ips == 2) {
        if (!wildcard && bind_at(s, &ips[1], ports[0])) {
            if (!bind_at(s, &ips[1], ports[1]))
                die("event=no_socket why=\"%s\"", strerror(errno));
        } else {
            log_warn("event=one_address unused=%s why=\"both must be local to be told apart\" "
                     "what=\"two sockets serve, without OTHER-ADDRESS and CHANGE-REQUEST\"",
                     addr_format(&ips[1], text, sizeof text));
            n_ips = 1;
        }
    }
    info->n_addrs = (uint8_t)(2 * n_ips);
    for (size_t i = 0; i < info->n_addrs; i++) {
        info->addrs[i] = ips[i / 2];
        info->addrs[i].port = ports[i % 2];
    }
}

static void load_keys(struct prober_conf *conf)
{
    uint8_t seed[crypto_sign_SEEDBYTES], key[32], secret[64];

    if (sodium_init() < 0)
        die("event=no_libsodium");
    if (!key_load(flags.key, conf->secret, sizeof conf->secret))
        die("event=no_key file=%s why=\"%s\"", flags.key, key_problem(errno));
    /* A secret key carries its public half: a file whose halves disagree would leak the key by signing. */
    crypto_sign_ed25519_sk_to_seed(seed, conf->secret);
    crypto_sign_seed_keypair(key, secret, seed);
    if (sodium_memcmp(secret, conf->secret, sizeof secret) != 0)
        die("event=no_key file=%s why=\"not an Ed25519 secret key\"", flags.key);
    memcpy(conf->info.key, key, sizeof key);
    sodium_memzero(seed, sizeof seed);
    sodium_memzero(secret, sizeof secret);
    if (!key_load_public(flags.cert, conf->info.cert, sizeof conf->info.cert))
        die("event=no_cert file=%s why=\"%s\"", flags.cert, key_problem(errno));
}

/* What the authority signed of each address, in their order. */
static void load_places(const struct addr *ips, size_t n_ips, struct place_list *l)
{
    uint8_t certs[2][64];

    if (!flags.places)
        return;
    if (!key_load_public(flags.places, certs, sizeof certs))
        die("event=no_places file=%s why=\"%s\"", flags.places, strerror(errno));
    for (l->n = 0; l->n < n_ips; l->n++) {
        l->v[l->n].ip = ips[l->n];
        l->v[l->n].ip.port = 0;
        memcpy(l->v[l->n].cert, certs[l->n], sizeof certs[0]);
    }
}

/* What the core needs is in the program's memory before its first packet. */
static void fill_hook(void *arg, struct xdp *x)
{
    struct prober_conf *conf = arg;

    conf->spent = x->memory[0];
    memcpy(conf->spent->refused_ports, conf->refused.bits, sizeof conf->refused.bits);
    xdp_alive(x, service_now_us());
}

static void open_hook(struct shell *sh, struct prober_conf *conf, const struct addr *public_addr)
{
    struct addr bound[PROBER_SOCKETS_MAX];
    struct xdp_plan plan = {
        .where = flags.xdp,
        .slot = XDP_PROBER,
        .addrs = bound,
        .n_addrs = sh->svc.n_udp,
        .public_addr = public_addr,
        .socket = sh->svc.udp[0],
        .maps = {{.name = "spent", .bytes = sizeof(struct spent)}},
    };

    for (uint8_t i = 0; i < sh->svc.n_udp; i++)
        bound[i] = service_udp_local(&sh->svc, i);
    if (!xdp_open(&sh->xdp, &plan, fill_hook, conf))
        conf->spent = NULL; /* what was filled may be gone again */
}

static json_t *counters(const struct prober_counters *n)
{
    json_t *o = json_object();

#define X(name) json_object_set_new(o, #name, json_integer((json_int_t)n->name));
    PROBER_COUNTERS(X)
#undef X
    return o;
}

/* What is seen through a gateway is worthless: the operator has to know, and once is enough. */
static void warn_of_gateway(const struct gateway *g)
{
    static bool told;
    char text[ADDR_TEXT_MAX];

    if (told || !g)
        return;
    told = true;
    log_warn(
        "event=behind_gateway addr=%s requests=%u why=\"all so far came from this private "
        "address\" what=\"if it is a gateway's, no peer learns its own address: give the prober "
        "the host's network, not a container's bridge\"",
        addr_format(&g->ip, text, sizeof text), g->requests);
}

static json_t *on_verb(void *arg, const char *verb, const char *argument)
{
    const struct shell *sh = arg;
    const struct prober_info *info = &sh->core->info;
    char text[ADDR_TEXT_MAX];

    (void)argument;
    if (strcmp(verb, "state") != 0)
        return NULL;
    json_t *addrs = json_array();
    for (size_t i = 0; i < info->n_addrs; i++)
        json_array_append_new(addrs, json_string(addr_format(&info->addrs[i], text, sizeof text)));
    const struct gateway *g = prober_workers_gateway(&sh->workers);
    struct prober_counters sum = prober_workers_sum(&sh->workers);
    struct service_counters shell = crew_counters(&sh->workers.crew);
    return json_pack("{s:s, s:o, s:o, s:s?, s:b, s:s, s:I, s:i, s:o, s:o}", "service", "prober",
                     "addresses", addrs, "partners", partners_state(sh->core), "behind_gateway",
                     g ? addr_format(&g->ip, text, sizeof text) : NULL, "own_queue",
                     sh->workers.doors.table >= 0, "xdp", sh->xdp.name[0] ? sh->xdp.mode : "off",
                     "answered_by_xdp", (json_int_t)spent_answered(sh->core->conf.spent), "workers",
                     (int)sh->workers.n, "counters", counters(&sum), "shell",
                     admin_counters(&shell));
}

/* Datagrams, links and the bus need no file, and keys are in memory. */
static void close_cage(const struct service_link_conf *links)
{
    const struct cage_path paths[] = {
        {flags.bus,   CAGE_SOCKETS},
        {flags.admin, CAGE_SOCKET },
    };

    struct cage_plan plan = {
        .paths = paths,
        .n_paths = sizeof paths / sizeof *paths,
        .listens = {links->listen.port},
        .n_listens = links->n > 0,
        .n_connects = links->n,
    };

    _Static_assert((int)PARTNERS_MAX <= (int)CAGE_PORTS_MAX, "a port for each link");
    for (uint8_t i = 0; i < links->n; i++)
        plan.connects[i] = links->to[i].addr.port;
    cage_files(&plan);
}

static unsigned n_workers(const struct prober_conf *conf)
{
    if (conf->n_partners > 0)
        return 1;
    return flags.workers > 0 ? flags.workers : service_cores(CREW_MAX);
}

int main(int argc, char **argv)
{
    static struct shell sh; /* static: too large for the stack, and there is one */
    struct prober_conf conf = {0};
    struct service_link_conf links = {0};
    struct addr ips[2];
    struct input in;

    log_init(service_name[SERVICE_prober]);
    if (config_load(
            "natterjack-prober --public-ip A[,B] --key FILE --cert FILE [--bus DIR] [--link IP:PORT"
            " --partners KEY@IP:PORT,...]",
            groups, 1, argc, argv) != 1)
        die("event=bad_arguments why=\"takes flags only\"");
    if (flags.port > UINT16_MAX || flags.alt_port > UINT16_MAX ||
        (flags.port == flags.alt_port && flags.port != 0))
        die("event=bad_flag flag=port why=\"two different ports below 65536\"");
    size_t n_ips = parse_public_ips(flags.public_ip, ips);
    partners_parse(flags.link, flags.partners, &links, &conf);
    if (!ports_parse(flags.refused_ports, &conf.refused))
        die("event=bad_flag flag=refused-ports why=\"not a list of ports\" text=%s",
            flags.refused_ports);
    if (flags.workers > CREW_MAX)
        die("event=bad_flag flag=workers why=\"at most %d\"", CREW_MAX);
    conf.no_bus = !flags.bus;
    if (conf.no_bus && conf.n_partners == 0)
        die("event=bad_flag flag=bus why=\"without it and without partners nobody would know of "
            "this "
            "prober\"");
    if (config_task() == CONFIG_CHECK)
        return 0;
    cage_secrets();
    memory_open();
    load_keys(&conf);
    load_places(ips, n_ips, &conf.places);
    close_cage(&links);
    service_open(&sh.svc, SERVICE_prober, flags.bus);
    open_sockets(&sh.svc, ips, n_ips, &conf.info);
    partners_open(&sh.svc, &links, &conf);
    open_hook(&sh, &conf, &ips[0]);
    prober_workers_open(&sh.workers, &sh.svc, n_workers(&conf), &conf);
    sh.core = &sh.workers.v[0]->core;
    sodium_memzero(conf.secret, sizeof conf.secret);
    if (flags.admin)
        admin_open(&sh.svc, flags.admin, on_verb, &sh);
    prober_workers_start(&sh.workers);
    cage_calls(service_name[SERVICE_prober], CAGE_BATCHES | (links.n > 0 ? CAGE_LINKS : 0U));
    service_ready(&sh.svc);
    struct outputs *out = &sh.workers.v[0]->out;
    while (service_wait(&sh.svc, prober_deadline(sh.core), &in)) {
        xdp_alive(&sh.xdp, in.now_us);
        prober_step(sh.core, &in, out);
        warn_of_gateway(prober_workers_gateway(&sh.workers));
        partners_log(sh.core);
        service_emit(&sh.svc, out);
    }
    if (flags.admin)
        admin_close();
    partners_close(&conf);
    prober_workers_close(&sh.workers); /* they write into what the next one takes away */
    xdp_close(&sh.xdp);
    service_close(&sh.svc);
    return service_status(&sh.svc);
}
