/* service_crew.c - see service_crew.h. */
#include "lib/service_crew.h"

#include "lib/cage.h"
#include "lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static bool receive_bell(struct service *s, void *arg, struct input *in)
{
    const struct crew_worker *me = arg;
    struct crew *c = me->crew;
    eventfd_t n;

    (void)in;
    eventfd_read(me->bell, &n);
    if (__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE))
        s->stop = true;
    else if (c->told)
        c->told(c, me->number);
    return false;
}

static void *run(void *arg)
{
    const struct crew_worker *me = arg;

    cage_thread();
    pthread_barrier_wait(&me->crew->started);
    me->crew->work(me->crew, me->number);
    return NULL;
}

void crew_open(struct crew *c, struct service *s, unsigned n)
{
    assert(n >= 1 && n <= CREW_MAX);
    *c = (struct crew){.n = n};
    for (unsigned i = 0; i < n; i++) {
        struct crew_worker *me = c->v[i] = calloc(1, sizeof *me);
        if (!me)
            die("event=no_memory workers=%u", n);
        me->crew = c;
        me->number = i;
        me->svc = i == 0 ? s : &me->own;
        if (i == 0)
            continue;
        service_open_worker(me->svc, s);
        me->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (me->bell < 0)
            die("event=no_socket why=\"%s\"", strerror(errno));
        service_watch_fd(me->svc, me->bell, ZMQ_POLLIN, receive_bell, me);
    }
}

void crew_start(struct crew *c)
{
    pthread_barrier_init(&c->started, NULL, c->n);
    for (unsigned i = 1; i < c->n; i++)
        if (pthread_create(&c->v[i]->thread, NULL, run, c->v[i]) != 0)
            die("event=no_thread worker=%u", i);
    pthread_barrier_wait(&c->started);
    log_info("event=workers n=%u", c->n);
}

void crew_tell(struct crew *c)
{
    for (unsigned i = 1; i < c->n; i++)
        eventfd_write(c->v[i]->bell, 1);
}

void crew_sum(uint64_t *sum, const void *counters, size_t n)
{
    const uint64_t *of = counters;

    for (size_t i = 0; i < n; i++)
        sum[i] += __atomic_load_n(&of[i], __ATOMIC_RELAXED);
}

struct service_counters crew_counters(const struct crew *c)
{
    struct service_counters sum = {0};

    for (unsigned i = 0; i < c->n; i++)
        crew_sum((uint64_t *)&sum, &c->v[i]->svc->n, sizeof sum / sizeof(uint64_t));
    return sum;
}

void crew_end(struct crew *c)
{
    __atomic_store_n(&c->stop, true, __ATOMIC_RELEASE);
    crew_tell(c);
    for (unsigned i = 1; i < c->n; i++)
        pthread_join(c->v[i]->thread, NULL);
}

void crew_close(struct crew *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (i > 0) {
            service_close(c->v[i]->svc);
            close(c->v[i]->bell);
        }
        free(c->v[i]);
    }
    pthread_barrier_destroy(&c->started);
}
