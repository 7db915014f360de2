/* workers_shell.c - see workers_shell.h. */
#include "services/prober/workers_shell.h"

#include "lib/log.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static void work(struct crew *c, unsigned worker)
{
    struct prober_workers *w = c->arg;
    struct prober_worker *me = w->v[worker];
    struct service *s = c->v[worker]->svc;
    struct input in;

    while (service_wait(s, prober_deadline(&me->core), &in)) {
        prober_step(&me->core, &in, &me->out);
        service_emit(s, &me->out);
    }
}

void prober_workers_open(struct prober_workers *w, struct service *s, unsigned n,
                         const struct prober_conf *conf)
{
    struct prober_conf speaker = *conf, quiet;
    uint8_t key[32];
    uint32_t spread;

    *w = (struct prober_workers){.n = n};
    crew_open(&w->crew, s, n);
    w->crew.arg = w;
    w->crew.work = work;
    service_random_key(key);
    memcpy(&spread, key, sizeof spread);
    doors_open(&w->doors, &w->crew, spread);
    speaker.familiar = w->doors.familiar;
    quiet = speaker;
    quiet.no_bus = true; /* the first one speaks for all */
    for (unsigned i = 0; i < n; i++) {
        if (!(w->v[i] = calloc(1, sizeof *w->v[i])))
            die("event=no_memory workers=%u", n);
        service_random_key(key);
        prober_init(&w->v[i]->core, i == 0 ? &speaker : &quiet, key);
        answers_open(&w->v[i]->answers, w->crew.v[i]->svc, &w->v[i]->core, w->doors.known[i]);
    }
    sodium_memzero(key, sizeof key);
    sodium_memzero(&quiet, sizeof quiet);
    sodium_memzero(&speaker, sizeof speaker);
}

void prober_workers_start(struct prober_workers *w) { crew_start(&w->crew); }

struct prober_counters prober_workers_sum(const struct prober_workers *w)
{
    struct prober_counters sum = {0};

    for (unsigned i = 0; i < w->n; i++)
        crew_sum((uint64_t *)&sum, &w->v[i]->core.n, sizeof sum / sizeof(uint64_t));
    return sum;
}

/* Two that have seen somebody have seen two addresses. */
const struct gateway *prober_workers_gateway(const struct prober_workers *w)
{
    const struct gateway *found = NULL;

    for (unsigned i = 0; i < w->n; i++) {
        const struct gateway *g = &w->v[i]->core.gateway;
        bool seen = __atomic_load_n(&g->requests, __ATOMIC_RELAXED) > 0;
        if (__atomic_load_n(&g->ruled_out, __ATOMIC_RELAXED) || (seen && found))
            return NULL;
        found = seen ? g : found;
    }
    return found && gateway_suspected(found) ? found : NULL;
}

void prober_workers_close(struct prober_workers *w)
{
    crew_end(&w->crew);
    for (unsigned i = 0; i < w->n; i++) {
        sodium_memzero(w->v[i], sizeof *w->v[i]);
        free(w->v[i]);
    }
    doors_close(&w->doors);
    crew_close(&w->crew);
}
