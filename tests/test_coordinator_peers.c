/*
 * test_coordinator_peers.c - who gets in and who is known: enrolment, attachments, tokens, profiles, probers and relays.
 */
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>

static struct bed bed, *const b = &bed;

static void setup(void) { coordinator_bed_init(b, 0, 0); }
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(coordinator_peers, .init = setup, .fini = teardown, .timeout = 20);

/* ---- enrolment ------------------------------------------------------------------------------- */

static void enrol(const char *token, size_t len)
{
    struct msg m = {.type = MSG_enrol};

    m.enrol.token.len = (uint16_t)len;
    memcpy(m.enrol.token.b, token, len);
    coordinator_bed_from_peer(b, 3, &m);
}

Test(coordinator_peers, enrols_a_key_that_shows_the_token_and_no_other)
{
    enrol("0123456789abcdef", 16);
    expect(b, "store: put_enrolled \np3(enrol): enrolled \n");
    enrol("0123456789abcdeF", 16);
    enrol("0123456789abcde", 15);
    expect(b, "p3(enrol): enrolled not-authorized\np3(enrol): enrolled not-authorized\n");
}

Test(coordinator_peers, enrols_so_many_a_second_and_no_more)
{
    for (int i = 0; i < COORD_ENROLS_PER_S; i++)
        enrol("0123456789abcdef", 16);
    coordinator_bed_forget(b);
    enrol("0123456789abcdef", 16);
    expect(b, "p3(enrol): enrolled rate-limited\n");
    coordinator_bed_pass(b, 1000);
    enrol("0123456789abcdef", 16);
    expect(b, "store: put_enrolled \np3(enrol): enrolled \n");
}

Test(coordinator_peers, a_source_that_guesses_tokens_is_limited_and_takes_nothing_from_others)
{
    b->source = addr_v4(8, 8, 8, 8, 1);
    for (int i = 0; i < COORD_ENROLS_OF_SOURCE_PER_MIN; i++)
        enrol("0123456789abcdeF", 16);
    coordinator_bed_forget(b);
    enrol("0123456789abcdef", 16);
    expect(b, "p3(enrol): enrolled rate-limited\n");
    cr_assert_gt(b->out.v[0].msg.enrolled.retry_after_ms, 0);
    cr_assert_eq(b->core.n.enrols_by_source_limited, 1);
    b->source.ip[3]++;
    enrol("0123456789abcdef", 16);
    expect(b, "store: put_enrolled \np3(enrol): enrolled \n");
    cr_assert_eq(b->core.n.enrols_limited, 0);
}

Test(coordinator_peers, sources_behind_a_gateway_are_not_told_apart)
{
    b->source = addr_v4(172, 17, 0, 1, 1);
    for (int i = 0; i < 2 * COORD_ENROLS_OF_SOURCE_PER_MIN; i++)
        enrol("0123456789abcdeF", 16);
    coordinator_bed_forget(b);
    enrol("0123456789abcdef", 16);
    expect(b, "store: put_enrolled \np3(enrol): enrolled \n");
}

Test(coordinator_peers, admits_nobody_whose_enrolment_is_not_written)
{
    b->store.away = true;
    enrol("0123456789abcdef", 16);
    expect(b, "store: put_enrolled \np3(enrol): enrolled overloaded\n");
    cr_assert(b->core.n.enrolled == 0 && b->core.n.enrol_refused == 1);
}

Test(coordinator_peers, takes_nothing_but_enrolment_from_strangers)
{
    struct msg m = coordinator_bed_request("bob", 1);
    struct input in = {.kind = IN_MSG};

    in.msg = &m;
    in.from = (struct sender){.service = SERVICE_executor,
                              .peer = coordinator_bed_peer(0),
                              .conn = coordinator_bed_conn(0),
                              .enrolling = true};
    coordinator_bed_step(b, &in);
    m.type = MSG_enrol;
    in.from.enrolling = false;
    coordinator_bed_step(b, &in);
    expect(b, "");
    cr_assert_eq(b->core.n.ignored, 2);
}

/* ---- attachments ----------------------------------------------------------------------------- */

Test(coordinator_peers, attaches_a_peer_and_refreshes_its_row_at_half_its_life)
{
    coordinator_bed_attach(b, 0, "alice");
    expect(b, "store: put alice\np0: attached   probers=1\n");
    cr_assert_eq(coordinator_named(&b->core, "alice"),
                 coordinator_peer(&b->core, &b->store.v[0].peer));
    for (int s = 20; s <= 80; s += 20) {
        coordinator_bed_pass(b, 20000);
        coordinator_bed_attach(b, 0, "alice");
        expect(b, "p0: attached   probers=1\n");
    }
    coordinator_bed_pass(b, 20000);
    coordinator_bed_attach(b, 0, "alice");
    expect(b, "store: put alice\np0: attached   probers=1\n");
}

Test(coordinator_peers, forgets_a_peer_that_does_not_refresh)
{
    coordinator_bed_attach(b, 0, "alice");
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, COORD_ATTACH_TTL_MS - 1);
    cr_assert(coordinator_named(&b->core, "alice"));
    coordinator_bed_pass(b, 1);
    expect(b, "store: put alice away\n");
    cr_assert_null(coordinator_named(&b->core, "alice"));
    struct peer_id id = coordinator_bed_peer(0);
    coordinator_bed_pass(b, 60000);
    cr_assert_null(coordinator_peer(&b->core, &id));
    cr_assert_eq(coordinator_deadline(&b->core), NEVER);
}

Test(coordinator_peers, refuses_a_name_that_another_key_owns_or_that_is_none)
{
    coordinator_bed_attach(b, 0, "alice");
    coordinator_bed_attach(b, 1, "alice");
    coordinator_bed_attach(b, 2, "Alice!");
    coordinator_bed_attach_as(b, 2, coordinator_bed_conn(2), "carol", 1, ACCEPT_COUNT);
    expect(b, "store: put alice\np0: attached   probers=1\n"
              "store: put alice\np1: attached not-authorized name-taken probers=0\n"
              "p2: attached bad-request bad-request probers=0\n"
              "p2: attached bad-request bad-request probers=0\n");
    coordinator_bed_ask(b, 1, "alice", 1);
    expect(b, "p1: detached unknown\n");
}

Test(coordinator_peers, names_cannot_be_found_out_by_attaching_faster_than_by_calling)
{
    coordinator_bed_attach(b, 0, "alice");
    for (unsigned i = 0; i < COORD_REJECTED_PER_MIN; i++)
        coordinator_bed_attach_as(b, 1, coordinator_bed_conn(1), "alice", 1 + i, ACCEPT_ANYONE);
    coordinator_bed_forget(b);
    coordinator_bed_attach_as(b, 1, coordinator_bed_conn(1), "alice", 50, ACCEPT_ANYONE);
    coordinator_bed_attach_as(b, 1, coordinator_bed_conn(1), "free", 51, ACCEPT_ANYONE);
    expect(b, "p1: attached rate-limited rate-limited probers=0\n"
              "p1: attached rate-limited rate-limited probers=0\n");
    coordinator_bed_attach_as(b, 1, coordinator_bed_conn(1), "", 52, ACCEPT_ANYONE);
    expect(b, "store: put \np1: attached   probers=1\n");
    coordinator_bed_pass(b, 60000);
    coordinator_bed_attach_as(b, 1, coordinator_bed_conn(1), "free", 53, ACCEPT_ANYONE);
    cr_assert(coordinator_named(&b->core, "free"));
}

Test(coordinator_peers, says_so_when_a_key_has_all_the_names_that_it_may_have)
{
    b->store.names_spent = true;
    coordinator_bed_attach(b, 0, "alice");
    expect(b, "store: put alice\np0: attached not-authorized too-many-names probers=0\n");
    cr_assert_null(coordinator_named(&b->core, "alice"));
    b->store.names_spent = false;
    coordinator_bed_attach(b, 0, "alice");
    cr_assert(coordinator_named(&b->core, "alice"));
}

Test(coordinator_peers, serves_local_peers_while_the_store_is_away)
{
    b->store.away = true;
    coordinator_bed_two(b);
    coordinator_bed_ask(b, 0, "bob", 1);
    expect(b, "free -> requested: asked for\n"
              "requested -> inviting: both are attached\n" COORDINATOR_BED_ORDERS);
    coordinator_bed_ask(b, 0, "carol", 2);
    expect(b, "free -> requested: asked for\nstore: get_name carol\n"
              "requested -> closed: the store is away\np0: punch_refused overloaded overloaded\n");
}

Test(coordinator_peers, gives_a_name_back_to_its_owner_when_the_store_is_back)
{
    struct peer_id owner = coordinator_bed_peer(0);

    coordinator_bed_attach(b, 0, "alice");
    struct msg leave = {.type = MSG_detach};
    coordinator_bed_from_peer(b, 0, &leave);
    b->store.away = true;
    coordinator_bed_attach(b, 1, "alice"); /* nobody can say that it isn't */
    b->store.away = false;
    coordinator_bed_attach_as(b, 0, 900, "alice", 2, ACCEPT_ANYONE);
    cr_assert_eq(coordinator_named(&b->core, "alice"), coordinator_peer(&b->core, &owner));
    cr_assert_eq(b->core.peers_by_name.n, 1);
}

Test(coordinator_peers, keeps_the_later_of_two_connections_with_one_key)
{
    coordinator_bed_attach(b, 0, "alice");
    coordinator_bed_attach_as(b, 0, 900, "alice", 2, ACCEPT_ANYONE);
    expect(b, "store: put alice\np0: attached   probers=1\n"
              "p0: detached replaced\nstore: put alice\np800: attached   probers=1\n");
    coordinator_bed_attach(b, 0, "alice"); /* the earlier one's refresh */
    expect(b, "p0: detached replaced\n");
    coordinator_bed_attach_as(b, 0, 900, "alice", 1,
                              ACCEPT_ANYONE); /* overtaken on its own connection */
    expect(b, "");
    coordinator_bed_ask(b, 0, "alice", 1); /* from the connection that was replaced */
    expect(b, "p0: detached unknown\n");
    coordinator_bed_attach_as(b, 0, 901, "alice", 1,
                              ACCEPT_ANYONE); /* an executor that counts anew */
    expect(b, "p800: detached replaced\nstore: put alice\np801: attached   probers=1\n");
}

Test(coordinator_peers, gives_way_when_the_peer_has_attached_elsewhere)
{
    coordinator_bed_attach(b, 0, "alice");
    b->store.v[0].epoch = 6;
    coordinator_bed_forget(b);
    coordinator_bed_attach_as(b, 0, coordinator_bed_conn(0), "alice", 2, ACCEPT_ANYONE);
    expect(b, "store: put alice\np0: detached replaced\n");
    cr_assert_null(coordinator_named(&b->core, "alice"));
}

Test(coordinator_peers, limits_attachments_reports_and_requests_per_minute)
{
    struct msg report = {.type = MSG_reflex_report};

    coordinator_bed_ready(b, 0, "alice");
    for (int i = 1; i < COORD_ATTACHES_PER_MIN; i++)
        coordinator_bed_attach(b, 0, "alice");
    coordinator_bed_forget(b);
    coordinator_bed_attach(b, 0, "alice");
    expect(b, "p0: attached rate-limited rate-limited probers=0\n");
    for (int i = 1; i < COORD_REPORTS_PER_MIN; i++)
        coordinator_bed_from_peer(b, 0, &report);
    coordinator_bed_forget(b);
    coordinator_bed_from_peer(b, 0, &report);
    expect(b, "");
    for (int i = 0; i < COORD_REQUESTS_PER_MIN; i++)
        coordinator_bed_ask(b, 0, "!", 1);
    coordinator_bed_forget(b);
    coordinator_bed_ask(b, 0, "!", 1);
    expect(b, "p0: punch_refused rate-limited rate-limited\n");
    struct msg leave = {.type = MSG_detach};
    coordinator_bed_from_peer(b, 0, &leave); /* leaving does not start the minute anew */
    coordinator_bed_forget(b);
    coordinator_bed_attach(b, 0, "alice");
    expect(b, "p0: attached rate-limited rate-limited probers=0\n");
    coordinator_bed_pass(b, 60000);
    coordinator_bed_forget(b);
    coordinator_bed_attach(b, 0, "alice");
    expect(b, "store: put alice\np0: attached   probers=1\n");
}

Test(coordinator_peers, refuses_an_attachment_when_the_peer_table_is_full)
{
    coordinator_bed_fini(b);
    coordinator_bed_init(b, 2, 4);
    coordinator_bed_attach(b, 0, "");
    coordinator_bed_attach(b, 1, "");
    coordinator_bed_forget(b);
    coordinator_bed_attach(b, 2, "");
    expect(b, "p2: attached overloaded overloaded probers=0\n");
}

/* ---- tokens, profiles, the fleet ------------------------------------------------------------- */

static unsigned tokens_of(unsigned i)
{
    struct peer_id id = coordinator_bed_peer(i);
    const struct coordinator_peer *p = coordinator_peer(&b->core, &id);

    return p ? p->n_tokens : 0;
}

static void report_token(unsigned i, struct msg_token t)
{
    struct msg m = {.type = MSG_reflex_report};

    m.reflex_report.tokens.n = 1;
    m.reflex_report.tokens.v[0] = t;
    coordinator_bed_from_peer(b, i, &m);
}

Test(coordinator_peers, takes_only_tokens_that_a_prober_signed_for_this_peer)
{
    coordinator_bed_attach(b, 0, "alice");
    struct msg_token forged = coordinator_bed_token(b, 0, 4000, 0);
    forged.b[3] ^= 1;
    report_token(0, forged);
    report_token(0, coordinator_bed_token(b, 1, 4000, 0));
    report_token(0, (struct msg_token){0});
    cr_assert_eq(tokens_of(0), 0);
    cr_assert_eq(b->core.n.tokens_refused, 3);
    report_token(0, coordinator_bed_token(b, 0, 4000, 0));
    cr_assert_eq(tokens_of(0), 1);
}

Test(coordinator_peers, judges_age_by_the_probers_clock_and_keeps_the_newest_per_address)
{
    coordinator_bed_attach(b, 0, "alice");
    report_token(0, coordinator_bed_token(b, 0, 4000, 0)); /* shows what the prober's clock says */
    report_token(0, coordinator_bed_token(b, 0, 4001, TOKEN_TTL_MS + 1));
    cr_assert_eq(tokens_of(0), 1);
    for (uint16_t port = 4001; port < 4010; port++)
        report_token(0, coordinator_bed_token(b, 0, port, 100 - (port - 4001)));
    cr_assert_eq(tokens_of(0), TOKENS_MAX);
    for (unsigned i = 0; i < TOKENS_MAX; i++) {
        uint16_t port = b->core.peers[table_find(&b->core.peers_by_id, coordinator_bed_peer(0).b)]
                            .tokens[i]
                            .addr.port;
        cr_assert(port == 4000 || port >= 4007, "port %u", port);
    }
}

Test(coordinator_peers, forwards_reports_to_the_classifier_and_profiles_to_the_peer)
{
    coordinator_bed_attach(b, 0, "alice");
    coordinator_bed_forget(b);
    coordinator_bed_report(b, 0, 4000);
    expect(b, "classifier: reflex_report tokens=0\n");
    cr_assert(peer_id_eq(&b->out.v[0].msg.reflex_report.peer, &b->store.v[0].peer));
    coordinator_bed_profile(b, 0, NAT_EI, NAT_APD, ALLOC_PRESERVE);
    expect(b, "p0: nat_profile\n");
    coordinator_bed_profile(b, 0, 77, 0, 0);           /* no such mapping */
    coordinator_bed_profile(b, 9, NAT_EI, NAT_APD, 0); /* no such peer */
    expect(b, "");
}

Test(coordinator_peers, trusts_only_probers_and_relays_that_the_authority_certified)
{
    coordinator_bed_fini(b);
    coordinator_bed_init(b, 0, 0);
    coordinator_bed_pass_alone(b, COORD_HELLO_TTL_MS + 1); /* both are gone */
    b->prober.key[0] ^= 1;
    b->relay.key.b[0] ^= 1;
    coordinator_bed_hellos(b);
    cr_assert_eq(b->core.n.hellos_refused, 2);
    coordinator_bed_attach(b, 0, "alice");
    expect(b, "store: put alice\np0: attached   probers=0\n");
    cr_assert_null(strstr(b->text, "relay"));
}

Test(coordinator_peers, keeps_a_bounded_list_of_probers_and_relays)
{
    for (unsigned i = 0; i < 2 * COORD_RELAYS_MAX; i++) {
        b->prober.key[0]++;
        b->relay.key.b[0]++;
        b->relay.addr.port++;
        cert_sign('p', b->prober.key, b->authority_secret, b->prober.cert);
        cert_sign('r', b->relay.key.b, b->authority_secret, b->relay.cert.b);
        coordinator_bed_hellos(b);
    }
    cr_assert_eq(b->core.probers.n, PROBERS_MAX);
    cr_assert_eq(b->core.n.hellos_refused,
                 (2 * COORD_RELAYS_MAX - (PROBERS_MAX - 1)) + (COORD_RELAYS_MAX + 1));
}

Test(coordinator_peers,
     takes_no_prober_relay_or_token_at_an_address_that_is_no_hosts_or_inside_a_network)
{
    struct addr relay = b->relay.addr, prober = b->prober.addrs[0];
    uint64_t refused = b->core.n.hellos_refused;

    b->relay.addr = addr_v4(224, 0, 0, 1, 3480);
    coordinator_bed_relay_hello(b);
    b->relay.addr = relay;
    b->prober.addrs[0] = addr_v4(0, 0, 0, 0, 3478);
    coordinator_bed_prober_hello(b);
    b->prober.addrs[0] = prober;
    cr_assert_eq(b->core.n.hellos_refused, refused + 2);

    struct token t = {.addr = addr_v4(10, 0, 0, 1, 4000),
                      .peer = coordinator_bed_peer(0),
                      .time_ms = 1700000000000};
    struct msg m = {.type = MSG_reflex_report};
    coordinator_bed_attach(b, 0, "alice");
    m.reflex_report.tokens.n = 1;
    token_sign(&t, b->prober_secret, &m.reflex_report.tokens.v[0]);
    m.reflex_report.local = addr_v4(0, 1, 2, 3, 4);
    coordinator_bed_from_peer(b, 0, &m);
    const struct peer_id alice = coordinator_bed_peer(0);
    cr_assert_eq(coordinator_peer(&b->core, &alice)->n_tokens, 0);
    cr_assert_eq(coordinator_peer(&b->core, &alice)->local.len, 0);
}
