/* check_shell.c - see check_shell.h. */
#include "services/coordinator/check_shell.h"

#include "lib/log.h"

#include <errno.h>
#include <sodium.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { STRANGER, OWN, TRIES, LOOK_MS = 5 };

/* How a handshake can end. */
enum {
    ENDS = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
           ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL,
};

static struct {
    struct check_conf conf;
    struct service *svc; /* once it runs the loop */
    uint8_t own_secret[32];
    struct peer_id own, stranger;
    zsock_t *sock[TRIES], *monitor[TRIES]; /* NULL: this one has passed */
    int timer;
    unsigned serial, misses;
    uint64_t passed;
} check = {.timer = -1};

static bool under_way(void) { return check.sock[STRANGER] || check.sock[OWN]; }

static void set_timer(int64_t after_us)
{
    const struct itimerspec at = {
        .it_value = {after_us / 1000000, after_us % 1000000 * 1000}
    };

    timerfd_settime(check.timer, 0, &at, NULL);
}

static void finish(int which)
{
    if (check.svc)
        service_unwatch_zmq(check.svc, check.monitor[which]);
    zsock_destroy(&check.sock[which]);
    zsock_destroy(&check.monitor[which]);
}

/* Take how it ended, if it has. */
static void look(int which)
{
    zmq_msg_t part;
    uint16_t event = 0;

    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, zsock_resolve(check.monitor[which]), ZMQ_DONTWAIT) >= (int)sizeof event)
        memcpy(&event, zmq_msg_data(&part), sizeof event);
    while (zmq_msg_more(&part) && zmq_msg_recv(&part, zsock_resolve(check.monitor[which]), 0) >= 0)
        continue;
    zmq_msg_close(&part);
    if (event == 0)
        return;
    if (which == STRANGER && event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        die("event=door_open why=\"the front lets in keys that are not enrolled\"");
    if (which == OWN && event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        die("event=door_shut why=\"the front refuses a key that may come in\"");
    if (event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED && event != ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return; /* it broke, and is a miss in the end */
    finish(which);
    if (under_way())
        return;
    check.misses = 0;
    check.passed++;
    set_timer(check.conf.every_us);
}

static bool receive_end(struct service *s, void *arg, struct input *in)
{
    (void)s, (void)in;
    look(arg == &check.monitor[OWN] ? OWN : STRANGER);
    return false;
}

static void begin(int which)
{
    char where[64];
    uint8_t secret[32];
    zsock_t *sock = zsock_new(ZMQ_DEALER), *monitor = zsock_new(ZMQ_PAIR);

    if (which == STRANGER)
        crypto_box_keypair(check.stranger.b, secret);
    zsock_set_curve_serverkey_bin(sock, check.conf.server_key);
    zsock_set_curve_publickey_bin(sock, which == OWN ? check.own.b : check.stranger.b);
    zsock_set_curve_secretkey_bin(sock, which == OWN ? check.own_secret : secret);
    zsock_set_linger(sock, 0);
    sodium_memzero(secret, sizeof secret);
    snprintf(where, sizeof where, "inproc://check-%u", ++check.serial);
    if (zmq_socket_monitor(zsock_resolve(sock), where, ENDS) != 0 ||
        zsock_connect(monitor, "%s", where) != 0 ||
        zsock_connect(sock, "%s", check.conf.endpoint) != 0)
        die("event=no_check why=\"%s\"", zmq_strerror(errno));
    check.sock[which] = sock;
    check.monitor[which] = monitor;
    if (check.svc)
        service_watch_zmq(check.svc, monitor, receive_end, &check.monitor[which]);
}

static void begin_both(void)
{
    begin(STRANGER);
    begin(OWN);
    set_timer(CHECK_LIMIT_MS * INT64_C(1000));
}

static bool receive_timer(struct service *s, void *arg, struct input *in)
{
    uint64_t times;

    (void)s, (void)arg, (void)in;
    if (read(check.timer, &times, sizeof times) != sizeof times)
        return false;
    if (under_way()) {
        for (int i = 0; i < TRIES; i++)
            if (check.sock[i])
                finish(i);
        log_warn("event=door_silent misses=%u", ++check.misses);
        if (check.misses >= CHECK_MISSES_MAX)
            die("event=door_silent why=\"%d tries in a row had no answer\"", CHECK_MISSES_MAX);
    }
    begin_both();
    return false;
}

void check_open(struct service *s, const struct check_conf *conf)
{
    int64_t end_us = service_now_us() + CHECK_LIMIT_MS * INT64_C(1000);

    check.conf = *conf;
    check.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (check.timer < 0)
        die("event=no_check why=\"%s\"", strerror(errno));
    crypto_box_keypair(check.own.b, check.own_secret);
    begin_both();
    while (under_way()) {
        zmq_pollitem_t items[TRIES];
        int n = 0;
        for (int i = 0; i < TRIES; i++)
            if (check.sock[i])
                items[n++] = (zmq_pollitem_t){zsock_resolve(check.monitor[i]), -1, ZMQ_POLLIN, 0};
        if (service_now_us() > end_us)
            die("event=door_silent why=\"the front does not answer at the start\"");
        zmq_poll(items, n, LOOK_MS);
        conf->serve();
        for (int i = 0; i < TRIES; i++)
            if (check.sock[i])
                look(i);
    }
    check.svc = s;
    service_watch_fd(s, check.timer, ZMQ_POLLIN, receive_timer, NULL);
}

void check_close(void)
{
    for (int i = 0; i < TRIES; i++)
        if (check.sock[i])
            finish(i);
    if (check.timer >= 0)
        close(check.timer);
    check.timer = -1;
    sodium_memzero(check.own_secret, sizeof check.own_secret);
}

bool check_is_own(const struct peer_id *key)
{
    return check.timer >= 0 && peer_id_eq(key, &check.own);
}

bool check_is_stranger(const struct peer_id *key)
{
    return check.timer >= 0 && peer_id_eq(key, &check.stranger);
}

uint64_t check_passed(void) { return check.passed; }
