/*
 * test_redrive.c - a relayed session outlives its coordinator, and is tried directly again all the same.
 */
#include "tests/lib/coordinator_bed.h"
#include "tests/sim/world.h"

#include <criterion/criterion.h>

static struct bed bed, *const b = &bed;

static void setup(void)
{
    coordinator_bed_init(b, 0, 0);
    coordinator_bed_two(b);
}
static void teardown(void) { coordinator_bed_fini(b); }

TestSuite(redrive, .init = setup, .fini = teardown, .timeout = 60);

/* Alice asks for a new try of a session that nobody here knows; it has had two. */
static struct msg lost(void)
{
    struct msg m = coordinator_bed_request("", 7);

    m.punch_request.target_id = coordinator_bed_peer(1);
    m.punch_request.session.b[0] = 9;
    m.punch_request.attempt = 2;
    return m;
}

static void ask(const struct msg *m) { coordinator_bed_from_peer(b, 0, m); }

Test(redrive, takes_up_a_session_that_it_does_not_know_and_goes_on_counting)
{
    struct msg m = lost();

    ask(&m);
    expect(b, "free -> requested: it was lost, and lives\n"
              "requested -> inviting: both are attached\n" COORDINATOR_BED_ORDERS);
    cr_assert(b->last.b[0] == 9 && b->order[1].punch_coordinate.attempt == 3);
    for (unsigned path = PATH_RELAYED; path <= PATH_DIRECT; path += PATH_DIRECT - PATH_RELAYED)
        for (unsigned i = 0; i < 2; i++) {
            struct msg r = coordinator_bed_result(b, (enum path_kind)path, TECHNIQUE_SYNCHRONOUS,
                                                  path == PATH_RELAYED ? "punch-unanswered" : "");
            coordinator_bed_from_peer(b, i, &r);
        }
    const struct coordinator_counters *n = &b->core.n;
    cr_assert(n->relayed == 1 && n->upgrades_attempted == 1 && n->upgrades_succeeded == 1);
    cr_assert_eq(n->punches_attempted, 0, "it was one of an earlier life");
    cr_assert_eq(coordinator_session(&b->core, &b->last)->state, COORD_DIRECT);
}

Test(redrive, takes_up_nothing_that_the_target_does_not_accept_or_that_cannot_be)
{
    struct msg m = lost();

    m.punch_request.policy = POLICY_RELAY;
    ask(&m);
    m = lost();
    m.punch_request.attempt = COORD_TRIES_MAX;
    ask(&m);
    m = lost();
    m.punch_request.target_id = coordinator_bed_peer(4); /* not here */
    ask(&m);
    expect(b, "");
    cr_assert_eq(b->core.n.ignored, 3);
    coordinator_bed_attach_as(b, 1, coordinator_bed_conn(1), "bob", 1, ACCEPT_NOBODY);
    coordinator_bed_forget(b);
    m = lost();
    ask(&m);
    expect(b, "free -> requested: it was lost, and lives\n"
              "requested -> closed: the target does not accept this key\n"
              "p0: punch_refused rendezvous-rejected not-accepted\n");
}

Test(redrive, another_peers_session_is_not_taken_up)
{
    struct msg m = coordinator_bed_request("bob", 1);

    coordinator_bed_ready(b, 2, "carol");
    coordinator_bed_from_peer(b, 2, &m);
    m = lost();
    m.punch_request.session = b->last;
    coordinator_bed_forget(b);
    ask(&m);
    expect(b, "");
}

/* ---- in virtual time ------------------------------------------------------------------------------------ */

enum { SECOND = 1000000 };
static struct world w;

static void upgraded_after_a_restart(uint16_t accept)
{
    struct world_conf c = world_two("ei/preserve/apd", "ei/random/apd", 5);

    world_open(&w, &c);
    w.wall = true;
    world_run(&w, 4 * SECOND);
    size_t n = world_connect(&w, 0, 1, POLICY_AUTO, 15 * SECOND);
    world_run(&w, w.now_us + 10 * SECOND);
    struct sid session = w.results[n].at.session;
    cr_assert_eq(world_attempt(&w, 0, &session)->state, ATTEMPT_RELAYED);
    w.peers[1].core.conf.accept = accept; /* told with its next attach */
    world_crash_coordinator(&w, SECOND);
    world_run(&w, w.now_us + 50 * SECOND);
    const struct coordinator_session *s = coordinator_session(&w.coordinator, &session);
    cr_assert(s && s->state == COORD_RELAYED, "%s", s ? coordinator_state_name[s->state] : "lost");
    w.wall = false;
    world_run(&w, w.now_us + 100 * SECOND);
    for (size_t side = 0; side < 2; side++) {
        const struct attempt *a = world_attempt(&w, side, &session);
        cr_assert(a && a->state == ATTEMPT_DIRECT, "side %zu: %s", side,
                  a ? attempt_state_name[a->state] : "gone");
    }
    s = coordinator_session(&w.coordinator, &session);
    cr_assert(s && s->state == COORD_DIRECT);
    world_close(&w);
}

Test(redrive, a_relayed_session_is_upgraded_after_its_coordinator_was_restarted)
{
    upgraded_after_a_restart(ACCEPT_ANYONE);
    upgraded_after_a_restart(ACCEPT_KNOWN);
    upgraded_after_a_restart(ACCEPT_ASK); /* it was taken: nobody is asked again */
}
