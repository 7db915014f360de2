/*
 * test_front.c - the coordinator as a process: its doors, who comes in by them, and what it survives.
 *
 * What it decides is tested in test_coordinator.c; this checks the shell around it.
 */
#include "lib/admin.h"
#include "lib/keys.h"
#include "services/coordinator/coordinator.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PATIENCE_MS = 10000 };

static char dir[32], path[8][96];
static const char *const file[8] = {"key",   "authority", "token", "store",
                                    "admin", "bus",       "err",   ""};
static uint8_t server_public[32], token[16] = "0123456789abcdef";
static pid_t pid;
static uint16_t front_port, enrol_port;

static const char *in_dir(const char *name)
{
    for (int i = 0; i < 8; i++)
        if (strcmp(file[i], name) == 0)
            return path[i];
    return NULL;
}

static pid_t spawn(const char *front)
{
    int fd[2];
    char ready[64];

    cr_assert_eq(pipe(fd), 0);
    pid_t child = fork();
    if (child == 0) {
        close(fd[0]);
        dup2(open(in_dir("err"), O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
        snprintf(ready, sizeof ready, "%d", fd[1]);
        setenv("NATTERJACK_READY_FD", ready, 1);
        execl(BIN_DIR "/natterjack-coordinator", "natterjack-coordinator", "--bus", in_dir("bus"),
              "--admin", in_dir("admin"), "--key", in_dir("key"), "--authority",
              in_dir("authority"), "--token-file", in_dir("token"), "--store", in_dir("store"),
              "--listen-ip", "127.0.0.1", "--front-port", front, "--enrol-port", "0", "--peers",
              "100", "--sessions", "100", (char *)NULL);
        _exit(127);
    }
    close(fd[1]);
    struct pollfd p = {fd[0], POLLIN, 0};
    cr_assert_eq(poll(&p, 1, PATIENCE_MS), 1);
    if (read(fd[0], ready, sizeof ready) < 0) /* the end, when it did not come up */
        cr_assert_fail("pipe");
    close(fd[0]);
    return child;
}

static int exit_status(pid_t child)
{
    int status;

    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static json_t *ask(const char *request)
{
    char err[256] = "";
    json_t *answer = admin_ask(in_dir("admin"), request, PATIENCE_MS, err, sizeof err);

    cr_assert(answer, "%s: %s", request, err);
    return answer;
}

static void start(void)
{
    pid = spawn("0");
    json_t *state = ask("state");
    front_port = (uint16_t)json_integer_value(json_object_get(state, "front_port"));
    enrol_port = (uint16_t)json_integer_value(json_object_get(state, "enrol_port"));
    json_decref(state);
}

static void setup(void)
{
    uint8_t key[32] = {42};

    cr_assert_geq(sodium_init(), 0);
    strcpy(dir, "/tmp/test_front.XXXXXX");
    cr_assert(mkdtemp(dir));
    for (int i = 0; i < 8; i++)
        snprintf(path[i], sizeof path[i], "%s/%s", dir, file[i]);
    cr_assert_eq(mkdir(in_dir("bus"), 0700), 0);
    crypto_scalarmult_base(server_public, key);
    cr_assert(key_save(in_dir("key"), key, 32, 0600));
    cr_assert(key_save(in_dir("authority"), key, 32, 0600));
    cr_assert(key_save(in_dir("token"), token, 16, 0600));
    start();
}

static void teardown(void)
{
    char command[64];

    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(front, .init = setup, .fini = teardown, .timeout = 60);

/* ---- a peer ------------------------------------------------------------------------------------------- */

struct peer {
    uint8_t secret[32], public_key[32];
    zsock_t *sock;
};

static struct peer new_peer(void)
{
    struct peer p = {.sock = NULL};

    crypto_box_keypair(p.public_key, p.secret);
    return p;
}

static zsock_t *unconnected(struct peer *p)
{
    zsock_destroy(&p->sock);
    p->sock = zsock_new(ZMQ_DEALER);
    zsock_set_curve_serverkey_bin(p->sock, server_public);
    zsock_set_curve_publickey_bin(p->sock, p->public_key);
    zsock_set_curve_secretkey_bin(p->sock, p->secret);
    zsock_set_rcvtimeo(p->sock, PATIENCE_MS);
    zsock_set_linger(p->sock, 0);
    return p->sock;
}

static void go(struct peer *p, uint16_t port)
{
    cr_assert_eq(zsock_connect(unconnected(p), "tcp://127.0.0.1:%u", port), 0);
}

static void send_to(struct peer *p, const struct msg *m)
{
    char body[MSG_SIZE_MAX];
    size_t len = msg_encode(m, body);

    cr_assert_eq(zsock_send(p->sock, "sb", msg_name[m->type], body, len), 0);
}

static struct msg receive(struct peer *p)
{
    struct msg m;
    zmsg_t *raw = zmsg_recv(p->sock);

    cr_assert(raw && zmsg_size(raw) == 2);
    char *type = zmsg_popstr(raw);
    zframe_t *body = zmsg_first(raw);
    cr_assert_eq(msg_decode(&m, type, (const char *)zframe_data(body), zframe_size(body), NULL),
                 MSG_OK);
    zstr_free(&type);
    zmsg_destroy(&raw);
    return m;
}

static void enrol(struct peer *p)
{
    struct msg m = {.type = MSG_enrol};

    go(p, enrol_port);
    m.enrol.token.len = sizeof token;
    memcpy(m.enrol.token.b, token, sizeof token);
    send_to(p, &m);
    m = receive(p);
    cr_assert(m.type == MSG_enrolled && m.enrolled.kind[0] == '\0');
}

static void attach(struct peer *p, const char *name)
{
    struct msg m = {.type = MSG_attach};

    msg_text(m.attach.name, sizeof m.attach.name, name);
    m.attach.modes = 1;
    m.attach.seq = 1;
    send_to(p, &m);
    m = receive(p);
    cr_assert(m.type == MSG_attached && m.attached.kind[0] == '\0', "%s", m.attached.kind);
}

/* The handshake's end, as libzmq's monitor tells it. */
static uint16_t handshake(struct peer *p, uint16_t port)
{
    static int n;
    char where[32];
    uint16_t event = 0;
    zmq_msg_t part;

    snprintf(where, sizeof where, "inproc://monitor%d", n++);

    void *sock = zsock_resolve(unconnected(p));
    cr_assert_eq(zmq_socket_monitor(
                     sock, where, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH),
                 0);
    zsock_t *monitor = zsock_new(ZMQ_PAIR);
    zsock_set_rcvtimeo(monitor, PATIENCE_MS);
    cr_assert_eq(zsock_connect(monitor, where), 0);
    cr_assert_eq(zsock_connect(p->sock, "tcp://127.0.0.1:%u", port), 0);
    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, zsock_resolve(monitor), 0) >= (int)sizeof event)
        memcpy(&event, zmq_msg_data(&part), sizeof event);
    zmq_msg_close(&part);
    zmq_socket_monitor(sock, NULL, 0);
    zsock_destroy(&monitor);
    return event;
}

/* ---- tests -------------------------------------------------------------------------------------------- */

Test(front, lets_in_enrolled_keys_only)
{
    struct peer alice = new_peer(), stranger = new_peer();

    cr_assert_eq(handshake(&stranger, front_port), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    cr_assert_eq(handshake(&stranger, enrol_port), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    enrol(&alice);
    cr_assert_eq(handshake(&alice, front_port), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    attach(&alice, "alice");
    cr_assert_eq(handshake(&stranger, front_port), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    zsock_destroy(&alice.sock);
    zsock_destroy(&stranger.sock);
}

/* On a routing id of the peer's own choice, five bytes of it. */
static void choose_id(struct peer *p, const char *id)
{
    cr_assert_eq(zmq_setsockopt(zsock_resolve(unconnected(p)), ZMQ_ROUTING_ID, id, 5), 0);
    cr_assert_eq(zsock_connect(p->sock, "tcp://127.0.0.1:%u", front_port), 0);
}

/* Until a counter of `state` has this value, asking again and again. */
static void wait_for_count(const char *group, const char *name, json_int_t n)
{
    int64_t end_ms = zclock_mono() + PATIENCE_MS;

    for (json_int_t was = -1; was != n;) {
        cr_assert_lt(zclock_mono(), end_ms, "%s never was %d but %d", name, (int)n, (int)was);
        json_t *state = ask("state");
        was = json_integer_value(json_object_get(json_object_get(state, group), name));
        json_decref(state);
    }
}

Test(front, knows_a_peer_by_its_key_and_listens_to_no_routing_id_of_a_peers_choice)
{
    struct peer alice = new_peer(), mallory = new_peer();
    struct msg m = {.type = MSG_detach};

    enrol(&alice), enrol(&mallory);
    go(&alice, front_port);
    attach(&alice, "alice");
    choose_id(&mallory, "mallory");
    send_to(&mallory, &m);
    send_to(&mallory, &m);
    wait_for_count("front", "malformed", 2);
    go(&mallory, front_port);
    send_to(&mallory, &m);
    cr_assert_eq(receive(&mallory).type, MSG_detached); /* not attached, and not taken for alice */
    json_t *answer = ask("peer alice");
    cr_assert(json_is_true(json_object_get(answer, "attached")));
    json_decref(answer);
    zsock_destroy(&alice.sock);
    zsock_destroy(&mallory.sock);
}

/* One who guessed the routing id that alice had has her id, but nothing that is meant for her. */
Test(front, sends_nothing_that_is_for_a_peer_to_who_has_its_routing_id_now)
{
    static const char guessed[] = "\0abcd"; /* as libzmq draws them */
    struct peer alice = new_peer(), mallory = new_peer();
    struct msg m = {.type = MSG_detach}, profile = {.type = MSG_nat_profile};
    zsock_t *bus = zsock_new(ZMQ_PUSH);
    char body[MSG_SIZE_MAX];

    enrol(&alice), enrol(&mallory);
    choose_id(&alice, guessed);
    attach(&alice, "alice");
    zsock_destroy(&alice.sock);
    for (bool in = false; !in;) {
        choose_id(&mallory, guessed);
        zsock_set_rcvtimeo(mallory.sock, 200);
        send_to(&mallory, &m);
        zmsg_t *raw = zmsg_recv(mallory.sock); /* none while the id is still taken */
        in = raw != NULL;
        zmsg_destroy(&raw);
    }
    memcpy(profile.nat_profile.peer.b, alice.public_key, 32);
    cr_assert_eq(zsock_connect(bus, "ipc://%s/coordinator", in_dir("bus")), 0);
    zsock_send(bus, "ssb", "classifier", "nat_profile", body, msg_encode(&profile, body));
    wait_for_count("front", "vanished", 1);
    send_to(&mallory, &m);
    zsock_set_rcvtimeo(mallory.sock, PATIENCE_MS);
    cr_assert_eq(receive(&mallory).type, MSG_detached);
    zsock_destroy(&mallory.sock);
    zsock_destroy(&bus);
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
    struct peer alice = new_peer(), bob = new_peer();
    zsock_t *bus = zsock_new(ZMQ_PUSH);
    static char huge[1 << 20];

    enrol(&alice);
    throw_garbage(alice.sock);
    go(&alice, front_port);
    throw_garbage(alice.sock);
    cr_assert_eq(zsock_connect(bus, "ipc://%s/coordinator", in_dir("bus")), 0);
    throw_garbage(bus);
    zsock_send(bus, "ssb", "relay", "relay_hello", "\xdd\xff\0\0\0", (size_t)5);
    zsock_send(bus, "ssb", "executor", "attach", "\x80", (size_t)1);
    zsock_send(bus, "ssb", "nobody", "attach", "\x80", (size_t)1);
    go(&bob, enrol_port); /* a frame beyond the limit costs its sender the connection */
    zsock_send(bob.sock, "sb", "enrol", huge, sizeof huge);
    attach(&alice, "alice"); /* after what was before it on the same connection */
    enrol(&bob);
    zsock_destroy(&alice.sock);
    zsock_destroy(&bob.sock);
    zsock_destroy(&bus);
    kill(pid, SIGTERM);
    cr_assert_eq(exit_status(pid), 0);
    pid = 0;
}

Test(front, remembers_enrolled_keys_and_names_through_kill_9)
{
    struct peer alice = new_peer(), bob = new_peer();
    struct msg m = {
        .type = MSG_attach, .attach = {.name = "alice", .modes = 1}
    };

    enrol(&alice), enrol(&bob);
    go(&alice, front_port);
    attach(&alice, "alice");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    start();
    go(&bob, front_port);
    send_to(&bob, &m);
    m = receive(&bob);
    cr_assert_str_eq(m.attached.verdict, "name-taken");
    go(&alice, front_port);
    attach(&alice, "alice");
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

    kill(pid, SIGKILL);
    cr_assert_eq(exit_status(pid), -SIGKILL);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    start();
    cr_assert_eq(prlimit(pid, RLIMIT_NOFILE, NULL, &has), 0);
    cr_assert_geq(has.rlim_cur, 100 + 256);
}

Test(front, a_peer_without_a_name_or_an_address_has_null_for_them)
{
    struct peer p = new_peer();

    enrol(&p);
    go(&p, front_port);
    attach(&p, "");
    json_t *answer = ask("peers"), *one = json_array_get(answer, 0);
    cr_assert(json_is_null(json_object_get(one, "name")));
    cr_assert(json_is_null(json_object_get(one, "reflexive")));
    json_decref(answer);
    zsock_destroy(&p.sock);
}

Test(front, releases_a_name_whose_owner_is_gone_and_no_other)
{
    struct peer alice = new_peer(), bob = new_peer();

    enrol(&alice), enrol(&bob);
    go(&alice, front_port), go(&bob, front_port);
    attach(&alice, "alice");
    json_t *answer = ask("release alice");
    cr_assert(strstr(text_of(answer, "error"), "attached"));
    json_decref(answer);
    struct msg leave = {.type = MSG_detach};
    send_to(&alice, &leave);
    send_to(&alice, &leave);
    cr_assert_eq(receive(&alice).type, MSG_detached); /* so it is gone for certain */
    answer = ask("release alice");
    cr_assert_str_eq(text_of(answer, "released"), "alice");
    json_decref(answer);
    answer = ask("release alice");
    cr_assert(strstr(text_of(answer, "error"), "nobody"));
    json_decref(answer);
    attach(&bob, "alice");
    zsock_destroy(&alice.sock);
    zsock_destroy(&bob.sock);
}

Test(front, answers_every_admin_verb_and_cancels)
{
    struct peer alice = new_peer(), bob = new_peer();
    struct msg m = {
        .type = MSG_punch_request, .punch_request = {.nonce = 7, .target = "bob"}
    };
    static const char *const verbs[] = {"health", "stats", "relays", "sessions pending", "peers"};
    char request[64];

    enrol(&alice), enrol(&bob);
    go(&alice, front_port), go(&bob, front_port);
    attach(&alice, "alice"), attach(&bob, "bob");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        json_decref(ask(verbs[i]));
    struct msg leave = {.type = MSG_detach};
    send_to(&bob, &leave);
    send_to(&bob, &leave);
    cr_assert_eq(receive(&bob).type, MSG_detached); /* so it is gone for certain */
    send_to(&alice, &m);
    send_to(&alice, &(struct msg){.type = MSG_punch_ack});
    json_t *list = ask("sessions");
    for (int i = 0; json_array_size(list) == 0 && i < 1000; i++) {
        json_decref(list);
        list = ask("sessions");
    }
    json_t *session = json_array_get(list, 0);
    cr_assert_str_eq(text_of(session, "state"), "requested");
    cr_assert_str_eq(text_of(session, "initiator"), "alice");
    cr_assert_str_eq(text_of(session, "target"), "bob");
    snprintf(request, sizeof request, "explain %s", text_of(session, "session"));
    json_t *story = ask(request);
    cr_assert_str_eq(json_string_value(json_array_get(json_object_get(story, "story"), 1)),
                     "bob is not here yet; the request waits for it.");
    json_decref(story);
    snprintf(request, sizeof request, "cancel %s", text_of(session, "session"));
    json_decref(ask(request));
    m = receive(&alice);
    cr_assert(m.type == MSG_punch_refused && m.punch_refused.nonce == 7);
    cr_assert_str_eq(m.punch_refused.kind, "cancelled");
    json_decref(list);
    story = ask("explain 00000000000000000000000000000000");
    cr_assert_str_neq(text_of(story, "error"), "");
    json_decref(story);
    zsock_destroy(&alice.sock);
    zsock_destroy(&bob.sock);
}

Test(front, says_why_it_does_not_start)
{
    char port[8];

    snprintf(port, sizeof port, "%u", front_port);
    cr_assert_eq(exit_status(spawn(port)), 1); /* the bus or the port is taken */
    kill(pid, SIGTERM);
    cr_assert_eq(exit_status(pid), 0);
    pid = 0;
    int fd = open(in_dir("store"), O_WRONLY | O_TRUNC);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(write(fd, "garbage", 7), 7);
    close(fd);
    cr_assert_eq(exit_status(spawn("0")), 1);
    cr_assert_eq(unlink(in_dir("token")), 0);
    cr_assert_eq(exit_status(spawn("0")), 1);
}
