/* pinger.c - see pinger.h. */
#include "services/natterjack/pinger.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void send_ping(struct pinger *p)
{
    uint8_t data[PING_BYTES] = {0};
    int64_t now = service_now_us();
    uint32_t seq = p->sent;

    memcpy(data, &seq, sizeof seq);
    memcpy(data + 8, &now, sizeof now);
    send(p->fd, data, sizeof data, MSG_DONTWAIT | MSG_NOSIGNAL);
    p->sent++;
    p->last_us = now;
    p->next_us = now + PING_EVERY_MS * 1000;
}

static bool receive_answer(struct service *s, void *arg, struct input *in)
{
    struct pinger *p = arg;
    uint8_t data[PAYLOAD_MAX];
    uint32_t seq;
    int64_t then;
    ssize_t n = recv(p->fd, data, sizeof data, MSG_DONTWAIT);

    (void)in;
    if (n == 0 && !p->raw)
        service_unwatch_fd(s, p->fd);
    if (n != PING_BYTES)
        return false;
    memcpy(&seq, data, sizeof seq);
    memcpy(&then, data + 8, sizeof then);
    int64_t rtt = service_now_us() - then;
    if (seq >= p->sent || p->answered[seq] || rtt < 0 || rtt > PING_WAIT_MS * 1000)
        return false;
    p->answered[seq] = true;
    p->rtt_us[p->received++] = rtt;
    return false;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static bool all_answered(void *arg)
{
    const struct pinger *p = arg;

    return p->over || p->received == p->pings;
}

void pinger_run(struct pinger *p, struct agent *g)
{
    p->rtt_us = calloc(p->pings, sizeof *p->rtt_us);
    p->answered = calloc(p->pings, sizeof *p->answered);
    if (!p->rtt_us || !p->answered || p->fd < 0)
        return;
    service_watch_fd(&g->svc, p->fd, ZMQ_POLLIN, receive_answer, p);
    p->next_us = service_now_us();
    while (!g->svc.stop && !all_answered(p)) {
        bool all = p->sent == p->pings;
        int64_t until = all ? p->last_us + PING_WAIT_MS * 1000 : p->next_us;
        agent_run(g, until, all_answered, p);
        if (all && service_now_us() >= until)
            break;
        if (!all && service_now_us() >= p->next_us)
            send_ping(p);
    }
    qsort(p->rtt_us, p->received, sizeof *p->rtt_us, by_size);
}

int64_t pinger_median_us(const struct pinger *p)
{
    uint32_t half = p->received / 2;

    if (p->received == 0)
        return -1;
    return p->received % 2 ? p->rtt_us[half] : (p->rtt_us[half] + p->rtt_us[half - 1]) / 2;
}

void pinger_fini(struct pinger *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    free(p->rtt_us);
    free(p->answered);
    p->rtt_us = NULL;
    p->answered = NULL;
}
