/*
 * test_prober_sources.c - sources that the prober does not answer, or not like others: gateways, addresses inside
 * networks or of nobody, ports where servers listen.
 */
#include "tests/lib/prober_bed.h"

#include <criterion/criterion.h>

static struct prober_bed bed, *const b = &bed;

static void setup(void) { prober_bed_init(b); }

TestSuite(prober_sources, .init = setup, .timeout = 20);

/* ---- gateways -------------------------------------------------------------------------------- */

static bool suspected_after(unsigned requests, struct addr src)
{
    struct stun m = prober_bed_request();

    for (unsigned i = 0; i < requests; i++) {
        b->client = src;
        b->client.port = (uint16_t)(src.port + i);
        prober_bed_ask(b, 0, &m);
    }
    return gateway_suspected(&b->core.gateway);
}

Test(prober_sources, suspects_a_gateway_when_all_requests_come_from_one_private_address)
{
    struct addr bridge = addr_v4(172, 17, 0, 1, 40000);

    cr_assert_not(suspected_after(GATEWAY_REQUESTS - 1, bridge));
    prober_bed_feed(b, 0, "garbage", 7);
    cr_assert_not(gateway_suspected(&b->core.gateway), "garbage is no client");
    cr_assert(suspected_after(1, bridge));
    cr_assert(addr_ip_eq(&b->core.gateway.ip, &bridge));
    cr_assert(suspected_after(GATEWAY_REQUESTS, bridge));
    cr_assert_not(suspected_after(1, addr_v4(203, 0, 113, 9, 4000)), "a client is seen as it is");
    cr_assert_not(suspected_after(2 * GATEWAY_REQUESTS, bridge), "so that one is a client as well");
}

Test(prober_sources, suspects_no_gateway_where_clients_are_told_apart_or_private_like_itself)
{
    cr_assert_not(suspected_after(GATEWAY_REQUESTS, addr_v4(172, 32, 0, 1, 1)), "public");
    prober_bed_addresses(b, 4);
    suspected_after(1, addr_v4(10, 0, 0, 1, 1));
    cr_assert_not(suspected_after(GATEWAY_REQUESTS, addr_v4(10, 0, 0, 2, 1)), "two");
    prober_bed_addresses(b, 4);
    b->conf.info.addrs[0] = addr_v4(192, 168, 1, 1, 3478);
    prober_init(&b->core, &b->conf, (const uint8_t[32]){7});
    cr_assert_not(suspected_after(GATEWAY_REQUESTS, addr_v4(192, 168, 1, 2, 1)),
                  "a private network");
}

/* ---- addresses ------------------------------------------------------------------------------- */
Test(prober_sources, signs_nothing_for_an_address_inside_somebodys_network)
{
    static const char *const inside[] = {"10.0.0.5:4000", "127.0.0.1:4000", "192.168.1.1:53",
                                         "100.64.0.1:4000", "169.254.1.1:4000"};
    struct stun m = prober_bed_token_request();

    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        cr_assert(addr_parse(inside[i], &b->client));
        prober_bed_ask(b, 0, &m);
        cr_assert_null(strstr(b->said, "cookie"), "%s", inside[i]);
        cr_assert_not_null(strstr(b->said, "mapped="), "%s", inside[i]);
    }
    cr_assert_eq(b->core.n.fenced, 5);
    cr_assert_eq(b->core.n.cookies + b->core.n.tokens, 0);
}

Test(prober_sources, is_silent_to_a_source_that_is_no_hosts)
{
    static const char *const nobodys[] = {"224.0.0.1:4000", "0.0.0.0:4000", "255.255.255.255:4000",
                                          "[2002:a00::1]:4000", "203.0.113.5:0"};
    struct stun m = prober_bed_request();

    for (size_t i = 0; i < sizeof nobodys / sizeof *nobodys; i++) {
        cr_assert(addr_parse(nobodys[i], &b->client));
        prober_bed_ask(b, 0, &m);
        expect(b, "");
    }
    cr_assert_eq(b->core.n.malformed, 5);
}

/* ---- ports where servers listen -------------------------------------------------------------- */

Test(prober_sources, a_source_port_where_servers_listen_gets_no_answer)
{
    struct stun plain = {.type = STUN_BINDING_REQUEST};

    cr_assert(ports_parse(PORTS_REFUSED, &b->conf.refused));
    prober_bed_addresses(b, 4);
    for (unsigned i = 0; i < 3; i++) {
        b->client.port = (uint16_t[]){7, 53, 11211}[i];
        prober_bed_ask(b, 0, &plain);
        cr_assert_str_eq(b->said, "", "port %u", b->client.port);
    }
    cr_assert_eq(b->core.n.refused_ports, 3);
    b->client.port = 54;
    prober_bed_ask(b, 0, &plain);
    cr_assert_str_neq(b->said, "");
    plain.response_port = 53; /* where an answer is to go */
    prober_bed_ask(b, 0, &plain);
    cr_assert_str_eq(b->said, "");
    cr_assert_eq(b->core.n.refused_ports, 4);
}

Test(prober_sources, a_list_of_ports_is_one_or_is_refused)
{
    static const char *const wrong[] = {",",   "7,", ",7", "7,,9", "65536",
                                        "7;9", " 7", "-1", "x",    "99999999999"};
    struct ports p;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(ports_parse(wrong[i], &p), "%s", wrong[i]);
    cr_assert(ports_parse("", &p) && !ports_has(&p, 0));
    cr_assert(ports_parse("0,65535", &p));
    cr_assert(ports_has(&p, 0) && ports_has(&p, 65535) && !ports_has(&p, 1) && !ports_has(&p, 7));
}
