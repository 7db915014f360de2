/*
 * operator_shell.c - what an operator has the core do: cancel a session, bring two peers together.
 *
 * The core is only read by admin verbs; what changes it goes through its mailbox, as messages from
 * SERVICE_coordinator.
 */
#include "services/coordinator/admin_shell.h"

#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { ORDERS_MAX = 64 }; /* that wait for the next step */

static struct {
    int wake; /* counts the orders that wait */
    struct msg v[ORDERS_MAX];
    size_t first, n; /* a ring */
} orders = {.wake = -1};

static json_t *failure(const char *why) { return json_pack("{s:s}", "error", why); }

static struct msg *post(enum msg_type type)
{
    uint64_t one = 1;

    if (orders.n == ORDERS_MAX)
        return NULL;
    if (write(orders.wake, &one, sizeof one) != sizeof one)
        log_limited("event=no_wake why=\"%s\"", strerror(errno));
    struct msg *m = &orders.v[(orders.first + orders.n++) % ORDERS_MAX];
    memset(m, 0, sizeof *m);
    m->type = type;
    return m;
}

static bool receive(struct service *svc, void *arg, struct input *in)
{
    uint64_t n;

    (void)arg;
    if (read(orders.wake, &n, sizeof n) != sizeof n || orders.n == 0)
        return false;
    svc->msg = orders.v[orders.first];
    orders.first = (orders.first + 1) % ORDERS_MAX;
    orders.n--;
    in->kind = IN_MSG;
    in->msg = &svc->msg;
    in->from = (struct sender){.service = SERVICE_coordinator};
    return true;
}

json_t *coordinator_operator_cancel(const struct coordinator_session *s)
{
    if (s->state == COORD_CLOSED)
        return failure("the session is closed");
    struct msg *m = post(MSG_punch_cancel);
    if (!m)
        return failure("too many at once, try again");
    m->punch_cancel.session = s->id;
    return json_pack("{s:b}", "cancelled", 1);
}

/* "A B POLICY MS" */
struct pair {
    char a[PEER_ID_TEXT + NAME_MAX_BYTES], b[PEER_ID_TEXT + NAME_MAX_BYTES], policy[16];
    uint32_t timeout_ms;
};

static bool read_pair(const char *argument, struct pair *p, struct msg_punch_request *m)
{
    _Static_assert(sizeof p->a > 114 && sizeof p->b > 114, "the widths below");
    char rest;

    if (sscanf(argument, "%114s %114s %15s %" SCNu32 "%c", p->a, p->b, p->policy, &p->timeout_ms,
               &rest) != 4)
        return false;
    for (m->policy = 0; m->policy < POLICY_COUNT; m->policy++)
        if (strcmp(policy_name[m->policy], p->policy) == 0)
            return true;
    return false;
}

json_t *coordinator_operator_coordinate(const struct coordinator *c, const char *argument)
{
    struct msg_punch_request m = {.target = ""};
    struct pair pair;
    struct peer_id id;
    char sid[SID_TEXT];

    if (!read_pair(argument, &pair, &m))
        return failure("usage: coordinate A B auto|direct|relay TIMEOUT-MS");
    const struct coordinator_peer *a =
        peer_id_parse(pair.a, &id) ? coordinator_peer(c, &id) : coordinator_named(c, pair.a);
    if (!a || !a->attached)
        return failure("the first of the two is not attached here");
    if (!peer_id_parse(pair.b, &m.target_id) && !name_valid(pair.b))
        return failure("the second is neither a peer's name nor a peer id");
    if (peer_id_eq(&m.target_id, &a->id) || strcmp(pair.b, a->name) == 0)
        return failure("they are one peer");
    if (c->draining)
        return failure("it drains: no session begins any more");
    struct msg *order = post(MSG_punch_request);
    if (!order)
        return failure("too many at once, try again");
    if (peer_id_none(&m.target_id))
        msg_text(m.target, sizeof m.target, pair.b);
    m.initiator = a->id;
    m.mode = MODE_MANAGED;
    m.timeout_ms = pair.timeout_ms;
    randombytes_buf(m.session.b, sizeof m.session.b);
    order->punch_request = m;
    return json_pack("{s:s}", "session", sid_format(&m.session, sid));
}

void coordinator_operator_open(struct service *svc)
{
    /* A semaphore: as often readable as there are orders. */
    orders.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE);
    if (orders.wake < 0)
        die("event=no_eventfd why=\"%s\"", strerror(errno));
    service_watch_fd(svc, orders.wake, ZMQ_POLLIN, receive, NULL);
}

void coordinator_operator_close(void)
{
    close(orders.wake);
    orders.wake = -1;
}
