/* netcheck.c - `natterjack netcheck`: what this host's NAT does, and what that means for reaching others. */
#include "lib/cage.h"
#include "lib/params.h"
#include "services/natterjack/peer.h"
#include "services/natterjack/reach.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static bool classified, refused;
static int64_t deadline_us;

static void on_event(struct agent *g, enum app_event event, const struct attempt *a)
{
    (void)g, (void)a;
    classified = classified || event == APP_PROFILE;
    refused = refused || event == APP_REFUSED;
}

/* Filtering takes longer than the rest, and people who ask want all of it. */
static bool is_done(void *arg)
{
    const struct agent *g = arg;

    return refused || (classified && executor_whole(&g->core));
}

/* The kinds of far side that people meet, in their words. */
static const struct kind {
    const char *name, *text;
    struct profile profile;
} kinds[] = {
    {"open",
     "a host with a public address and no firewall",                          {.mapping = NAT_NONE, .filtering = NAT_NONE}                           },
    {"cone",
     "a host behind an ordinary home router",                                 {.mapping = NAT_EI, .filtering = NAT_APD, .allocation = ALLOC_PRESERVE}},
    {"symmetric",
     "a host behind a NAT that draws a new random port for each destination", {.mapping = NAT_APD, .filtering = NAT_APD, .allocation = ALLOC_RANDOM} },
};

static bool direct_to(const struct profile *own, bool token, const struct kind *k)
{
    const bool tokens[2] = {token, true};
    enum verdict reason;
    struct plan plan = strategy_plan(own, &k->profile, tokens, POLICY_AUTO, 0, &reason);

    return plan.n > 0 && plan.v[0].technique != TECHNIQUE_RELAYED;
}

static const char *mapping_text(const struct profile *p)
{
    switch (p->mapping) {
    case NAT_NONE: return "no NAT: packets leave with the host's own address";
    case NAT_EI: return "one public port towards everybody (endpoint-independent mapping)";
    case NAT_AD: return "a new public port for each remote address (address-dependent mapping)";
    case NAT_APD:
        return "a new public port for each remote address and port (address- and port-dependent "
               "mapping)";
    default: return "not known: it takes a prober with two addresses, and enough answers";
    }
}

static const char *allocation_text(const struct profile *p)
{
    switch (p->allocation) {
    case ALLOC_PRESERVE: return "the public port is the local one where possible";
    case ALLOC_CONTIGUOUS: return "public ports follow one another";
    case ALLOC_RANDOM: return "public ports are drawn at random";
    default: return "not known";
    }
}

/* From where, as far as it was seen; nothing where the local port says it. */
static void print_ports(const struct profile *p)
{
    if (p->mapping == NAT_NONE || p->port_hi == 0)
        return;
    if (p->block_hi != 0)
        printf("ports:        %d to %d, a block of %d for this subscriber\n", p->block_lo,
               p->block_hi, p->block_hi - p->block_lo + 1);
    else if (p->allocation == ALLOC_CONTIGUOUS)
        printf("ports:        each %d %s the one before, seen from %d to %d\n", abs(p->delta),
               p->delta < 0 ? "below" : "above", p->port_lo, p->port_hi);
    else if (p->allocation == ALLOC_RANDOM)
        printf("ports:        seen from %d to %d, of no small block\n", p->port_lo, p->port_hi);
}

static const char *filtering_text(const struct profile *p)
{
    switch (p->filtering) {
    case NAT_NONE: return "none: nothing that is sent to this host is held back";
    case NAT_EI: return "lets in anybody (endpoint-independent filtering)";
    case NAT_AD: return "lets in only hosts that were sent to (address-dependent filtering)";
    case NAT_APD:
        return "lets in only the address and port that was sent to (address- and port-dependent "
               "filtering)";
    default:
        return "not known: it takes a prober with two addresses; assumed to let in only what was "
               "sent to";
    }
}

static const char *hairpin_text(const struct profile *p)
{
    switch (p->hairpin) {
    case HAIRPIN_NONE: return "nothing came back of what was sent to the own public address";
    case HAIRPIN_INTERNAL: return "yes, under the sender's private address";
    case HAIRPIN_EXTERNAL: return "yes, under the sender's public address";
    default: return p->mapping == NAT_NONE ? "there is no NAT" : "not known";
    }
}

/* What is out of the ordinary, and matters to others. */
static void print_peculiarities(const struct profile *p)
{
    if (p->clash == CLASH_CLAIMS)
        printf("early packets: take a port, so that answers leave by another one; peers of this "
               "version spare it that\n");
    if (p->pool == POOL_ARBITRARY)
        printf("addresses:    several public ones, another one for another port of this host\n");
    if (p->pool == POOL_BY_DESTINATION)
        printf(
            "addresses:    several public ones, another one for each remote address, which peers "
            "can't foresee\n");
}

static int print_text(const struct agent *g, bool udp)
{
    const struct profile *p = &g->core.profile;
    char local[ADDR_TEXT_MAX], seen[ADDR_TEXT_MAX], class[REACH_CLASS_TEXT];

    if (!udp) {
        printf("UDP: %s\n  what would help: %s\n", verdict_cause(VERDICT_udp_blocked),
               verdict_remedy(VERDICT_udp_blocked));
        return EXIT_FAILED;
    }
    printf("this host:    %s, seen from outside as %s\n",
           addr_format(&g->core.conf.local, local, sizeof local),
           addr_format(&g->core.reflexive, seen, sizeof seen));
    printf("mapping:      %s\n", mapping_text(p));
    printf("allocation:   %s\n", allocation_text(p));
    print_ports(p);
    printf("filtering:    %s\n", filtering_text(p));
    printf("hairpinning:  %s\n", hairpin_text(p));
    print_peculiarities(p);
    printf("also called:  %s\n", profile_display(p));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        printf("to %s: %s\n", kinds[i].text,
               direct_to(p, g->core.tokens.n > 0, &kinds[i]) ? "a direct path" : "over the relay");
    struct reach r = reach_of(p, g->core.tokens.n > 0);
    printf("all together: a direct path to %u of the %d classes of NATs\n", r.direct,
           (int)REACH_CLASSES);
    for (unsigned i = 0, n = 0; i < REACH_CLASSES; i++)
        if (!(r.classes >> i & 1))
            printf("%s%s", n++ ? ", " : "  not to those that are (mapping/allocation/filtering): ",
                   reach_class(i, class));
    if (r.direct < REACH_CLASSES)
        putchar('\n');
    if (r.how)
        printf("  what would help: %s: then it is %u\n", r.how, r.improved);
    if (r.direct < REACH_CLASSES && (p->mapping == NAT_UNKNOWN || p->filtering == NAT_UNKNOWN))
        printf("  what would tell more: %s\n", verdict_remedy(VERDICT_profile_unknown));
    if (p->block_hi != 0 && r.direct < REACH_CLASSES)
        printf("  what would help with a peer whose NAT has such a block too: --blocks 50 on both "
               "sides\n");
    return EXIT_OK;
}

static json_t *classes_json(const struct agent *g, bool udp)
{
    struct reach r = reach_of(&g->core.profile, g->core.tokens.n > 0);
    char class[REACH_CLASS_TEXT];
    json_t *relayed = json_array();

    if (!udp)
        r = (struct reach){0};
    for (unsigned i = 0; i < REACH_CLASSES; i++)
        if (!(r.classes >> i & 1))
            json_array_append_new(relayed, json_string(reach_class(i, class)));
    return json_pack("{s:i, s:i, s:i, s:s?, s:o}", "direct", (int)r.direct, "of",
                     (int)REACH_CLASSES, "improved", (int)r.improved, "remedy", r.how, "relayed",
                     relayed);
}

static int print_json(const struct agent *g, bool udp)
{
    char id[PEER_ID_TEXT];
    json_t *reach = json_object();

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        json_object_set_new(
            reach, kinds[i].name,
            json_string(udp && direct_to(&g->core.profile, g->core.tokens.n > 0, &kinds[i])
                            ? "direct"
                            : "relayed"));
    print_line(json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:s?, s:s?}", "event",
                         "netcheck", "peer", peer_id_format(&g->core.conf.id, id), "udp", udp,
                         "local", json_addr(&g->core.conf.local), "reflexive",
                         json_addr(&g->core.reflexive), "profile", json_profile(&g->core.profile),
                         "reach", reach, "classes", classes_json(g, udp), "verdict",
                         udp ? NULL : verdict_name(VERDICT_udp_blocked), "remedy",
                         udp ? NULL : verdict_remedy(VERDICT_udp_blocked)));
    return udp ? EXIT_OK : EXIT_FAILED;
}

int cmd_netcheck(int argc, char **argv)
{
    static struct agent agent;
    struct peer_flags f = {.o = "text"};
    struct agent_conf conf = {
        .modes = 1u << MODE_MANAGED, .on_event = on_event, .accept = ACCEPT_NOBODY};
    int64_t timeout_us = 15 * 1000000;
    const struct param params[] = {
        PEER_PARAMS(f),
        {"key",     PARAM_TEXT,    &f.key,      "FILE  this peer's key, made if absent",   false},
        {"timeout", PARAM_SECONDS, &timeout_us, "S  give up after S seconds (default 15)", false},
    };

    deadline_us = service_now_us() + timeout_us;
    if (params_parse("natterjack netcheck --join J [--key FILE]", params,
                     sizeof params / sizeof *params, argc, argv) != 1)
        return usage_error("unexpected argument: %s", argv[1]);
    bool json = output_json(f.o);
    int status = peer_timeout(timeout_us);
    if (status == EXIT_OK)
        status = peer_conf(&f, &conf);
    if (status != EXIT_OK)
        return status;
    agent_open(&agent, &conf);
    cage_peer(false);
    agent_run(&agent, deadline_us, is_done, &agent);
    int stopped = agent.svc.stop_signal;
    if (classified)
        status = json ? print_json(&agent, !agent.core.udp_silent)
                      : print_text(&agent, !agent.core.udp_silent);
    else if (stopped)
        status = stopped == SIGINT ? EXIT_INTERRUPTED : EXIT_FAILED;
    else {
        enum verdict why = refused ? agent.core.refused_verdict : VERDICT_coordinator_unreachable;
        status = failure("%s; %s", verdict_cause(why), verdict_remedy(why));
    }
    agent_close(&agent);
    return status;
}
