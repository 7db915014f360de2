/* workers_shell.c - see workers_shell.h. */
#include "services/prober/workers_shell.h"

#include "lib/log.h"

#include <errno.h>
#include <linux/filter.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* ---- by source ------------------------------------------------------------------------------------ */

bool prober_workers_spread(int fd, unsigned n, uint32_t key)
{
    enum { V4_SOURCE = 12, V6_SOURCE = 8, TO_V4 = 6 };
    const uint32_t net = (uint32_t)SKF_NET_OFF, mix = 0x9e3779b1;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, net),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, TO_V4, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, net + V6_SOURCE),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, mix),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, net + V6_SOURCE + 4),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffffff00), /* to the /56 */
        BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, net + V4_SOURCE), /* X is 0 */
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, key),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, mix),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

    _Static_assert((int)BUDGET_V6_BYTES == 7, "of 8 bytes all but the last");
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0;
}

/* Every socket of the first worker's again for each of the others. */
static void share_ports(struct prober_workers *w, uint32_t key)
{
    const struct service *first = w->crew.v[0]->svc;

    for (uint16_t sock = 0; sock < first->n_udp; sock++) {
        for (unsigned i = 1; i < w->n; i++) {
            int fd = service_udp_join(first->udp[sock]);
            if (fd < 0)
                die("event=no_socket worker=%u why=\"%s\"", i, strerror(errno));
            service_udp_add(w->crew.v[i]->svc, fd);
        }
        if (w->n > 1 && !prober_workers_spread(first->udp[sock], w->n, key))
            die("event=no_socket why=\"%s\" what=\"SO_ATTACH_REUSEPORT_CBPF\"", strerror(errno));
    }
}

/* ---- threads -------------------------------------------------------------------------------------- */

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
    struct prober_conf quiet = *conf;
    uint8_t key[32];
    uint32_t spread;

    *w = (struct prober_workers){.n = n};
    crew_open(&w->crew, s, n);
    w->crew.arg = w;
    w->crew.work = work;
    service_random_key(key);
    memcpy(&spread, key, sizeof spread);
    share_ports(w, spread);
    quiet.no_bus = true; /* the first one speaks for all */
    for (unsigned i = 0; i < n; i++) {
        if (!(w->v[i] = calloc(1, sizeof *w->v[i])))
            die("event=no_memory workers=%u", n);
        service_random_key(key);
        prober_init(&w->v[i]->core, i == 0 ? conf : &quiet, key);
        answers_open(&w->v[i]->answers, w->crew.v[i]->svc, &w->v[i]->core);
    }
    sodium_memzero(key, sizeof key);
    sodium_memzero(&quiet, sizeof quiet);
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
    crew_close(&w->crew);
}
