/* test_explain.c - what the coordinator tells people about a session: the fields, and the story. */
#include "services/coordinator/admin_shell.h"
#include "tests/lib/coordinator_bed.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct bed bed, *const b = &bed;

static void setup(void)
{
    coordinator_bed_init(b, 0, 0);
    coordinator_bed_two(b);
}
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(explain, .init = setup, .fini = teardown, .timeout = 20);

static void request(const char *target, enum policy policy)
{
    struct msg m = coordinator_bed_request(target, 7);

    m.punch_request.policy = (uint16_t)policy;
    coordinator_bed_from_peer(b, 0, &m);
}

static void results(enum path_kind path, const char *verdict)
{
    for (unsigned i = 0; i < 2; i++) {
        struct msg m = coordinator_bed_result(b, path, TECHNIQUE_SYNCHRONOUS, verdict);
        m.punch_result.after_us = 85000;
        m.punch_result.local = addr_v4(198, 51, 100, (uint8_t)(i + 1), 4000);
        m.punch_result.remote = addr_v4(198, 51, 100, (uint8_t)(2 - i), 4000);
        m.punch_result.tried.n = 1;
        m.punch_result.tried.v[0] = (struct tried_one){TECHNIQUE_SYNCHRONOUS, 6, 2};
        coordinator_bed_from_peer(b, i, &m);
    }
}

static json_t *explain(void)
{
    const struct coordinator_session *s = coordinator_session(&b->core, &b->last);
    json_t *o = coordinator_explain_json(&b->core, s, b->now_us);

    cr_assert(o);
    cr_assert_eq(json_array_size(json_object_get(o, "peers")), 2);
    return o;
}

static void expect_story(json_t *o, const char *const *sentences)
{
    json_t *story = json_object_get(o, "story");
    size_t n = 0;

    for (; sentences[n]; n++) {
        const char *got = json_string_value(json_array_get(story, n));
        cr_assert(got, "no sentence %zu: %s", n, sentences[n]);
        cr_assert_str_eq(got, sentences[n]);
    }
    cr_assert_eq(json_array_size(story), n, "there is more: %s",
                 json_string_value(json_array_get(story, n)));
    json_decref(o);
}

static void expect_field(json_t *o, const char *key, const char *value)
{
    const char *text = json_string_value(json_object_get(o, key));

    cr_assert(json_object_get(o, key), "no %s", key);
    if (value)
        cr_assert_str_eq(text ? text : "(null)", value);
    else
        cr_assert(json_is_null(json_object_get(o, key)), "%s is not null", key);
}

Test(explain, tells_how_a_direct_path_came_about)
{
    request("bob", POLICY_AUTO);
    results(PATH_DIRECT, "direct-synchronous");
    json_t *o = explain();
    expect_field(o, "path", "direct");
    expect_field(o, "technique", "synchronous");
    expect_field(o, "verdict", "direct-synchronous");
    expect_field(o, "kind", NULL);
    expect_field(o, "relay", "203.0.113.1:3480");
    cr_assert_eq(json_array_size(json_object_get(o, "transitions")), 5);
    cr_assert_eq(json_array_size(json_object_get(o, "plan")), 2);
    expect_story(o,
                 (const char *const[]){
                     "alice asked for a path to bob.",
                     "alice is behind a router that shows one public address and port for it, the "
                     "same to everybody.",
                     "It lets packets in to alice only from the exact address and port that alice "
                     "has sent to.",
                     "bob is behind a router that shows one public address and port for it, the "
                     "same to everybody.",
                     "It lets packets in to bob only from the exact address and port that bob has "
                     "sent to.",
                     "Both were told to send to each other at the same moment, so that each router "
                     "takes what comes in for an answer.",
                     "Meanwhile both could talk through the relay at 203.0.113.1:3480, which can't "
                     "read what it carries.",
                     "alice sent 6 packets for it and received 2.",
                     "bob sent 6 packets for it and received 2.",
                     "After 85 ms they were talking directly: alice at 198.51.100.1:4000, bob at "
                     "198.51.100.2:4000.",
                     NULL});
}

Test(explain, tells_why_it_is_relayed_and_what_would_help)
{
    coordinator_bed_profile(b, 0, NAT_APD, NAT_UNKNOWN, ALLOC_RANDOM);
    coordinator_bed_profile(b, 1, NAT_AD, NAT_UNKNOWN, ALLOC_RANDOM);
    request("bob", POLICY_AUTO);
    results(PATH_RELAYED, "both-random");
    json_t *o = explain();
    expect_field(o, "path", "relayed");
    expect_field(o, "technique", NULL);
    expect_field(o, "verdict", "both-random");
    json_t *story = json_object_get(o, "story");
    size_t n = json_array_size(story);
    cr_assert(
        strstr(json_string_value(json_array_get(story, n - 2)), "connected through the relay"));
    cr_assert(
        strstr(json_string_value(json_array_get(story, n - 1)), "What would help: a port map"));
    json_decref(o);
}

/* What the two were told to do first, had the plan begun with this technique. */
static json_t *told_of(enum technique technique, uint8_t role)
{
    struct coordinator_session s = *coordinator_session(&b->core, &b->last);

    s.plan.n = 1;
    s.plan.v[0] = (struct step){.technique = (uint8_t)technique, .role = role};
    json_t *o = coordinator_explain_json(&b->core, &s, b->now_us);
    json_t *sentence = json_incref(json_array_get(json_object_get(o, "story"), 5));
    json_decref(o);
    return sentence;
}

Test(explain, has_a_sentence_for_each_technique)
{
    json_t *told[TECHNIQUE_COUNT];

    request("bob", POLICY_AUTO);
    results(PATH_DIRECT, "direct-synchronous");
    for (unsigned t = TECHNIQUE_HOST; t <= TECHNIQUE_RELAYED; t++) {
        bool by_both = t == TECHNIQUE_HOST || t == TECHNIQUE_SYNCHRONOUS ||
                       t == TECHNIQUE_BLOCK_BIRTHDAY || t == TECHNIQUE_RELAYED;
        told[t] = told_of((enum technique)t, by_both ? 2 : 1);
        bool none = strstr(json_string_value(told[t]), "No direct way was tried") != NULL;
        cr_assert_eq(none, t == TECHNIQUE_RELAYED, "%s: %s", technique_name[t],
                     json_string_value(told[t]));
        for (unsigned other = TECHNIQUE_HOST; other < t; other++)
            cr_assert_not(json_equal(told[t], told[other]), "%s as %s", technique_name[t],
                          technique_name[other]);
    }
    cr_assert_str_eq(json_string_value(told[TECHNIQUE_MAPPED]),
                     "A port mapping on the router of alice leads to it, as a prober has checked, "
                     "so bob was told to send there.");
    for (unsigned t = TECHNIQUE_HOST; t <= TECHNIQUE_RELAYED; t++)
        json_decref(told[t]);
}

Test(explain, tells_a_firewall_from_a_router)
{
    coordinator_bed_profile(b, 1, NAT_NONE, NAT_AD, ALLOC_PRESERVE);
    request("bob", POLICY_AUTO);
    json_t *o = explain(), *story = json_object_get(o, "story");
    cr_assert_str_eq(json_string_value(json_array_get(story, 3)),
                     "bob has a public address of its own.");
    cr_assert_str_eq(json_string_value(json_array_get(story, 4)),
                     "A firewall lets packets in to bob only from hosts that bob has sent to.");
    json_decref(o);
}

Test(explain, does_not_call_one_reachable_whose_firewall_was_not_measured)
{
    coordinator_bed_profile(b, 1, NAT_NONE, NAT_UNKNOWN, ALLOC_PRESERVE);
    request("bob", POLICY_AUTO);
    json_t *o = explain();
    cr_assert_str_eq(json_string_value(json_array_get(json_object_get(o, "story"), 4)),
                     "Since bob has a public address, alice was told to call it directly.");
    json_decref(o);
}

/* Bob's router is such, alice's is strict; what the two say of it, and which packets each has seen. */
static void expect_cause(enum behaviour mapping, enum allocation allocation, const char *verdict,
                         uint32_t alice_saw, uint32_t bob_saw, const char *cause)
{
    coordinator_bed_profile(b, 1, mapping, NAT_APD, allocation);
    request("bob", POLICY_AUTO);
    for (unsigned i = 0; i < 2; i++) {
        struct msg m = coordinator_bed_result(b, PATH_RELAYED, TECHNIQUE_NONE, verdict);
        m.punch_result.tried = (struct tried){
            2,
            {{TECHNIQUE_SYNCHRONOUS, 6, i == 0 ? alice_saw : bob_saw}, {TECHNIQUE_RELAYED, 3, 3}}
        };
        coordinator_bed_from_peer(b, i, &m);
    }
    json_t *o = explain();
    expect_field(o, "cause", cause);
    json_decref(o);
}

Test(explain, says_which_side_it_is)
{
    expect_cause(NAT_APD, ALLOC_RANDOM, "birthday-missed", 0, 0,
                 "the router of bob draws a new random port for everyone it talks to, and of the "
                 "many that alice tried in time none was one that was open");
    expect_cause(NAT_APD, ALLOC_RANDOM, "one-random", 0, 0,
                 "the router of bob draws a new random port for everyone it talks to, and that of "
                 "alice lets in only what alice has sent to");
    expect_cause(NAT_APD, ALLOC_CONTIGUOUS, "prediction-missed", 0, 0,
                 "the next port of bob's router can be foreseen, but others behind it took those "
                 "that were, each time");
    expect_cause(NAT_APD, ALLOC_UNKNOWN, "not-predictable", 0, 0,
                 "the port of bob's router changes with everyone it talks to, by no rule that was "
                 "found");
    expect_cause(NAT_EI, ALLOC_PRESERVE, "one-way", 4, 0,
                 "what bob sends gets to alice, but nothing that alice sends gets to bob");
    expect_cause(NAT_EI, ALLOC_PRESERVE, "one-way", 4, 4, verdict_cause(VERDICT_one_way));
    expect_cause(NAT_EI, ALLOC_PRESERVE, "one-random", 0, 0, verdict_cause(VERDICT_one_random));
}

Test(explain, names_the_side_whose_nat_is_not_known)
{
    expect_cause(NAT_UNKNOWN, ALLOC_UNKNOWN, "profile-unknown", 0, 0,
                 "it is not known what the router of bob does");
}

Test(explain, names_the_side_whose_udp_is_blocked)
{
    request("bob", POLICY_AUTO);
    for (unsigned i = 0; i < 2; i++) {
        struct msg m = coordinator_bed_result(b, PATH_FAILED, TECHNIQUE_NONE,
                                              i == 0 ? "peer-udp-blocked" : "udp-blocked");
        coordinator_bed_from_peer(b, i, &m);
    }
    json_t *o = explain();
    expect_field(o, "cause", "bob gets no answer from any prober or relay by UDP");
    json_decref(o);
}

Test(explain, says_why_when_the_initiator_is_blocked_and_gone)
{
    request("bob", POLICY_AUTO);
    struct msg m = coordinator_bed_result(b, PATH_FAILED, TECHNIQUE_NONE, "udp-blocked");
    m.punch_result.tried = (struct tried){1, {{TECHNIQUE_RELAYED, 3, 0}}};
    coordinator_bed_from_peer(b, 0, &m);
    m = (struct msg){.type = MSG_punch_cancel};
    m.punch_cancel.session = b->last;
    coordinator_bed_from_peer(b, 0, &m);
    json_t *o = explain();
    expect_field(o, "verdict", "udp-blocked");
    json_t *story = json_object_get(o, "story");
    size_t n = json_array_size(story);
    cr_assert_str_eq(json_string_value(json_array_get(story, n - 3)),
                     "bob had not said what came of it.", "packets to the relay are no try");
    cr_assert_str_eq(json_string_value(json_array_get(story, n - 2)),
                     "It ended before a path was settled: alice gets no answer from any prober or "
                     "relay by UDP.");
    json_decref(o);
}

Test(explain, tells_why_a_request_was_refused)
{
    request("nobody", POLICY_AUTO);
    json_t *o = explain();
    expect_field(o, "path", "failed");
    expect_field(o, "kind", "not-found");
    expect_field(o, "verdict", "name-unknown");
    expect_story(o,
                 (const char *const[]){
                     "alice asked for a path to nobody.",
                     "No path was tried: nobody has claimed this name, or attached with this key.",
                     "What would help: check the spelling; the other side must "
                     "have run listen with it once.",
                     NULL});
}

Test(explain, tells_of_both_routers_where_only_a_direct_path_was_asked_for)
{
    coordinator_bed_profile(b, 0, NAT_APD, NAT_APD, ALLOC_RANDOM);
    coordinator_bed_profile(b, 1, NAT_APD, NAT_APD, ALLOC_RANDOM);
    request("bob", POLICY_DIRECT);
    json_t *o = explain();
    json_t *story = json_object_get(o, "story");
    size_t n = json_array_size(story);
    cr_assert_eq(n, 8);
    cr_assert(strstr(json_string_value(json_array_get(story, 1)), "alice is behind a router"));
    cr_assert(strstr(json_string_value(json_array_get(story, 3)), "bob is behind a router"));
    cr_assert(strstr(json_string_value(json_array_get(story, 5)),
                     "No path was tried: the routers of alice and bob both draw"));
    cr_assert_str_eq(json_string_value(json_array_get(story, 7)),
                     "The relay would have carried it, but only a direct path was asked for.");
    json_decref(o);
}

Test(explain, has_an_answer_in_every_state)
{
    static const uint8_t kinds[] = {NAT_UNKNOWN, NAT_NONE, NAT_EI, NAT_AD, NAT_APD};

    for (unsigned i = 0; i < 25 * PATH_COUNT * 4; i++) {
        coordinator_bed_profile(b, 0, kinds[i % 5], kinds[i / 5 % 5],
                                (uint8_t)(i % ALLOCATION_COUNT));
        if (i % COORD_REQUESTS_PER_MIN == 0) {
            coordinator_bed_pass(b, 59000);
            for (unsigned p = 0; p < 2; p++)
                coordinator_bed_ready(b, p, p == 0 ? "alice" : "bob");
            coordinator_bed_pass(b, 1000);
            coordinator_bed_ready(b, 0, "alice");
        }
        struct msg m = coordinator_bed_request("bob", i + 1000);
        coordinator_bed_from_peer(b, 0, &m);
        json_decref(explain());
        results((enum path_kind)(i / 25 % PATH_COUNT), "");
        json_decref(explain());
        m = (struct msg){.type = MSG_punch_cancel};
        m.punch_cancel.session = b->last;
        coordinator_bed_from_peer(b, i % 2, &m);
        json_decref(explain());
    }
    cr_assert_gt(b->core.n.punches_direct + b->core.n.punches_half, 50);
}

/* ---- what a peer is told --------------------------------------------------------------------------- */

/* The peer asks about the last session; what is told goes to out. */
static void ask(unsigned peer, struct outputs *told)
{
    struct msg m = {.type = MSG_explain, .explain = {.session = b->last}};

    coordinator_bed_forget(b);
    coordinator_bed_from_conn(b, peer, 900 + peer, &m); /* not where it is attached, if it is */
    *told = b->out;
    coordinator_tell(&b->core, told);
}

static const char *kind_told(unsigned peer)
{
    static struct outputs told;

    ask(peer, &told);
    cr_assert(told.n > 0 && told.v[0].msg.type == MSG_explained);
    cr_assert(sid_eq(&told.v[0].msg.explained.session, &b->last));
    cr_assert_eq(told.v[0].to_conn, 900 + peer);
    return told.v[0].msg.explained.kind;
}

Test(explain, is_told_to_both_sides_and_to_nobody_else)
{
    request("bob", POLICY_AUTO);
    results(PATH_DIRECT, "direct-synchronous");
    cr_assert_str_eq(kind_told(0), "");
    cr_assert_str_eq(kind_told(1), "");
    cr_assert_str_eq(kind_told(2), "not-found");
    coordinator_bed_ready(b, 3, "dave");
    cr_assert_str_eq(kind_told(3), "not-found");
    b->last = (struct sid){{0}};
    cr_assert_str_eq(kind_told(0), "not-found", "as of one that does not exist");
}

Test(explain, is_told_in_parts_that_make_the_operators_answer)
{
    static struct outputs told;
    char text[16384];
    size_t len = 0;

    request("bob", POLICY_AUTO);
    results(PATH_DIRECT, "direct-synchronous");
    ask(0, &told);
    cr_assert_gt(told.n, 1, "it is long enough to show it");
    for (size_t i = 0; i < told.n; i++) {
        const struct msg_explained *e = &told.v[i].msg.explained;
        cr_assert(e->part == i && e->parts == told.n && told.v[i].to_conn == 900);
        memcpy(text + len, e->json.b, e->json.len);
        len += e->json.len;
    }
    json_t *got = json_loadb(text, len, 0, NULL), *whole = explain();
    cr_assert(json_equal(got, whole));
    json_decref(got);
    json_decref(whole);
}

Test(explain, is_told_so_many_times_a_minute_also_to_strangers_who_leave_nothing)
{
    request("bob", POLICY_AUTO);
    for (int i = 0; i < COORD_EXPLAINS_PER_MIN; i++)
        cr_assert_str_eq(kind_told(5), "not-found");
    cr_assert_str_eq(kind_told(5), "rate-limited");
    cr_assert_str_eq(kind_told(0), "");
    struct peer_id stranger = coordinator_bed_peer(5);
    coordinator_bed_pass(b, 60000);
    cr_assert_null(coordinator_peer(&b->core, &stranger));
}
