/*
 * test_coordinator.c - the core, one input at a time: attachments, and sessions from request to verdict.
 */
#include "services/coordinator/parts.h"
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct bed bed, *const b = &bed;

static void setup(void) { coordinator_bed_init(b, 0, 0); }
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(coordinator, .init = setup, .fini = teardown, .timeout = 20);

/* A and B are here and measured, and A has asked for B; the transcript is emptied. */
static void ordered(void)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    struct msg m = coordinator_bed_request("bob", 7);
    coordinator_bed_from_peer(b, 0, &m);
    coordinator_bed_forget(b);
}

static void request(unsigned from, const char *target, uint64_t nonce)
{
    struct msg m = coordinator_bed_request(target, nonce);

    coordinator_bed_from_peer(b, from, &m);
}

static void result(unsigned from, enum path_kind path, const char *verdict)
{
    struct msg m = coordinator_bed_result(b, path, TECHNIQUE_SYNCHRONOUS, verdict);

    coordinator_bed_from_peer(b, from, &m);
}

static const struct coordinator_session *session(void)
{
    return coordinator_session(&b->core, &b->last);
}

/* ---- enrolment -------------------------------------------------------------------------------------- */

static void enrol(const char *token, size_t len)
{
    struct msg m = {.type = MSG_enrol};

    m.enrol.token.len = (uint16_t)len;
    memcpy(m.enrol.token.b, token, len);
    coordinator_bed_from_peer(b, 3, &m);
}

Test(coordinator, enrols_a_key_that_shows_the_token_and_no_other)
{
    enrol("0123456789abcdef", 16);
    expect(b, "store: put_enrolled \np3(enrol): enrolled \n");
    enrol("0123456789abcdeF", 16);
    enrol("0123456789abcde", 15);
    expect(b, "p3(enrol): enrolled not-authorized\np3(enrol): enrolled not-authorized\n");
}

Test(coordinator, enrols_so_many_a_second_and_no_more)
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

Test(coordinator, a_source_that_guesses_tokens_is_limited_and_takes_nothing_from_others)
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

Test(coordinator, sources_behind_a_gateway_are_not_told_apart)
{
    b->source = addr_v4(172, 17, 0, 1, 1);
    for (int i = 0; i < 2 * COORD_ENROLS_OF_SOURCE_PER_MIN; i++)
        enrol("0123456789abcdeF", 16);
    coordinator_bed_forget(b);
    enrol("0123456789abcdef", 16);
    expect(b, "store: put_enrolled \np3(enrol): enrolled \n");
}

Test(coordinator, admits_nobody_whose_enrolment_is_not_written)
{
    b->store.away = true;
    enrol("0123456789abcdef", 16);
    expect(b, "store: put_enrolled \np3(enrol): enrolled overloaded\n");
    cr_assert(b->core.n.enrolled == 0 && b->core.n.enrol_refused == 1);
}

Test(coordinator, takes_nothing_but_enrolment_from_strangers)
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

/* ---- attachments ------------------------------------------------------------------------------------ */

Test(coordinator, attaches_a_peer_and_refreshes_its_row_at_half_its_life)
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

Test(coordinator, forgets_a_peer_that_does_not_refresh)
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

Test(coordinator, refuses_a_name_that_another_key_owns_or_that_is_none)
{
    coordinator_bed_attach(b, 0, "alice");
    coordinator_bed_attach(b, 1, "alice");
    coordinator_bed_attach(b, 2, "Alice!");
    coordinator_bed_attach_as(b, 2, coordinator_bed_conn(2), "carol", 1, ACCEPT_COUNT);
    expect(b, "store: put alice\np0: attached   probers=1\n"
              "store: put alice\np1: attached not-authorized name-taken probers=0\n"
              "p2: attached bad-request bad-request probers=0\n"
              "p2: attached bad-request bad-request probers=0\n");
    request(1, "alice", 1);
    expect(b, "p1: detached unknown\n");
}

Test(coordinator, names_cannot_be_found_out_by_attaching_faster_than_by_calling)
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

Test(coordinator, says_so_when_a_key_has_all_the_names_that_it_may_have)
{
    b->store.names_spent = true;
    coordinator_bed_attach(b, 0, "alice");
    expect(b, "store: put alice\np0: attached not-authorized too-many-names probers=0\n");
    cr_assert_null(coordinator_named(&b->core, "alice"));
    b->store.names_spent = false;
    coordinator_bed_attach(b, 0, "alice");
    cr_assert(coordinator_named(&b->core, "alice"));
}

Test(coordinator, serves_local_peers_while_the_store_is_away)
{
    b->store.away = true;
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    request(0, "bob", 1);
    expect(b, "free -> requested: asked for\n"
              "requested -> inviting: both are attached\n"
              "inviting -> coordinating: direct-synchronous\n"
              "p0: punch_coordinate side=0 to=bob own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=15000 warm\n"
              "p1: punch_coordinate side=1 to=alice own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=15000 warm\n");
    request(0, "carol", 2);
    expect(b, "free -> requested: asked for\nstore: get_name carol\n"
              "requested -> closed: the store is away\np0: punch_refused overloaded overloaded\n");
}

Test(coordinator, gives_a_name_back_to_its_owner_when_the_store_is_back)
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

Test(coordinator, keeps_the_later_of_two_connections_with_one_key)
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
    request(0, "alice", 1); /* from the connection that was replaced */
    expect(b, "p0: detached unknown\n");
    coordinator_bed_attach_as(b, 0, 901, "alice", 1,
                              ACCEPT_ANYONE); /* an executor that counts anew */
    expect(b, "p800: detached replaced\nstore: put alice\np801: attached   probers=1\n");
}

Test(coordinator, gives_way_when_the_peer_has_attached_elsewhere)
{
    coordinator_bed_attach(b, 0, "alice");
    b->store.v[0].epoch = 6;
    coordinator_bed_forget(b);
    coordinator_bed_attach_as(b, 0, coordinator_bed_conn(0), "alice", 2, ACCEPT_ANYONE);
    expect(b, "store: put alice\np0: detached replaced\n");
    cr_assert_null(coordinator_named(&b->core, "alice"));
}

Test(coordinator, limits_attachments_reports_and_requests_per_minute)
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
        request(0, "!", 1);
    coordinator_bed_forget(b);
    request(0, "!", 1);
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

Test(coordinator, refuses_an_attachment_when_the_peer_table_is_full)
{
    coordinator_bed_fini(b);
    coordinator_bed_init(b, 2, 4);
    coordinator_bed_attach(b, 0, "");
    coordinator_bed_attach(b, 1, "");
    coordinator_bed_forget(b);
    coordinator_bed_attach(b, 2, "");
    expect(b, "p2: attached overloaded overloaded probers=0\n");
}

/* ---- tokens, profiles, the fleet ------------------------------------------------------------------ */

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

Test(coordinator, takes_only_tokens_that_a_prober_signed_for_this_peer)
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

Test(coordinator, judges_age_by_the_probers_clock_and_keeps_the_newest_per_address)
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

Test(coordinator, forwards_reports_to_the_classifier_and_profiles_to_the_peer)
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

Test(coordinator, trusts_only_probers_and_relays_that_the_authority_certified)
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

Test(coordinator, keeps_a_bounded_list_of_probers_and_relays)
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

Test(coordinator, takes_no_prober_relay_or_token_at_an_address_that_is_no_hosts_or_inside_a_network)
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

/* ---- requests --------------------------------------------------------------------------------------- */

Test(coordinator, drives_a_warm_pair_to_a_direct_path)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    request(0, "bob", 7);
    expect(b, "free -> requested: asked for\n"
              "requested -> inviting: both are attached\n"
              "inviting -> coordinating: direct-synchronous\n"
              "p0: punch_coordinate side=0 to=bob own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=15000 warm\n"
              "p1: punch_coordinate side=1 to=alice own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=15000 warm\n");
    cr_assert_eq(b->order[0].punch_coordinate.nonce, 7);
    cr_assert_eq(memcmp(&b->order[0].punch_coordinate.own, &b->order[1].punch_coordinate.theirs,
                        sizeof b->order[0].punch_coordinate.own),
                 0);
    struct msg ack = {.type = MSG_punch_ack};
    ack.punch_ack.session = b->last;
    coordinator_bed_from_peer(b, 1, &ack);
    result(0, PATH_DIRECT, "direct-synchronous");
    expect(b, "coordinating -> executing: first packet\n");
    result(1, PATH_DIRECT, "direct-synchronous");
    expect(b, "executing -> direct: both sides have reported\n");
    cr_assert_eq(session()->verdict, VERDICT_direct_synchronous);
    cr_assert(b->core.n.punches_attempted == 1 && b->core.n.punches_direct == 1);
}

static struct msg sample(uint16_t round, uint16_t port)
{
    struct msg m = {.type = MSG_punch_sample};

    m.punch_sample.session = b->last;
    m.punch_sample.round = round;
    m.punch_sample.seen = addr_v4(198, 51, 100, 1, port);
    m.punch_sample.others = 5;
    m.punch_sample.over_us = 4000000;
    m.punch_sample.age_us = 40000;
    return m;
}

/* The last punch_execute to this peer in the last step, or NULL. */
static const struct msg_punch_execute *executed(unsigned peer)
{
    const struct msg_punch_execute *m = NULL;

    for (size_t i = 0; i < b->out.n; i++)
        if (b->out.v[i].kind == OUT_MSG && b->out.v[i].msg.type == MSG_punch_execute &&
            b->out.v[i].to_conn == coordinator_bed_conn(peer))
            m = &b->out.v[i].msg.punch_execute;
    return m;
}

Test(coordinator, tells_both_one_instant_when_all_who_must_look_have_said_what_they_saw)
{
    struct msg m;

    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    for (unsigned i = 0; i < 2; i++)
        coordinator_bed_profile(b, i, NAT_APD, NAT_APD, ALLOC_CONTIGUOUS);
    m = coordinator_bed_request("bob", 1);
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert_eq(b->order[0].punch_coordinate.plan.v[0].technique, TECHNIQUE_PREDICTION);
    m = sample(1, 4001);
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert(!executed(0) && !executed(1));
    b->now_us += 30000;
    m = sample(2, 4002); /* each has its own rounds */
    coordinator_bed_from_peer(b, 1, &m);
    cr_assert(executed(0) && executed(1));
    cr_assert(executed(0)->round == 1 && executed(0)->seen.port == 4002);
    cr_assert(executed(1)->round == 2 && executed(1)->seen.port == 4001);
    cr_assert_eq(executed(1)->others, 5);
    cr_assert_eq(executed(1)->age_us - executed(0)->age_us, 30000, "it has waited");
    b->out.n = 0;
    for (unsigned i = 0; i < 2 * COORD_INSTANTS_MAX; i++)
        for (unsigned peer = 0; peer < 2; peer++) {
            m = sample((uint16_t)(3 + i), 4003);
            coordinator_bed_from_peer(b, peer, &m);
        }
    cr_assert_null(executed(0), "not for ever");
}

Test(coordinator, looks_of_who_need_not_look_or_takes_no_part_are_ignored)
{
    struct msg m;

    for (unsigned i = 0; i < 3; i++)
        coordinator_bed_ready(b, i, (const char *const[]){"alice", "bob", "carol"}[i]);
    coordinator_bed_profile(b, 1, NAT_APD, NAT_APD, ALLOC_CONTIGUOUS);
    m = coordinator_bed_request("bob", 1);
    coordinator_bed_from_peer(b, 0, &m);
    uint64_t ignored = b->core.n.ignored;
    m = sample(1, 4001);
    coordinator_bed_from_peer(b, 0, &m);
    coordinator_bed_from_peer(b, 2, &m);
    cr_assert_eq(b->core.n.ignored, ignored + 2);
    coordinator_bed_from_peer(b, 1, &m);
    cr_assert(executed(0) && executed(1));
    cr_assert_eq(executed(0)->seen.port, 4001);
    cr_assert_eq(executed(1)->seen.len, 0, "the other side had nothing to say");
}

Test(coordinator, says_at_once_that_a_name_is_unknown)
{
    coordinator_bed_ready(b, 0, "alice");
    request(0, "bob", 7);
    expect(b, "free -> requested: asked for\nstore: get_name bob\n"
              "requested -> closed: nobody has claimed it\n"
              "p0: punch_refused not-found name-unknown\n");
    struct msg m = coordinator_bed_request("", 8);
    m.punch_request.target_id = coordinator_bed_peer(5);
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "free -> requested: asked for\nstore: get_peer \n"
              "requested -> closed: nobody has claimed it\n"
              "p0: punch_refused not-found name-unknown\n");
}

Test(coordinator, waits_for_a_target_that_is_known_but_away)
{
    coordinator_bed_ready(b, 1, "bob");
    struct msg leave = {.type = MSG_detach};
    coordinator_bed_from_peer(b, 1, &leave);
    coordinator_bed_pass(b, 70000); /* not even the record of its limits is left */
    coordinator_bed_forget(b);
    coordinator_bed_ready(b, 0, "alice");
    request(0, "bob", 7);
    expect(b, "free -> requested: asked for\nstore: get_name bob\n");
    coordinator_bed_pass(b, 5000);
    coordinator_bed_ready(b, 1, "bob");
    coordinator_bed_pass(b, 1);
    expect(b, "requested -> inviting: both are attached\n"
              "inviting -> coordinating: direct-synchronous\n"
              "p0: punch_coordinate side=0 to=bob own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=10000\n"
              "p1: punch_coordinate side=1 to=alice own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=10000\n");
}

Test(coordinator, gives_up_on_a_target_that_stays_away)
{
    coordinator_bed_ready(b, 1, "bob");
    struct msg leave = {.type = MSG_detach};
    coordinator_bed_from_peer(b, 1, &leave);
    coordinator_bed_ready(b, 0, "alice");
    request(0, "bob", 7);
    coordinator_bed_pass(b, 14999);
    expect(b, "free -> requested: asked for\nstore: get_name bob\n");
    coordinator_bed_pass(b, 1);
    expect(b, "requested -> closed: the target did not attach in time\n"
              "p0: punch_refused peer-not-reachable peer-away\n");
    cr_assert_eq(b->core.n.timeouts, 1);
}

Test(coordinator, refuses_requests_that_make_no_sense)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    struct msg m = coordinator_bed_request("", 1); /* no target */
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_request("alice", 2); /* itself */
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_request("", 3);
    m.punch_request.target_id = coordinator_bed_peer(0);
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_request("bob", 4); /* two targets */
    m.punch_request.target_id = coordinator_bed_peer(1);
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_request("bob", 5);
    m.punch_request.policy = POLICY_COUNT;
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_request("bob", 6);
    m.punch_request.mode = MODE_COUNT;
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n");
    m = coordinator_bed_request("bob", 7);
    m.punch_request.mode = MODE_RAW; /* bob takes managed only */
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "free -> requested: asked for\n"
              "requested -> closed: the target does not take this mode\n"
              "p0: punch_refused bad-request mode-mismatch\n");
}

Test(coordinator, tells_no_address_to_whom_the_target_does_not_accept)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_attach_as(b, 1, coordinator_bed_conn(1), "bob", 1, ACCEPT_NOBODY);
    coordinator_bed_forget(b);
    for (uint64_t i = 0; i < COORD_REJECTED_PER_MIN; i++)
        request(0, "bob", i);
    cr_assert_null(strstr(b->text, "punch_coordinate"));
    cr_assert_eq(b->core.n.rejections, COORD_REJECTED_PER_MIN);
    coordinator_bed_forget(b);
    request(0, "bob", 99);
    expect(b, "p0: punch_refused rate-limited rate-limited\n");
    const struct msg *refused = &b->out.v[b->out.n - 1].msg;
    cr_assert_geq(refused->punch_refused.retry_after_ms, 1000);
    cr_assert_leq(refused->punch_refused.retry_after_ms, 60000);
    struct msg m = coordinator_bed_request("", 100); /* by its key, which nobody guesses */
    m.punch_request.target_id = coordinator_bed_peer(1);
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "free -> requested: asked for\n"
              "requested -> closed: too many calls that were not accepted\n"
              "p0: punch_refused rate-limited rate-limited\n");
    coordinator_bed_pass(b, 60000);
    coordinator_bed_attach(b, 0, "alice");
    coordinator_bed_forget(b);
    request(0, "nobody", 101);
    cr_assert_not_null(strstr(b->text, "not-found"), "the minute is over");
}

Test(coordinator, names_cannot_be_tried_out_faster_than_calls_that_are_not_accepted)
{
    char name[16];

    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    for (unsigned i = 0; i < 3 * COORD_REJECTED_PER_MIN; i++) {
        snprintf(name, sizeof name, "n%u", i);
        request(0, name, i);
    }
    cr_assert_eq(b->core.n.not_found, COORD_REJECTED_PER_MIN);
    coordinator_bed_forget(b);
    request(0, "bob", 99);
    expect(b, "p0: punch_refused rate-limited rate-limited\n"); /* and so not of those that exist */
}

Test(coordinator, an_operator_changes_the_limits_of_requests_at_run_time)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_limit_requests(&b->core, 2, 0);
    coordinator_bed_forget(b);
    request(0, "alice", 1);
    request(0, "alice", 2);
    request(0, "alice", 3);
    expect(b, "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused bad-request bad-request\n"
              "p0: punch_refused rate-limited rate-limited\n");
    coordinator_limit_requests(&b->core, 3, 0);
    request(0, "alice", 4);
    expect(b, "p0: punch_refused bad-request bad-request\n");
}

Test(coordinator, when_it_drains_it_finishes_sessions_and_begins_none)
{
    ordered();
    cr_assert(coordinator_pending(&b->core));
    coordinator_drain(&b->core);
    request(0, "bob", 8);
    expect(b, "p0: punch_refused overloaded overloaded\n");
    request(0, "bob", 7); /* what was begun is repeated still */
    cr_assert(strstr(b->text, "punch_coordinate"));
    cr_assert(coordinator_pending(&b->core));
    coordinator_bed_pass(b, 60000); /* nobody answers */
    cr_assert(!coordinator_pending(&b->core));
}

Test(coordinator, repeats_an_order_when_its_request_is_repeated)
{
    ordered();
    coordinator_bed_pass(b, 3000);
    request(0, "bob", 7);
    expect(b, "p0: punch_coordinate side=0 to=bob own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=12000 warm\n");
    cr_assert_eq(b->core.n.sessions, 1);
}

Test(coordinator, a_request_with_the_number_of_a_settled_session_is_a_new_one)
{
    ordered();
    result(0, PATH_DIRECT, "direct-synchronous");
    result(1, PATH_DIRECT, "direct-synchronous");
    request(0, "bob", 7);
    cr_assert_eq(b->core.n.sessions, 2);
}

Test(coordinator, another_process_with_the_same_key_ends_the_sessions_of_the_earlier_one)
{
    struct msg m = {
        .type = MSG_attach, .attach = {.name = "alice", .modes = 1, .seq = 1}
    };

    ordered();
    result(0, PATH_DIRECT, "direct-synchronous");
    result(1, PATH_DIRECT, "direct-synchronous");
    coordinator_bed_forget(b);
    m.attach.instance = 1;
    coordinator_bed_from_conn(b, 0, 801, &m);
    coordinator_bed_pass(b, 1);
    cr_assert_not_null(strstr(b->text, "direct -> closed: a side has detached\n"));
    cr_assert_not_null(strstr(b->text, "p1: punch_cancel"));
}

Test(coordinator, sends_the_targets_order_again_when_it_is_back_on_another_connection)
{
    ordered();
    coordinator_bed_pass(b, 3000);
    coordinator_bed_attach_as(b, 1, 901, "bob", 2, ACCEPT_ANYONE);
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, 1);
    expect(b, "p801: punch_coordinate side=1 to=alice own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=12000 warm\n");
    coordinator_bed_attach_as(b, 0, 900, "alice", 2, ACCEPT_ANYONE); /* will ask itself */
    struct msg m = coordinator_bed_result(b, PATH_DIRECT, TECHNIQUE_SYNCHRONOUS, "");
    coordinator_bed_from_conn(b, 1, 901, &m);
    coordinator_bed_attach_as(b, 1, 902, "bob", 3, ACCEPT_ANYONE);
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, 1);
    expect(b, ""); /* who has reported has had it */
}

Test(coordinator, makes_room_by_forgetting_the_oldest_closed_session_only)
{
    coordinator_bed_fini(b);
    coordinator_bed_init(b, 0, 2);
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    request(0, "nobody", 1); /* closed at once */
    request(0, "bob", 2);
    coordinator_bed_forget(b);
    request(0, "bob", 3);
    cr_assert_eq(strncmp(b->text, "closed -> free: made room\nfree -> requested", 43), 0);
    coordinator_bed_forget(b);
    request(0, "bob", 4);
    expect(b, "p0: punch_refused overloaded overloaded\n");
}

/* ---- inviting, planning ----------------------------------------------------------------------------- */

Test(coordinator, waits_two_seconds_at_most_for_both_to_be_measured)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_attach(b, 1, "bob");
    coordinator_bed_forget(b);
    request(0, "bob", 7);
    expect(b, "free -> requested: asked for\nrequested -> inviting: both are attached\n");
    coordinator_bed_pass(b, 1999);
    expect(b, "");
    coordinator_bed_pass(b, 1);
    expect(b, "inviting -> coordinating: no-token\n"
              "p0: punch_coordinate side=0 to=bob own=1 theirs=0 plan=relayed reason=no-token "
              "relay=yes deadline=13000\n"
              "p1: punch_coordinate side=1 to=alice own=0 theirs=1 plan=relayed reason=no-token "
              "relay=yes deadline=13000\n");
    cr_assert_eq(b->core.n.punches_attempted, 0);
}

Test(coordinator, goes_on_as_soon_as_both_are_measured)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_attach(b, 1, "bob");
    request(0, "bob", 7);
    coordinator_bed_report(b, 1, 4000);
    coordinator_bed_pass(b, 100);
    coordinator_bed_forget(b);
    coordinator_bed_profile(b, 1, NAT_EI, NAT_EI, ALLOC_PRESERVE);
    coordinator_bed_pass(b, 1);
    cr_assert(strstr(b->text, "inviting -> coordinating: direct-reversal"));
    cr_assert_eq(b->order[0].punch_coordinate.plan.v[0].role, 0);
}

Test(coordinator, relays_when_both_sides_are_random)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    coordinator_bed_profile(b, 0, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_profile(b, 1, NAT_AD, NAT_APD, ALLOC_RANDOM);
    request(0, "bob", 7);
    cr_assert(strstr(b->text, "plan=relayed reason=both-random relay=yes"));
    result(0, PATH_RELAYED, "both-random");
    result(1, PATH_RELAYED, "both-random");
    cr_assert_eq(session()->state, COORD_RELAYED);
    cr_assert_eq(session()->verdict, VERDICT_both_random);
    cr_assert(b->core.n.punches_attempted == 0 && b->core.n.relayed == 1 &&
              b->core.n.relayed_now == 1);
}

Test(coordinator, discloses_no_address_under_the_relay_policy)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_attach(b, 1, "bob");
    coordinator_bed_forget(b);
    struct msg m = coordinator_bed_request("bob", 7);
    m.punch_request.policy = POLICY_RELAY;
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "free -> requested: asked for\n"
              "requested -> inviting: both are attached\n"
              "inviting -> coordinating: relay-policy\n"
              "p0: punch_coordinate side=0 to=bob own=0 theirs=0 plan=relayed reason=relay-policy "
              "relay=yes deadline=15000\n"
              "p1: punch_coordinate side=1 to=alice own=0 theirs=0 plan=relayed "
              "reason=relay-policy relay=yes deadline=15000\n");
}

Test(coordinator, gives_no_relay_under_the_direct_policy_and_refuses_what_cannot_work)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    struct msg m = coordinator_bed_request("bob", 7);
    m.punch_request.policy = POLICY_DIRECT;
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert(strstr(b->text, "plan=synchronous reason=direct-synchronous relay=no"));
    coordinator_bed_profile(b, 0, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_profile(b, 1, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_forget(b);
    m.punch_request.nonce = 8;
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert(strstr(b->text, "p0: punch_refused punch-failed both-random\n"));
}

Test(coordinator, plans_without_a_relay_when_none_is_up_and_refuses_when_it_is_needed)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    coordinator_bed_pass_alone(b, COORD_HELLO_TTL_MS + 1);
    request(0, "bob", 7);
    cr_assert(strstr(b->text, "plan=synchronous reason=direct-synchronous relay=no"));
    coordinator_bed_profile(b, 0, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_profile(b, 1, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_forget(b);
    request(0, "bob", 8);
    expect(b, "free -> requested: asked for\n"
              "requested -> inviting: both are attached\n"
              "inviting -> closed: no relay is up\n"
              "p0: punch_refused rendezvous-no-relay no-relay\n");
    cr_assert_eq(b->core.n.no_relay, 1);
    b->relay.sessions = b->relay.sessions_max;
    coordinator_bed_hellos(b);
    coordinator_bed_forget(b);
    request(0, "bob", 9);
    expect(b, "free -> requested: asked for\n"
              "requested -> inviting: both are attached\n"
              "inviting -> closed: every relay is full\n"
              "p0: punch_refused rendezvous-no-relay relay-full\n");
}

Test(coordinator, waits_for_the_first_relay_just_after_its_own_start)
{
    coordinator_bed_fini(b);
    coordinator_bed_init_alone(b, 0, 0);
    coordinator_bed_prober_hello(b);
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    request(0, "bob", 7);
    coordinator_bed_pass_alone(b, 1000);
    expect(b, "free -> requested: asked for\nrequested -> inviting: both are attached\n");
    coordinator_bed_relay_hello(b);
    expect(b, "inviting -> coordinating: direct-synchronous\n"
              "p0: punch_coordinate side=0 to=bob own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=14000 warm\n"
              "p1: punch_coordinate side=1 to=alice own=1 theirs=1 plan=synchronous,relayed "
              "reason=direct-synchronous relay=yes deadline=14000 warm\n");
}

Test(coordinator, waits_for_no_relay_for_ever_nor_under_the_direct_policy)
{
    coordinator_bed_fini(b);
    coordinator_bed_init_alone(b, 0, 0);
    coordinator_bed_prober_hello(b);
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    struct msg m = coordinator_bed_request("bob", 7);
    m.punch_request.policy = POLICY_DIRECT;
    coordinator_bed_from_peer(b, 0, &m);
    cr_assert(strstr(b->text, "plan=synchronous reason=direct-synchronous relay=no"));
    coordinator_bed_forget(b);
    request(0, "bob", 8);
    coordinator_bed_pass_alone(b, 1999);
    cr_assert_null(strstr(b->text, "punch_coordinate"));
    coordinator_bed_pass_alone(b, 1);
    cr_assert(strstr(b->text, "plan=synchronous reason=direct-synchronous relay=no"));
}

Test(coordinator, chooses_the_relay_with_the_most_room)
{
    coordinator_bed_ready(b, 0, "alice");
    coordinator_bed_ready(b, 1, "bob");
    b->relay.sessions = 500;
    coordinator_bed_hellos(b);
    b->relay.key.b[0] ^= 1; /* a second one, emptier */
    b->relay.sessions = 100;
    b->relay.addr.port = 9999;
    cert_sign('r', b->relay.key.b, b->authority_secret, b->relay.cert.b);
    coordinator_bed_hellos(b);
    request(0, "bob", 7);
    cr_assert_eq(b->order[0].punch_coordinate.relay.port, 9999);
    b->relay.sessions = b->relay.sessions_max; /* full */
    coordinator_bed_hellos(b);
    request(0, "bob", 8);
    cr_assert_eq(b->order[0].punch_coordinate.relay.port, 3480);
}

/* ---- results ---------------------------------------------------------------------------------------- */

Test(coordinator, settles_on_the_worse_of_the_two_reports)
{
    static const struct {
        enum path_kind a, b;
        enum coordinator_state state;
    } cases[] = {
        {PATH_DIRECT,  PATH_HALF,    COORD_HALF   },
        {PATH_HALF,    PATH_RELAYED, COORD_RELAYED},
        {PATH_RELAYED, PATH_FAILED,  COORD_FAILED },
        {PATH_FAILED,  PATH_DIRECT,  COORD_FAILED },
    };

    ordered();
    for (uint64_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        request(0, "bob", 100 + i);
        result(0, cases[i].a, "");
        result(1, cases[i].b, "");
        cr_assert_eq(session()->state, (uint8_t)cases[i].state, "case %u", (unsigned)i);
    }
    cr_assert(b->core.n.punches_half == 1 && b->core.n.punches_failed == 3);
}

Test(coordinator, counts_a_silent_side_as_failed_unless_the_other_is_sure)
{
    ordered();
    result(0, PATH_RELAYED, "punch-unanswered");
    coordinator_bed_pass(b, 15000 + COORD_GRACE_MS);
    expect(b, "coordinating -> executing: first result\nexecuting -> failed: one side is silent\n");
    cr_assert_eq(session()->verdict, VERDICT_peer_silent);
    result(1, PATH_RELAYED, "punch-unanswered"); /* late, but true */
    expect(b, "failed -> relayed: both sides have reported\n");
    coordinator_bed_attach(b, 0, "alice"), coordinator_bed_attach(b, 1, "bob");
    request(0, "bob", 8);
    coordinator_bed_forget(b);
    result(0, PATH_DIRECT, "direct-synchronous");
    coordinator_bed_pass(b, 15000 + COORD_GRACE_MS);
    expect(
        b,
        "coordinating -> executing: first result\nexecuting -> direct: one side is sure of it\n");
    cr_assert(b->core.n.punches_failed == 1 && b->core.n.punches_direct == 1);
}

Test(coordinator, fails_a_session_that_nobody_answers)
{
    ordered();
    coordinator_bed_pass(b, 15000 + COORD_GRACE_MS);
    expect(b, "coordinating -> failed: both sides are silent\n");
    cr_assert_eq(session()->verdict, VERDICT_peer_silent);
}

Test(coordinator, follows_falling_back_and_upgrades_and_closes_when_unrefreshed)
{
    ordered();
    result(0, PATH_RELAYED, "punch-unanswered");
    result(1, PATH_RELAYED, "punch-unanswered");
    coordinator_bed_forget(b);
    result(0, PATH_DIRECT, "direct-synchronous");
    result(1, PATH_DIRECT, "direct-synchronous");
    expect(b, "relayed -> direct: both sides have reported\n");
    cr_assert(b->core.n.upgrades_succeeded == 1 && b->core.n.relayed_now == 0);
    for (int i = 0; i < 4; i++) {
        coordinator_bed_attach(b, 0, "alice"), coordinator_bed_attach(b, 1, "bob");
        coordinator_bed_pass(b, 50000);
        result(0, PATH_DIRECT, "direct-synchronous");
    }
    coordinator_bed_forget(b);
    coordinator_bed_pass(b, 179000);
    cr_assert_null(strstr(b->text, "closed"));
    coordinator_bed_pass(b, 1000);
    cr_assert(strstr(b->text, "direct -> closed: not confirmed any more\n"));
    cr_assert_null(strstr(b->text, "punch_cancel")); /* the path may well live on */
    struct sid id = b->last;
    coordinator_bed_pass(b, 599000);
    cr_assert(coordinator_session(&b->core, &id));
    coordinator_bed_pass(b, 1000);
    cr_assert_null(coordinator_session(&b->core, &id));
    cr_assert_eq(coordinator_deadline(&b->core), NEVER);
}

Test(coordinator, lets_only_participants_touch_a_session)
{
    ordered();
    coordinator_bed_ready(b, 2, "carol");
    result(2, PATH_FAILED, "");
    struct msg m = {.type = MSG_punch_cancel};
    m.punch_cancel.session = b->last;
    coordinator_bed_from_peer(b, 2, &m);
    m.type = MSG_punch_ack;
    coordinator_bed_from_peer(b, 2, &m);
    expect(b, "");
    cr_assert_eq(b->core.n.ignored, 3);
}

Test(coordinator, ignores_results_that_make_no_sense)
{
    ordered();
    struct msg m = coordinator_bed_result(b, PATH_COUNT, TECHNIQUE_SYNCHRONOUS, "");
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_result(b, PATH_DIRECT, TECHNIQUE_COUNT, "");
    coordinator_bed_from_peer(b, 0, &m);
    m = coordinator_bed_result(b, PATH_FAILED, TECHNIQUE_NONE, "");
    msg_text(m.punch_result.kind, sizeof m.punch_result.kind, "no-such-kind");
    coordinator_bed_from_peer(b, 0, &m);
    expect(b, "");
}

static void cancel_from(unsigned i)
{
    struct msg m = {.type = MSG_punch_cancel};

    m.punch_cancel.session = b->last;
    coordinator_bed_from_peer(b, i, &m);
}

Test(coordinator, tells_the_other_side_when_one_cancels)
{
    ordered();
    cancel_from(0);
    expect(b, "p1: punch_cancel cancelled\ncoordinating -> closed: the initiator ended it\n");
    cr_assert_eq(b->core.n.punches_failed, 1);
    cancel_from(0);
    expect(b, "");
}

Test(coordinator, ends_the_sessions_of_a_peer_that_detaches)
{
    ordered();
    struct msg m = {.type = MSG_detach};
    coordinator_bed_from_peer(b, 1, &m);
    coordinator_bed_pass(b, 1);
    expect(b, "store: put bob away\n"
              "p0: punch_cancel cancelled\ncoordinating -> closed: a side has detached\n");
    cr_assert_eq(session()->verdict, VERDICT_cancelled);
}

Test(coordinator, lets_the_operator_cancel_in_any_state)
{
    ordered();
    struct msg m = {.type = MSG_punch_cancel};
    m.punch_cancel.session = b->last;
    coordinator_bed_from_suite(b, SERVICE_coordinator, &m);
    expect(b, "p0: punch_cancel cancelled\np1: punch_cancel cancelled\n"
              "coordinating -> closed: the operator cancelled it\n");
    coordinator_bed_attach(b, 2, "carol");
    coordinator_bed_forget(b);
    request(0, "carol", 8);
    m.punch_cancel.session = b->last;
    coordinator_bed_forget(b);
    coordinator_bed_from_suite(b, SERVICE_coordinator, &m);
    expect(
        b,
        "inviting -> closed: the operator cancelled it\np0: punch_refused cancelled cancelled\n");
}

Test(coordinator, adds_up_what_relays_carried)
{
    ordered();
    struct msg m = {.type = MSG_relay_usage};
    m.relay_usage.session = b->last;
    m.relay_usage.packets = 2;
    m.relay_usage.bytes = 200;
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
    cr_assert(session()->relay_packets == 4 && session()->relay_bytes == 400);
    cr_assert_not(session()->relay_ended);
    m.relay_usage.ended = true;
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
    cr_assert(session()->relay_ended);
}

Test(coordinator, counts_a_fallback_once_and_only_where_the_relay_is_the_path)
{
    struct msg m = {.type = MSG_relay_usage};

    ordered();
    m.relay_usage.session = b->last;
    m.relay_usage.packets = 2;
    for (unsigned i = 0; i < 2; i++) {
        struct msg r =
            coordinator_bed_result(b, PATH_DIRECT, TECHNIQUE_SYNCHRONOUS, "direct-synchronous");
        coordinator_bed_from_peer(b, i, &r);
    }
    coordinator_bed_from_suite(b, SERVICE_relay, &m); /* punches of the two */
    cr_assert_eq(b->core.n.relay_fallbacks, 0);
    struct msg r = coordinator_bed_result(b, PATH_RELAYED, TECHNIQUE_NONE, "punch-unanswered");
    coordinator_bed_from_peer(b, 1, &r);
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
    coordinator_bed_from_suite(b, SERVICE_relay, &m);
    cr_assert_eq(b->core.n.relay_fallbacks, 1);
}

Test(coordinator, ignores_answers_that_it_did_not_ask_for)
{
    struct input in = {.kind = IN_STORE};

    ordered();
    for (uint64_t tag = 0; tag < 4; tag++)
        for (int op = STORE_PUT; op <= STORE_GET_NAME; op++) {
            in.store.op = (enum store_op)op;
            in.store.tag = tag << 26 | (tag == 3 ? 0x3ffffff : 0);
            coordinator_bed_step(b, &in);
        }
    expect(b, "");
}
