/* service_bus.c - the bus of one host: an inbox, where anybody speaks to this service, and a way to each that it speaks to. */
#include "lib/log.h"
#include "lib/service.h"

#include <errno.h>
#include <sys/stat.h>

enum { LINGER_MS = 200, BUS_HWM = 10000 };

bool service_decode(struct service *s, enum role from, const char *type, size_t type_len,
                    const void *body, size_t len, struct msg *out)
{
    char name[64];
    const char *field = NULL;
    enum msg_err err = MSG_UNKNOWN_TYPE;

    if (type_len < sizeof name && !memchr(type, '\0', type_len)) {
        memcpy(name, type, type_len);
        name[type_len] = '\0';
        err = msg_decode(out, name, body, len, &field);
        if (err == MSG_OK && msg_routed(out->type, from, s->self)) {
            log_debug("event=message type=%s from=%s", name, service_name[from]);
            s->n.messages_in++;
            return true;
        }
    }
    s->n.messages_refused++;
    log_limited("event=refused from=%s type=%.*s why=%s field=%s", service_name[from],
                (int)(type_len < 32 ? type_len : 32), type, err ? msg_err_name[err] : "not_for_us",
                field ? field : "-");
    return false;
}

static enum role service_find(const void *name, size_t len)
{
    for (unsigned v = SERVICE_none + 1; v < SERVICE_COUNT; v++)
        if (strlen(service_name[v]) == len && memcmp(service_name[v], name, len) == 0)
            return (enum role)v;
    return SERVICE_none;
}

size_t service_frames(void *zsock, zmq_msg_t frame[static 3])
{
    size_t n = 0;
    int more = 1;

    for (; more; n++) {
        zmq_msg_t *f = &frame[n < 3 ? n : 2];
        if (zmq_msg_recv(f, zsock, ZMQ_DONTWAIT) < 0) /* recv lets go of what was in it */
            return 0;
        more = zmq_msg_more(f);
    }
    return n;
}

/* Three frames: sender, type, body. */
static bool receive_bus(struct service *s, void *arg, struct input *in)
{
    zmq_msg_t frame[3];
    bool ok = false;

    (void)arg;
    for (int i = 0; i < 3; i++)
        zmq_msg_init(&frame[i]);
    size_t n = service_frames(zsock_resolve(s->inbox), frame);
    if (n == 3) {
        enum role who = service_find(zmq_msg_data(&frame[0]), zmq_msg_size(&frame[0]));
        ok = service_decode(s, who, zmq_msg_data(&frame[1]), zmq_msg_size(&frame[1]),
                            zmq_msg_data(&frame[2]), zmq_msg_size(&frame[2]), &s->msg);
        in->kind = IN_MSG;
        in->msg = &s->msg;
        in->from = (struct sender){.service = who};
    } else if (n > 0) {
        s->n.messages_refused++;
    }
    for (int i = 0; i < 3; i++)
        zmq_msg_close(&frame[i]);
    return ok;
}

/* By the bus: executors come by other doors, and another one of a kind by a link. */
static bool says_anything(enum role from, enum role to)
{
    bool any = false;

    for (unsigned t = 0; t < MSG_TYPE_COUNT; t++)
        any = any || msg_routed((enum msg_type)t, from, to);
    return any && from != to && from != SERVICE_executor && to != SERVICE_executor;
}

/* Several of those to whom nobody says anything can share a bus: they have no inbox there. */
static bool is_spoken_to(enum role self)
{
    for (unsigned from = 0; from < SERVICE_COUNT; from++)
        if (says_anything((enum role)from, self))
            return true;
    return false;
}

static void open_inbox(struct service *s)
{
    zsock_t *inbox = zsock_new(ZMQ_PULL);

    zsock_set_rcvhwm(inbox, BUS_HWM);
    zsock_set_maxmsgsize(inbox, MSG_SIZE_MAX);
    if (zsock_bind(inbox, "ipc://%s/%s", s->bus_dir, service_name[s->self]) != 0)
        die("event=no_inbox path=%s/%s why=\"%s\"", s->bus_dir, service_name[s->self],
            zmq_strerror(errno));
    s->inbox = inbox;
    service_watch_zmq(s, inbox, receive_bus, NULL);
}

void service_bus_connect(struct service *s)
{
    for (unsigned to = 0; to < SERVICE_COUNT; to++) {
        if (!says_anything(s->self, (enum role)to))
            continue;
        zsock_t *push = zsock_new(ZMQ_PUSH);
        zsock_set_sndhwm(push, BUS_HWM);
        zsock_set_sndtimeo(push, 0); /* a service never waits for another */
        zsock_set_linger(push, LINGER_MS);
        zsock_set_reconnect_ivl(push, 50);
        if (zsock_connect(push, "ipc://%s/%s", s->bus_dir, service_name[to]) != 0)
            die("event=no_bus to=%s why=\"%s\"", service_name[to], zmq_strerror(errno));
        s->peer[to] = push;
    }
}

void service_bus_open(struct service *s)
{
    struct stat st;

    if (stat(s->bus_dir, &st) != 0 || !S_ISDIR(st.st_mode) || (st.st_mode & 077))
        die("event=no_bus dir=%s why=\"must be a directory with mode 0700\"", s->bus_dir);
    if (is_spoken_to(s->self))
        open_inbox(s);
    service_bus_connect(s);
}
