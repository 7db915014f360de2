/*
 * test_service_link.c - the bus between hosts: a service in a child process, and a test that plays the one at
 * the end of its link, or somebody who would like to be that.
 */
#include "lib/service_link.h"
#include "lib/udp.h"
#include "tests/lib/child.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

enum { SOON_MS = 10000 };

static struct service svc;
static struct outputs out;
static struct child child;
static uint8_t key[3][LINK_KEY], secret[3][LINK_KEY]; /* the child's, the test's, a stranger's */
static char at_child[64], log_path[] = "/tmp/test_service_link.XXXXXX";
static uint16_t port_of_child, port_of_test;
static zsock_t *push, *pull;

/* No zmq socket: none may cross the fork. */
static uint16_t free_port(void)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0);
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&any, &sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    close(fd);
    return addr_from_sockaddr(&sa).port;
}

/* Answer each hello by its link with one that has as many probers, of how many were refused so far. */
static void serve(void *arg, int fd)
{
    struct service_link_conf conf = {.n = 1, .listen = addr_v4(127, 0, 0, 1, port_of_child)};
    struct input in;

    (void)arg;
    cr_assert(freopen(log_path, "w", stderr));
    service_open(&svc, SERVICE_prober, NULL);
    memcpy(conf.secret, secret[0], LINK_KEY);
    memcpy(conf.key, key[0], LINK_KEY);
    conf.to[0] = (struct service_link){SERVICE_prober, {0}, addr_v4(127, 0, 0, 1, port_of_test)};
    memcpy(conf.to[0].key, key[1], LINK_KEY);
    service_links_open(&svc, &conf);
    cr_assert_eq(write(fd, "r", 1), 1);
    while (service_wait(&svc, NEVER, &in)) {
        out.n = 0;
        if (in.kind == IN_MSG && in.msg->type == MSG_vantage_refused)
            memcpy(conf.to[0].key, key[2], LINK_KEY), service_links_change(conf.to, 1);
        if (in.kind == IN_MSG && in.msg->type == MSG_prober_hello && in.from.link == 1 &&
            in.from.service == SERVICE_prober)
            emit_link(&out, 1, SERVICE_prober, MSG_prober_hello)->prober_hello.heard =
                service_links_refused() > 0;
        service_emit(&svc, &out);
    }
    service_links_close();
    service_close(&svc);
}

static zsock_t *new_push(const uint8_t *own_key, const uint8_t *own_secret)
{
    zsock_t *s = zsock_new(ZMQ_PUSH);

    if (own_key) {
        zsock_set_curve_publickey_bin(s, own_key);
        zsock_set_curve_secretkey_bin(s, own_secret);
        zsock_set_curve_serverkey_bin(s, key[0]);
    }
    zsock_set_linger(s, 0);
    zsock_set_sndtimeo(s, SOON_MS);
    zsock_set_reconnect_ivl(s, 20);
    cr_assert_eq(zsock_connect(s, "%s", at_child), 0);
    return s;
}

static void setup(void)
{
    char ready;

    cr_assert_geq(sodium_init(), 0);
    for (int i = 0; i < 3; i++)
        crypto_box_keypair(key[i], secret[i]);
    port_of_child = free_port();
    port_of_test = free_port();
    snprintf(at_child, sizeof at_child, "tcp://127.0.0.1:%u", port_of_child);
    close(mkstemp(log_path));
    child_start(&child, serve, NULL);
    cr_assert_eq(read(child.in, &ready, 1), 1);
    zsys_init();
    pull = zsock_new(ZMQ_PULL);
    zsock_set_curve_server(pull, 1);
    zsock_set_curve_secretkey_bin(pull, secret[1]);
    zsock_set_rcvtimeo(pull, SOON_MS);
    cr_assert_geq(zsock_bind(pull, "tcp://127.0.0.1:%u", port_of_test), 0);
    push = new_push(key[1], secret[1]);
}

static void teardown(void)
{
    zsock_destroy(&push);
    zsock_destroy(&pull);
    if (child.pid > 0)
        kill(child.pid, SIGKILL);
    unlink(log_path);
}

TestSuite(service_link, .init = setup, .fini = teardown, .timeout = 60);

static void say(zsock_t *by, const char *sender, const char *type)
{
    struct msg m = {.type = MSG_prober_hello};
    char body[MSG_SIZE_MAX];
    size_t len = msg_encode(&m, body);

    cr_assert_eq(zsock_send(by, "ssb", sender, type, body, len), 0);
}

/* Whether the child had refused strangers when it answered. */
static bool next_answer(void)
{
    zmsg_t *raw = zmsg_recv(pull);
    struct msg m;

    cr_assert(raw, "no answer");
    cr_assert_eq(zmsg_size(raw), 3);
    cr_assert(zframe_streq(zmsg_first(raw), "prober"));
    zmsg_next(raw);
    zframe_t *body = zmsg_next(raw);
    cr_assert_eq(msg_decode(&m, "prober_hello", (char *)zframe_data(body), zframe_size(body), NULL),
                 MSG_OK);
    zmsg_destroy(&raw);
    return m.prober_hello.heard;
}

static void expect_no_answer(void)
{
    zsock_set_rcvtimeo(pull, 0);
    cr_assert_null(zmsg_recv(pull));
    zsock_set_rcvtimeo(pull, SOON_MS);
}

/* Its way back is up when the first answer comes: until then answers are dropped. */
static void until_both_ways(void)
{
    zmsg_t *raw = NULL;

    zsock_set_rcvtimeo(pull, 100);
    for (int i = 0; i < SOON_MS / 100 && !raw; i++) {
        say(push, "prober", "prober_hello");
        raw = zmsg_recv(pull);
    }
    cr_assert(raw, "the link does not come up");
    zmsg_destroy(&raw);
    zsock_set_rcvtimeo(pull, SOON_MS);
}

Test(service_link, messages_go_both_ways_and_their_sender_is_who_holds_the_key)
{
    until_both_ways();
    for (int i = 0; i < 100; i++) {
        say(push, i % 2 ? "prober" : "coordinator", "prober_hello"); /* what it claims is nothing */
        cr_assert_not(next_answer());
    }
}

Test(service_link, who_is_taken_off_the_list_is_heard_no_longer_on_the_connection_that_it_has)
{
    struct msg m = {.type = MSG_vantage_refused}; /* has the child take the stranger in its place */
    char body[MSG_SIZE_MAX];

    until_both_ways();
    size_t len = msg_encode(&m, body);
    cr_assert_eq(zsock_send(push, "ssb", "prober", "vantage_refused", body, len), 0);
    for (int i = 0; i < 10; i++)
        say(push, "prober", "prober_hello");
    zsock_t *stranger = NULL;
    zmsg_t *raw = NULL;
    zsock_set_rcvtimeo(pull, 100);
    for (int i = 0; i < SOON_MS / 100 && !raw; i++) { /* refused as long as it is not on the list */
        if (i % 10 == 0) {
            zsock_destroy(&stranger);
            stranger = new_push(key[2], secret[2]);
            say(stranger, "prober", "prober_hello");
        }
        raw = zmsg_recv(pull);
    }
    cr_assert(raw, "who is on the list now is not heard");
    zmsg_destroy(&raw);
    expect_no_answer();
    zsock_destroy(&stranger);
}

Test(service_link, takes_no_message_that_the_schema_gives_its_sender_no_right_to)
{
    until_both_ways();
    say(push, "coordinator", "prober_hello");
    say(push, "coordinator", "nat_profile");
    say(push, "coordinator", "reflex_report");
    cr_assert_eq(zsock_send(push, "ss", "prober", "prober_hello"), 0);
    cr_assert_eq(zsock_send(push, "ssss", "prober", "prober_hello", "", ""), 0);
    say(push, "prober", "prober_hello");
    next_answer();
    next_answer();
    expect_no_answer();
}

Test(service_link, strangers_and_who_speaks_in_the_clear_are_not_heard)
{
    zsock_t *stranger = new_push(key[2], secret[2]), *plain = new_push(NULL, NULL);

    zsock_set_sndtimeo(stranger, 0);
    zsock_set_sndtimeo(plain, 0);
    say(stranger, "prober", "prober_hello"); /* both wait for a connection to leave by */
    say(plain, "prober", "prober_hello");
    until_both_ways();
    for (int i = 0; i < SOON_MS / 10; i++) { /* until the stranger has come and gone */
        say(push, "prober", "prober_hello");
        if (next_answer())
            break;
        zclock_sleep(10);
    }
    say(push, "prober", "prober_hello");
    cr_assert(next_answer(), "nobody was refused");
    expect_no_answer();
    zsock_destroy(&stranger);
    zsock_destroy(&plain);
}
