/*
 * test_front.c - the coordinator as a process: its doors, who comes in by them, and what it survives.
 *
 * What it decides is tested in test_coordinator*.c; this checks the shell around it.
 */
#include "services/coordinator/coordinator.h"
#include "tests/lib/child.h"
#include "tests/lib/front_bed.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

TestSuite(front, .init = front_bed_setup, .fini = front_bed_teardown, .timeout = 60);

/* ---- tests -------------------------------------------------------------------------------------------- */

Test(front, lets_in_enrolled_keys_only)
{
    struct front_peer alice = front_bed_new_peer(), stranger = front_bed_new_peer();

    cr_assert_eq(front_bed_handshake(&stranger, front_bed_port), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    cr_assert_eq(front_bed_handshake(&stranger, front_bed_enrol_port),
                 ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    front_bed_enrol(&alice);
    cr_assert_eq(front_bed_handshake(&alice, front_bed_port), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    front_bed_attach(&alice, "alice");
    cr_assert_eq(front_bed_handshake(&stranger, front_bed_port), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    zsock_destroy(&alice.sock);
    zsock_destroy(&stranger.sock);
}

/* On a routing id of the peer's own choice, five bytes of it. */
static void choose_id(struct front_peer *p, const char *id)
{
    cr_assert_eq(zmq_setsockopt(zsock_resolve(front_bed_unconnected(p)), ZMQ_ROUTING_ID, id, 5), 0);
    cr_assert_eq(zsock_connect(p->sock, "tcp://127.0.0.1:%u", front_bed_port), 0);
}

static json_int_t count_of(const char *group, const char *name)
{
    json_t *state = front_bed_ask("state");
    json_t *count = json_object_get(json_object_get(state, group), name);

    cr_assert(json_is_integer(count), "%s", name);
    json_int_t n = json_integer_value(count);
    json_decref(state);
    return n;
}

/* Until a counter of `state` has this value, asking again and again. */
static void wait_for_count(const char *group, const char *name, json_int_t n)
{
    int64_t end_ms = zclock_mono() + FRONT_BED_PATIENCE_MS;

    for (json_int_t was = -1; was != n; was = count_of(group, name))
        cr_assert_lt(zclock_mono(), end_ms, "%s never was %d but %d", name, (int)n, (int)was);
}

/* What libzmq would draw for another one, or what another one has chosen as well. */
Test(front, knows_a_peer_by_its_key_whatever_routing_id_it_chooses)
{
    static const char chosen[] = "\0abcd";
    struct front_peer alice = front_bed_new_peer(), mallory = front_bed_new_peer();
    struct msg leave = {.type = MSG_detach}, profile = {.type = MSG_nat_profile};
    zsock_t *bus = zsock_new(ZMQ_PUSH);
    char body[MSG_SIZE_MAX];

    front_bed_enrol(&alice), front_bed_enrol(&mallory);
    choose_id(&alice, chosen);
    front_bed_attach(&alice, "alice");
    choose_id(&mallory, chosen); /* libzmq alone would not listen to a second one */
    front_bed_send_to(&mallory, &leave);
    cr_assert_eq(front_bed_receive(&mallory).type,
                 MSG_detached); /* not attached, and not taken for alice */
    json_t *answer = front_bed_ask("peer alice");
    cr_assert(json_is_true(json_object_get(answer, "attached")));
    json_decref(answer);
    memcpy(profile.nat_profile.peer.b, alice.public_key, 32);
    cr_assert_eq(zsock_connect(bus, "ipc://%s/coordinator", front_bed_in_dir("bus")), 0);
    zsock_send(bus, "ssb", "classifier", "nat_profile", body, msg_encode(&profile, body));
    cr_assert_eq(front_bed_receive(&alice).type, MSG_nat_profile);
    wait_for_count("front", "foreign_ids", 0);
    zsock_destroy(&alice.sock);
    zsock_destroy(&mallory.sock);
    zsock_destroy(&bus);
}

Test(front, sends_nothing_that_is_for_a_peer_to_who_comes_with_its_routing_id_when_it_has_left)
{
    static const char chosen[] = "\0abcd";
    struct front_peer alice = front_bed_new_peer(), mallory = front_bed_new_peer();
    struct msg leave = {.type = MSG_detach}, profile = {.type = MSG_nat_profile};
    zsock_t *bus = zsock_new(ZMQ_PUSH);
    char body[MSG_SIZE_MAX];

    front_bed_enrol(&alice), front_bed_enrol(&mallory);
    choose_id(&alice, chosen);
    front_bed_attach(&alice, "alice");
    zsock_destroy(&alice.sock);
    choose_id(&mallory, chosen);
    front_bed_send_to(&mallory, &leave);
    cr_assert_eq(front_bed_receive(&mallory).type, MSG_detached);
    memcpy(profile.nat_profile.peer.b, alice.public_key, 32);
    cr_assert_eq(zsock_connect(bus, "ipc://%s/coordinator", front_bed_in_dir("bus")), 0);
    do { /* until her connection's end has been seen */
        zsock_send(bus, "ssb", "classifier", "nat_profile", body, msg_encode(&profile, body));
    } while (count_of("front", "vanished") == 0);
    front_bed_send_to(&mallory, &leave);
    cr_assert_eq(front_bed_receive(&mallory).type, MSG_detached);
    zsock_destroy(&mallory.sock);
    zsock_destroy(&bus);
}

/* Many that choose at once: what the answer to ZAP says comes after the peer's word every time. */
Test(front, hears_no_choice_of_many)
{
    enum { MANY = 300, AT_ONCE = 30 };
    static struct front_peer some[AT_ONCE];
    struct msg knock = {.type = MSG_enrol, .enrol = {.token = {.len = 16}}};

    for (unsigned n = 0; n < MANY; n += AT_ONCE) {
        for (unsigned i = 0; i < AT_ONCE; i++) {
            some[i] = front_bed_new_peer();
            zmq_setsockopt(zsock_resolve(front_bed_unconnected(&some[i])), ZMQ_ROUTING_ID, "\0aaaa",
                           5);
            zsock_connect(some[i].sock, "tcp://127.0.0.1:%u", front_bed_enrol_port);
            front_bed_send_to(&some[i], &knock);
        }
        for (unsigned i = 0; i < AT_ONCE; i++) {
            cr_assert_eq(front_bed_receive(&some[i]).type, MSG_enrolled);
            zsock_destroy(&some[i].sock);
        }
    }
    cr_assert_eq(count_of("front", "foreign_ids"), 0);
}

static void throw_garbage(zsock_t *sock)
{
    char big[MSG_SIZE_MAX] = {0};

    zsock_send(sock, "s", "attach");
    zsock_send(sock, "ss", "", "");
    zsock_send(sock, "sb", "attach", "\xdd\xff\0\0\0", (size_t)5);
    zsock_send(sock, "sb", "punch_coordinate", "\x80", (size_t)1); /* not ours to receive */
    zsock_send(sock, "sb", "no\nsuch", "\x80", (size_t)1);
    zsock_send(sock, "ssssss", "attach", "", "", "", "", "");
    zsock_send(sock, "sb", "attach", big, sizeof big);
    zsock_send(sock, "bb", big, sizeof big, big, sizeof big);
}

Test(front, survives_garbage_at_every_door)
{
    struct front_peer alice = front_bed_new_peer(), bob = front_bed_new_peer();
    zsock_t *bus = zsock_new(ZMQ_PUSH);
    static char huge[1 << 20];

    front_bed_enrol(&alice);
    throw_garbage(alice.sock);
    front_bed_go(&alice, front_bed_port);
    throw_garbage(alice.sock);
    cr_assert_eq(zsock_connect(bus, "ipc://%s/coordinator", front_bed_in_dir("bus")), 0);
    throw_garbage(bus);
    zsock_send(bus, "ssb", "relay", "relay_hello", "\xdd\xff\0\0\0", (size_t)5);
    zsock_send(bus, "ssb", "executor", "attach", "\x80", (size_t)1);
    zsock_send(bus, "ssb", "nobody", "attach", "\x80", (size_t)1);
    front_bed_go(
        &bob, front_bed_enrol_port); /* a frame beyond the limit costs its sender the connection */
    zsock_send(bob.sock, "sb", "enrol", huge, sizeof huge);
    front_bed_attach(&alice, "alice"); /* after what was before it on the same connection */
    front_bed_enrol(&bob);
    zsock_destroy(&alice.sock);
    zsock_destroy(&bob.sock);
    zsock_destroy(&bus);
    kill(front_bed_pid, SIGTERM);
    cr_assert_eq(child_status(front_bed_pid), 0);
    front_bed_pid = 0;
}

Test(front, remembers_enrolled_keys_and_names_through_kill_9)
{
    struct front_peer alice = front_bed_new_peer(), bob = front_bed_new_peer();
    struct msg m = {
        .type = MSG_attach, .attach = {.name = "alice", .modes = 1}
    };

    front_bed_enrol(&alice), front_bed_enrol(&bob);
    front_bed_go(&alice, front_bed_port);
    front_bed_attach(&alice, "alice");
    kill(front_bed_pid, SIGKILL);
    waitpid(front_bed_pid, NULL, 0);
    front_bed_start();
    front_bed_go(&bob, front_bed_port);
    front_bed_send_to(&bob, &m);
    m = front_bed_receive(&bob);
    cr_assert_str_eq(m.attached.verdict, "name-taken");
    front_bed_go(&alice, front_bed_port);
    front_bed_attach(&alice, "alice");
    zsock_destroy(&alice.sock);
    zsock_destroy(&bob.sock);
}

static const char *text_of(json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "";
}

/* So that it can hold the peers that it promises, whatever the shell that started it had. */
Test(front, has_the_descriptors_that_its_peers_need)
{
    struct rlimit limit = {64, 4096}, has;

    kill(front_bed_pid, SIGKILL);
    cr_assert_eq(child_status(front_bed_pid), -SIGKILL);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    front_bed_start();
    cr_assert_eq(prlimit(front_bed_pid, RLIMIT_NOFILE, NULL, &has), 0);
    cr_assert_geq(has.rlim_cur, 100 + 256);
}

Test(front, a_peer_without_a_name_or_an_address_has_null_for_them)
{
    struct front_peer p = front_bed_new_peer();

    front_bed_enrol(&p);
    front_bed_go(&p, front_bed_port);
    front_bed_attach(&p, "");
    json_t *answer = front_bed_ask("peers"), *one = json_array_get(answer, 0);
    cr_assert(json_is_null(json_object_get(one, "name")));
    cr_assert(json_is_null(json_object_get(one, "reflexive")));
    json_decref(answer);
    zsock_destroy(&p.sock);
}

Test(front, sends_a_chaser_after_what_a_peer_waits_for_and_takes_those_of_peers)
{
    struct front_peer alice = front_bed_new_peer();
    struct msg ask = {
        .type = MSG_punch_request, .punch_request = {.nonce = 7, .target = "nobody"}
    };
    struct msg chaser = {.type = MSG_chase}, leave = {.type = MSG_detach};

    front_bed_enrol(&alice);
    front_bed_go(&alice, front_bed_port);
    front_bed_attach(&alice, "alice");
    front_bed_send_to(&alice, &ask);
    front_bed_send_to(&alice, &chaser);
    cr_assert_eq(front_bed_receive(&alice).type, MSG_punch_refused);
    cr_assert_eq(front_bed_receive(&alice).type, MSG_chase);
    front_bed_send_to(&alice, &leave);
    front_bed_send_to(&alice, &leave);
    cr_assert_eq(front_bed_receive(&alice).type, MSG_detached, "and nothing for the chaser");
    wait_for_count("front", "malformed", 0);
    wait_for_count("front", "chasers", 1);
    zsock_destroy(&alice.sock);
}

Test(front, releases_a_name_whose_owner_is_gone_and_no_other)
{
    struct front_peer alice = front_bed_new_peer(), bob = front_bed_new_peer();

    front_bed_enrol(&alice), front_bed_enrol(&bob);
    front_bed_go(&alice, front_bed_port), front_bed_go(&bob, front_bed_port);
    front_bed_attach(&alice, "alice");
    json_t *answer = front_bed_ask("release alice");
    cr_assert(strstr(text_of(answer, "error"), "attached"));
    json_decref(answer);
    struct msg leave = {.type = MSG_detach};
    front_bed_send_to(&alice, &leave);
    front_bed_send_to(&alice, &leave);
    cr_assert_eq(front_bed_receive(&alice).type, MSG_detached); /* so it is gone for certain */
    answer = front_bed_ask("release alice");
    cr_assert_str_eq(text_of(answer, "released"), "alice");
    json_decref(answer);
    answer = front_bed_ask("release alice");
    cr_assert(strstr(text_of(answer, "error"), "nobody"));
    json_decref(answer);
    front_bed_attach(&bob, "alice");
    zsock_destroy(&alice.sock);
    zsock_destroy(&bob.sock);
}

Test(front, answers_every_admin_verb_and_cancels)
{
    struct front_peer alice = front_bed_new_peer(), bob = front_bed_new_peer();
    struct msg m = {
        .type = MSG_punch_request, .punch_request = {.nonce = 7, .target = "bob"}
    };
    static const char *const verbs[] = {"health", "stats", "relays", "sessions pending", "peers"};
    char request[64];

    front_bed_enrol(&alice), front_bed_enrol(&bob);
    front_bed_go(&alice, front_bed_port), front_bed_go(&bob, front_bed_port);
    front_bed_attach(&alice, "alice"), front_bed_attach(&bob, "bob");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        json_decref(front_bed_ask(verbs[i]));
    struct msg leave = {.type = MSG_detach};
    front_bed_send_to(&bob, &leave);
    front_bed_send_to(&bob, &leave);
    cr_assert_eq(front_bed_receive(&bob).type, MSG_detached); /* so it is gone for certain */
    front_bed_send_to(&alice, &m);
    front_bed_send_to(&alice, &(struct msg){.type = MSG_punch_ack});
    json_t *list = front_bed_ask("sessions");
    for (int i = 0; json_array_size(list) == 0 && i < 1000; i++) {
        json_decref(list);
        list = front_bed_ask("sessions");
    }
    json_t *session = json_array_get(list, 0);
    cr_assert_str_eq(text_of(session, "state"), "requested");
    cr_assert_str_eq(text_of(session, "initiator"), "alice");
    cr_assert_str_eq(text_of(session, "target"), "bob");
    snprintf(request, sizeof request, "explain %s", text_of(session, "session"));
    json_t *story = front_bed_ask(request);
    cr_assert_str_eq(json_string_value(json_array_get(json_object_get(story, "story"), 1)),
                     "bob is not here yet; the request waits for it.");
    json_decref(story);
    snprintf(request, sizeof request, "cancel %s", text_of(session, "session"));
    json_decref(front_bed_ask(request));
    m = front_bed_receive(&alice);
    cr_assert(m.type == MSG_punch_refused && m.punch_refused.nonce == 7);
    cr_assert_str_eq(m.punch_refused.kind, "cancelled");
    json_decref(list);
    story = front_bed_ask("explain 00000000000000000000000000000000");
    cr_assert_str_neq(text_of(story, "error"), "");
    json_decref(story);
    zsock_destroy(&alice.sock);
    zsock_destroy(&bob.sock);
}

Test(front, says_why_it_does_not_start)
{
    char port[8];

    snprintf(port, sizeof port, "%u", front_bed_port);
    cr_assert_eq(child_status(front_bed_spawn(port, NULL)), 1); /* the bus or the port is taken */
    kill(front_bed_pid, SIGTERM);
    cr_assert_eq(child_status(front_bed_pid), 0);
    front_bed_pid = 0;
    int fd = open(front_bed_in_dir("store"), O_WRONLY | O_TRUNC);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(write(fd, "garbage", 7), 7);
    close(fd);
    cr_assert_eq(child_status(front_bed_spawn("0", NULL)), 1);
    cr_assert_eq(unlink(front_bed_in_dir("token")), 0);
    cr_assert_eq(child_status(front_bed_spawn("0", NULL)), 1);
}
