/* state.c - see state.h. */
#include "tests/natlab/state.h"

#include "tests/natlab/engine.h"

#include <inttypes.h>

static const char *proto_name(uint8_t proto)
{
    return proto == NAT_UDP ? "udp" : proto == NAT_TCP ? "tcp" : "icmp";
}

/* Without the port, where that says nothing. */
static void print_addr(FILE *to, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];

    addr_format(a, text, sizeof text);
    if (a->port == 0)
        for (char *p = text; *p != '\0'; p++)
            if (*p == ':')
                *p = '\0';
    fprintf(to, "\"%s\"", text);
}

static void print_or_null(FILE *to, const struct addr *a)
{
    if (a->len > 0)
        print_addr(to, a);
    else
        fputs("null", to);
}

static void print_host(const struct engine *e, size_t i, FILE *to)
{
    const struct spec_host *h = &e->spec->hosts[i];
    const struct spec_host *outside = h->kind == SPEC_LAN ? &e->spec->hosts[h->behind] : h;

    fprintf(to, "{\"type\":\"host\",\"host\":\"%s\",\"ips\":[", h->name);
    for (size_t j = 0; j < outside->line.n_ips; j++) {
        fputs(j > 0 ? "," : "", to);
        print_addr(to, &outside->line.ips[j]);
    }
    fputs("],\"inside\":", to);
    print_or_null(to, &h->inside);
    fputs("}\n", to);
}

static void print_mapping(const struct engine *e, size_t i, const struct nat_mapping *m,
                          int64_t now_us, FILE *to)
{
    const struct nat *nat = e->nats[i];
    const struct nat_filter *f;
    size_t cursor = 0;
    bool open =
        nat->conf.filtering == NAT_NONE || (nat->conf.filtering == NAT_EI && m->proto == NAT_UDP);

    fprintf(to, "{\"type\":\"mapping\",\"nat\":\"%s\",\"proto\":\"%s\",\"internal\":",
            e->spec->hosts[i].name, proto_name(m->proto));
    print_or_null(to, &m->internal);
    fputs(",\"external\":", to);
    print_addr(to, &m->external);
    fputs(",\"remote\":", to);
    print_or_null(to, &m->remote);
    fputs(open ? ",\"remotes\":null" : ",\"remotes\":[", to);
    for (const char *comma = ""; !open && (f = nat_next_filter(nat, now_us, m, &cursor)) != NULL;
         comma = ",") {
        fputs(comma, to);
        print_addr(to, &f->remote);
    }
    fprintf(to, "%s,\"age_ms\":%" PRId64 ",\"idle_ms\":%" PRId64 "}\n", open ? "" : "]",
            (now_us - m->created_us) / 1000, (now_us - m->refreshed_us) / 1000);
}

static void print_nat(const struct engine *e, size_t i, int64_t now_us, FILE *to)
{
    const struct nat *nat = e->nats[i];
    const struct nat_mapping *m;
    size_t cursor = 0, live = 0;

    for (; (m = nat_next_mapping(nat, now_us, &cursor)) != NULL; live++)
        print_mapping(e, i, m, now_us, to);
    fprintf(to,
            "{\"type\":\"nat\",\"nat\":\"%s\",\"mappings\":%zu,\"opened\":%" PRIu64
            ",\"evicted\":%" PRIu64,
            e->spec->hosts[i].name, live, nat->opened, nat->evicted);
    for (int r = 0; r < NAT_RESULTS; r++)
        fprintf(to, ",\"%s\":%" PRIu64, nat_result_name((enum nat_result)r), nat->results[r]);
    fputs("}\n", to);
}

static void print_pair(const struct engine *e, size_t from, size_t host, FILE *to)
{
    const struct net_count *d = &e->net.delivered[from][host];
    struct net_count sent = {0};

    /* Hosts that share a line: what was sent to it is told once. */
    if (e->spec->hosts[host].kind != SPEC_LAN)
        sent = e->net.sent[from][e->net.hosts[host].line];
    if (sent.packets == 0 && d->packets == 0)
        return;
    fprintf(to,
            "{\"type\":\"pair\",\"from\":\"%s\",\"to\":\"%s\",\"sent\":%" PRIu64
            ",\"sent_udp\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"delivered_udp\":%" PRIu64 "}\n",
            e->spec->hosts[from].name, e->spec->hosts[host].name, sent.packets, sent.udp,
            d->packets, d->udp);
}

void state_print(const struct engine *e, FILE *to)
{
    int64_t now_us = engine_now_us();
    size_t n = e->spec->n_hosts;

    for (size_t i = 0; i < n; i++)
        print_host(e, i, to);
    for (size_t i = 0; i < n; i++)
        if (e->nats[i] != NULL)
            print_nat(e, i, now_us, to);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            print_pair(e, i, j, to);
    fprintf(to,
            "{\"type\":\"net\",\"malformed\":%" PRIu64 ",\"unwritable\":%" PRIu64
            ",\"late_us_mean\":%" PRId64 ",\"late_us_max\":%" PRId64,
            e->malformed, e->unwritable,
            e->delivered > 0 ? e->late_us_sum / (int64_t)e->delivered : 0, e->late_us_max);
    for (int r = 0; r < NET_RESULTS; r++)
        fprintf(to, ",\"%s\":%" PRIu64, net_result_name((enum net_result)r), e->net.results[r]);
    fputs("}\n", to);
}
