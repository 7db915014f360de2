/* chase_shell.c - see chase_shell.h. */
#include "lib/chase_shell.h"

#include "lib/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44 /* linux/tcp.h since 6.15 */
#endif

/* False when the descriptor is no TCP socket (any more). */
static bool look(int fd, struct tcp_info *info)
{
    socklen_t len = sizeof *info;

    memset(info, 0, sizeof *info);
    return fd >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0;
}

static void set_timer(const struct chaser *c)
{
    int64_t next_us = chase_next_us(&c->chase);
    struct itimerspec at = {0};

    if (next_us != NEVER)
        at.it_value =
            (struct timespec){.tv_sec = next_us / 1000000, .tv_nsec = next_us % 1000000 * 1000};
    timerfd_settime(c->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static bool receive_timer(struct service *s, void *arg, struct input *in)
{
    struct chaser *c = arg;
    struct chased *due;
    uint64_t times;

    (void)in;
    if (read(c->timer, &times, sizeof times) != sizeof times)
        return false;
    int64_t now_us = service_now_us();
    while ((due = chase_due(&c->chase, now_us))) {
        struct tcp_info info;
        struct output o = {.kind = OUT_MSG, .to_conn = due->conn, .msg.type = MSG_chase};
        o.msg.chase.n = due->sent + 1u;
        bool late = look(due->fd, &info) && info.tcpi_unacked > 0;
        if (!chase_again(&c->chase, due, late, now_us))
            continue;
        c->sent++;
        c->send(s, &o);
    }
    set_timer(c);
    return false;
}

void chaser_open(struct service *s, struct chaser *c,
                 void (*send)(struct service *s, const struct output *o))
{
    c->chase.n = 0;
    c->sent = 0;
    c->send = send;
    c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (c->timer < 0)
        die("event=no_timer why=\"%s\"", strerror(errno));
    service_watch_fd(s, c->timer, ZMQ_POLLIN, receive_timer, c);
}

void chaser_close(struct service *s, struct chaser *c)
{
    service_unwatch_fd(s, c->timer);
    close(c->timer);
    c->timer = -1;
}

void chaser_sent(struct chaser *c, const struct output *o, int fd)
{
    struct tcp_info info;

    if (!chase_worth(o->msg.type) || !look(fd, &info))
        return;
    int most_ms = (int)chase_timeout_ms(info.tcpi_rtt);
    bool bounded = setsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &most_ms, sizeof most_ms) == 0;
    if (!bounded)
        setsockopt(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &(int){1}, sizeof(int));
    if (bounded && !chase_sooner(info.tcpi_rtt))
        return;
    chase_begin(&c->chase, o->to_conn, fd, info.tcpi_rtt, service_now_us());
    set_timer(c);
}
