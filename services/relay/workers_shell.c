/* workers_shell.c - see workers_shell.h. */
#include "services/relay/workers_shell.h"

#include "lib/cage.h"
#include "lib/log.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void ring(struct workers *w)
{
    for (unsigned i = 1; i < w->n; i++)
        eventfd_write(w->v[i]->bell, 1);
}

static bool receive_bell(struct service *s, void *arg, struct input *in)
{
    struct worker *me = arg;
    eventfd_t n;

    (void)in;
    eventfd_read(me->bell, &n);
    if (__atomic_load_n(&me->all->stop, __ATOMIC_ACQUIRE))
        s->stop = true;
    if (__atomic_load_n(&me->all->draining, __ATOMIC_ACQUIRE))
        relay_drain(&me->core);
    return false;
}

static void *run(void *arg)
{
    struct worker *me = arg;
    struct input in;

    cage_thread();
    pthread_barrier_wait(&me->all->started);
    while (service_wait(me->svc, relay_deadline(&me->core), &in)) {
        relay_step(&me->core, &in, &me->out);
        service_emit(me->svc, &me->out);
    }
    return NULL;
}

static struct worker *make(struct workers *w, unsigned i, const struct relay_conf *of_all)
{
    struct relay_conf conf = *of_all;
    struct worker *me = calloc(1, sizeof *me);
    uint8_t key[32];

    conf.worker = i;
    conf.load = &w->load;
    conf.sessions_max = relay_share(of_all->sessions_max, w->n);
    if (!me || !(me->memory = malloc(relay_bytes(&conf))) ||
        !(me->buffers = malloc(BATCH_IN_BYTES(BATCH_MERGED))))
        die("event=no_memory sessions=%u", of_all->sessions_max);
    service_random_key(key);
    if (!relay_init(&me->core, &conf, key, me->memory))
        die("event=bad_key why=\"the coordinator's is of small order\"");
    sodium_memzero(key, sizeof key);
    sodium_memzero(&conf, sizeof conf);
    me->all = w;
    me->bell = -1;
    return me;
}

void workers_open(struct workers *w, struct service *s, uint8_t sock, const struct steer *steer,
                  const struct relay_conf *conf)
{
    *w = (struct workers){.n = conf->n_workers, .load.sessions_max = conf->sessions_max};
    for (unsigned i = 0; i < w->n; i++)
        if (!plane_door_open(&w->doors[i]))
            die("event=no_socket why=\"%s\"", strerror(errno));
    for (unsigned i = 0; i < w->n; i++) {
        struct worker *me = w->v[i] = make(w, i, conf);
        int sessions = steer->n_fds > 0 ? steer_fd(steer, i, STEER_SESSIONS) : -1;
        me->svc = i == 0 ? s : &me->own;
        if (i > 0) {
            service_open_worker(me->svc, s);
            sock = (uint8_t)service_udp_add(me->svc, steer_fd(steer, i, STEER_OTHERS));
            me->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
            if (me->bell < 0)
                die("event=no_socket why=\"%s\"", strerror(errno));
            service_watch_fd(me->svc, me->bell, ZMQ_POLLIN, receive_bell, me);
        }
        plane_open(&me->plane, me->svc, sock, sessions, &me->core, &me->out, me->buffers, w->doors);
    }
}

void workers_start(struct workers *w)
{
    pthread_barrier_init(&w->started, NULL, w->n);
    for (unsigned i = 1; i < w->n; i++)
        if (pthread_create(&w->v[i]->thread, NULL, run, w->v[i]) != 0)
            die("event=no_thread worker=%u", i);
    pthread_barrier_wait(&w->started);
}

void workers_drain(struct workers *w)
{
    relay_drain(&w->v[0]->core);
    __atomic_store_n(&w->draining, true, __ATOMIC_RELEASE);
    ring(w);
}

uint32_t workers_sessions(const struct workers *w)
{
    return __atomic_load_n(&w->load.sessions, __ATOMIC_RELAXED);
}

static void add(uint64_t *sum, const uint64_t *of, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += __atomic_load_n(&of[i], __ATOMIC_RELAXED);
}

struct relay_counters workers_counters(const struct workers *w, unsigned worker)
{
    struct relay_counters n = {0};

    add((uint64_t *)&n, (const uint64_t *)&w->v[worker]->core.n, sizeof n / sizeof(uint64_t));
    return n;
}

struct relay_counters workers_counters_sum(const struct workers *w)
{
    struct relay_counters sum = {0};

    for (unsigned i = 0; i < w->n; i++)
        add((uint64_t *)&sum, (const uint64_t *)&w->v[i]->core.n, sizeof sum / sizeof(uint64_t));
    return sum;
}

struct service_counters workers_shell_sum(const struct workers *w)
{
    struct service_counters sum = {0};

    for (unsigned i = 0; i < w->n; i++)
        add((uint64_t *)&sum, (const uint64_t *)&w->v[i]->svc->n, sizeof sum / sizeof(uint64_t));
    return sum;
}

void workers_close(struct workers *w)
{
    __atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
    ring(w);
    for (unsigned i = 0; i < w->n; i++) {
        struct worker *me = w->v[i];
        if (i > 0) {
            pthread_join(me->thread, NULL);
            service_close(me->svc);
            close(me->bell);
        }
        free(me->memory), free(me->buffers);
        sodium_memzero(me, sizeof *me);
        free(me);
    }
    for (unsigned i = 0; i < w->n; i++)
        close(w->doors[i].in), close(w->doors[i].out);
    pthread_barrier_destroy(&w->started);
}
