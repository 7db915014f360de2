/*
 * doors.c - the coordinator's two TCP ports: connections that say nothing, or too slowly, or too much, and those that
 * take the room of others.
 */
#include "tests/attack/intruder.h"

#include "lib/udp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <sys/wait.h>

enum {
    GREETING = 64,
    SIGNATURE = 10,
    SLOW_MS = 100,   /* between the bytes of those that dribble */
    GRACE_MS = 1500, /* beyond ATTACK_HANDSHAKE_S */
    ENROLS_PER_S = 50,
    ATTACHES = 60,
    AT_ONCE = 32, /* messages that are said before answers are waited for */
    QUIET_MS = 300,
    CONNS = 1024,
};

static int conns[CONNS];

/* At the front or the enrolment port, in turn. */
static int connection(unsigned i)
{
    const struct addr *to = i % 2 ? &attack.join.front[0] : &attack.join.enrol[0];
    struct sockaddr_storage at;
    socklen_t len = addr_to_sockaddr(to, &at);
    int fd = lab_socket(&attack.ground.lab, "mallory", SOCK_STREAM, MALLORY_IP, 0);

    cr_assert_geq(fd, 0);
    cr_assert_geq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    cr_assert(connect(fd, (struct sockaddr *)&at, len) == 0 || errno == EINPROGRESS);
    return fd;
}

static void connect_all(unsigned n)
{
    cr_assert_leq(n, CONNS);
    for (unsigned i = 0; i < n; i++)
        conns[i] = connection(i);
    for (unsigned i = 0; i < n; i++)
        poll(&(struct pollfd){.fd = conns[i], .events = POLLOUT}, 1, ATTACK_PATIENCE_MS);
}

static bool is_open(int fd)
{
    char data[256];
    ssize_t got;

    while ((got = recv(fd, data, sizeof data, 0)) > 0)
        ;
    return got < 0 && errno == EAGAIN;
}

static uint64_t still_open(unsigned n)
{
    uint64_t open = 0;

    for (unsigned i = 0; i < n; i++)
        open += is_open(conns[i]);
    return open;
}

static void close_all(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        close(conns[i]);
}

/*
 * ZMTP 3.1's greeting and the head of a CURVE HELLO command (rfc.zeromq.org/spec/23 and /26): a quarter of the
 * connections says nothing, one stops in the greeting, one in the command, and one sends a byte at a time.
 */
static uint64_t slow_handshakes(unsigned n)
{
    uint8_t hello[GREETING + 8] = {0xff, [9] = 0x7f, [10] = 3, [12] = 'C', 'U', 'R', 'V', 'E'};
    static const uint8_t command[8] = {0x04, 200, 5, 'H', 'E', 'L', 'L', 'O'};
    static const size_t stop[] = {0, SIGNATURE, sizeof hello};
    int64_t began = zclock_mono(), end = began + 1000 * ATTACK_HANDSHAKE_S + GRACE_MS, now;
    uint8_t data[16];

    memcpy(hello + GREETING, command, sizeof command);
    connect_all(n);
    for (unsigned i = 0; i < n; i++)
        if (i / 2 % 4 < 3 && stop[i / 2 % 4] > 0)
            (void)!send(conns[i], hello, stop[i / 2 % 4], MSG_NOSIGNAL);
    while ((now = zclock_mono()) < end && still_open(n) > 0) {
        size_t at = (size_t)(now - began) / SLOW_MS;
        for (unsigned i = 6; i < n; i++)
            if (i / 2 % 4 == 3 && at < sizeof hello)
                (void)!send(conns[i], hello + at, 1, MSG_NOSIGNAL);
        attack_hear(attack.udp, data, sizeof data, SLOW_MS);
    }
    uint64_t open = still_open(n);
    close_all(n);
    return open;
}

static bool runs(const struct ground_run *r)
{
    siginfo_t end = {.si_pid = 0};
    uint8_t data[16];

    attack_hear(attack.udp, data, sizeof data, 20);
    return waitid(P_PID, (id_t)r->pid, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid == 0;
}

/* All room is taken from one ip, again whenever some is free, and a peer from another one does not get in. */
static uint64_t connections_from_one_ip(unsigned n)
{
    int status;

    connect_all(n);
    struct ground_run r = attack_program("carol", "connect", ARGS("bob", "--timeout", "3"));
    while (runs(&r))
        for (unsigned i = 0; i < n; i++)
            if (!is_open(conns[i])) {
                close(conns[i]);
                conns[i] = connection(i);
            }
    json_decref(ground_result(&r, &status));
    close_all(n);
    return status != 0;
}

/* A connection that asks for this routing id, which stays: is it listened to? */
static bool asks_for_id(struct intruder *p, unsigned id, zsock_t **sock)
{
    struct msg m = {.type = MSG_detach};
    char text[8];

    zsock_destroy(&p->sock);
    p->sock = attack_zsock(ZMQ_DEALER);
    snprintf(text, sizeof text, "i%04u", id % 10000);
    zsock_set_identity(p->sock, text);
    intruder_meets(p, &attack.join.front[0]);
    intruder_say(p, &m);
    bool heard = intruder_hear_a(p, MSG_detached, &m);
    *sock = p->sock;
    p->sock = NULL;
    return heard;
}

/* Of so many ids that one key's connections hold, are there that another key's are not listened to by? */
static uint64_t routing_id_of_ones_own(unsigned n)
{
    struct intruder first = intruder_open(), second = intruder_open();
    uint64_t taken = 0;

    for (unsigned i = 0; i < n && taken == 0; i += AT_ONCE) {
        zsock_t *held[2 * AT_ONCE] = {NULL};
        for (unsigned k = 0; k < AT_ONCE && i + k < n && taken == 0; k++) {
            cr_assert(asks_for_id(&first, i + k, &held[2 * k]));
            taken += !asks_for_id(&second, i + k, &held[2 * k + 1]);
        }
        for (unsigned k = 0; k < 2 * AT_ONCE; k++)
            zsock_destroy(&held[k]);
    }
    return taken;
}

/* n times the same thing said, some at once; the answers. */
static void say_often(struct intruder *p, struct msg *m, uint64_t *seq, enum msg_type answer,
                      unsigned n, bool (*good)(const struct msg *m), uint64_t *in)
{
    for (unsigned i = 0; i < n; i += AT_ONCE) {
        unsigned some = n - i < AT_ONCE ? n - i : AT_ONCE;
        struct msg got;
        for (unsigned k = 0; k < some; k++) {
            if (seq)
                ++*seq;
            intruder_say(p, m);
        }
        for (unsigned k = 0; k < some; k++) {
            cr_assert(intruder_hear_a(p, answer, &got));
            *in += good(&got);
        }
    }
}

static bool let_in(const struct msg *m) { return m->enrolled.kind[0] == '\0'; }
static bool attached(const struct msg *m) { return m->attached.kind[0] == '\0'; }

/* With the true token, as fast as it goes. */
static uint64_t enrolments_over_the_rate(unsigned n)
{
    struct intruder p = {.sock = NULL};
    struct msg m = {.type = MSG_enrol};
    uint64_t in = 0;
    int64_t began = zclock_mono();

    crypto_box_keypair(p.id.b, p.secret);
    intruder_go(&p, &attack.join.enrol[0]);
    m.enrol.token.len = JOIN_TOKEN_BYTES;
    memcpy(m.enrol.token.b, attack.join.token, JOIN_TOKEN_BYTES);
    say_often(&p, &m, NULL, MSG_enrolled, n, let_in, &in);
    zsock_destroy(&p.sock);
    uint64_t may = ENROLS_PER_S * (uint64_t)(2 + (zclock_mono() - began) / 1000);
    return in > may ? in - may : 0;
}

static uint64_t attachments_over_the_rate(unsigned n)
{
    struct intruder p = intruder_open();
    struct msg m = intruder_attach_as("");
    uint64_t in = 0;

    say_often(&p, &m, &m.attach.seq, MSG_attached, n, attached, &in);
    zsock_destroy(&p.sock);
    return in > ATTACHES ? in - ATTACHES : 0;
}

const struct attack attack_on_doors[] = {
    {"slow-handshakes",           slow_handshakes,           40,  56  },
    {"connections-from-one-ip",   connections_from_one_ip,   128, 512 },
    {"routing-id-of-ones-own",    routing_id_of_ones_own,    20,  1000},
    {"attachments-over-the-rate", attachments_over_the_rate, 100, 1000},
    {"enrolments-over-the-rate",  enrolments_over_the_rate,  300, 3000},
    {NULL,                        NULL,                      0,   0   },
};
