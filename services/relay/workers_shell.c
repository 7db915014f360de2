/* workers_shell.c - see workers_shell.h. */
#include "services/relay/workers_shell.h"

#include "lib/log.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert((int)STEER_WORKERS_MAX <= (int)CREW_MAX, "a thread for each");

static void work(struct crew *c, unsigned worker)
{
    struct relay_workers *w = c->arg;
    struct relay_worker *me = w->v[worker];
    struct service *s = c->v[worker]->svc;
    struct input in;

    while (service_wait(s, relay_deadline(&me->core), &in)) {
        relay_step(&me->core, &in, &me->out);
        service_emit(s, &me->out);
    }
}

static void told_to_drain(struct crew *c, unsigned worker)
{
    struct relay_workers *w = c->arg;

    relay_drain(&w->v[worker]->core);
}

static struct relay_worker *make(struct relay_workers *w, unsigned i,
                                 const struct relay_conf *of_all)
{
    struct relay_conf conf = *of_all;
    struct relay_worker *me = calloc(1, sizeof *me);
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
    return me;
}

void relay_workers_open(struct relay_workers *w, struct service *s, uint8_t sock,
                        const struct steer *steer, const struct relay_conf *conf)
{
    *w = (struct relay_workers){.n = conf->n_workers, .load.sessions_max = conf->sessions_max};
    service_random_key(w->load.cookie_key);
    crew_open(&w->crew, s, w->n);
    w->crew.arg = w;
    w->crew.work = work;
    w->crew.told = told_to_drain;
    for (unsigned i = 0; i < w->n; i++)
        if (!plane_door_open(&w->doors[i]))
            die("event=no_socket why=\"%s\"", strerror(errno));
    for (unsigned i = 0; i < w->n; i++) {
        struct relay_worker *me = w->v[i] = make(w, i, conf);
        struct service *of = w->crew.v[i]->svc;
        if (i > 0)
            sock = (uint8_t)service_udp_add(of, steer_fd(steer, i, STEER_OTHERS));
        plane_open(&me->plane, of, sock, steer, &me->core, &me->out, me->buffers, w->doors);
    }
}

void relay_workers_start(struct relay_workers *w) { crew_start(&w->crew); }

void relay_workers_drain(struct relay_workers *w)
{
    told_to_drain(&w->crew, 0);
    crew_tell(&w->crew);
}

uint32_t relay_workers_sessions(const struct relay_workers *w)
{
    return __atomic_load_n(&w->load.sessions, __ATOMIC_RELAXED);
}

static void add(const struct relay_workers *w, unsigned worker, struct relay_counters *sum)
{
    crew_sum((uint64_t *)sum, &w->v[worker]->core.n, sizeof *sum / sizeof(uint64_t));
}

struct relay_counters relay_workers_counters(const struct relay_workers *w, unsigned worker)
{
    struct relay_counters n = {0};

    add(w, worker, &n);
    return n;
}

struct relay_counters relay_workers_sum(const struct relay_workers *w)
{
    struct relay_counters sum = {0};

    for (unsigned i = 0; i < w->n; i++)
        add(w, i, &sum);
    return sum;
}

void relay_workers_close(struct relay_workers *w)
{
    crew_end(&w->crew);
    for (unsigned i = 0; i < w->n; i++) {
        struct relay_worker *me = w->v[i];
        free(me->memory), free(me->buffers);
        sodium_memzero(me, sizeof *me);
        free(me);
        close(w->doors[i].in), close(w->doors[i].out);
    }
    crew_close(&w->crew);
    sodium_memzero(&w->load, sizeof w->load);
}
