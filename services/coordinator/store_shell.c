/* store_shell.c - see store_shell.h. */
#include "services/coordinator/store_shell.h"

#include "lib/log.h"
#include "lib/store.h"
#include "lib/table.h"

#include <stdlib.h>

enum {
    ENROLLED_MAX = 100000, /* kept in memory; the rest is looked up */
    ANSWERS_MAX = 2 * OUTPUTS_MAX,
    SWEEP_EVERY_MS = 60000,
    SWEEP_MAX = 1000, /* rows at once, so that nobody waits long */
};

static struct {
    struct store *store;
    struct table enrolled;
    void *memory;
    struct input answers[ANSWERS_MAX]; /* a ring */
    size_t first, n;
    size_t in_batch; /* the newest so many answers are of writes that are not committed yet */
    int64_t swept_ms;
} shell;

/* ---- enrolled keys ------------------------------------------------------------------------------ */

static bool remember(void *arg, const struct peer_id *peer)
{
    (void)arg;
    return table_find(&shell.enrolled, peer->b) != TABLE_NONE ||
           table_insert(&shell.enrolled, peer->b) != TABLE_NONE;
}

bool store_shell_enrolled(const struct peer_id *peer)
{
    if (table_find(&shell.enrolled, peer->b) != TABLE_NONE)
        return true;
    if (store_is_enrolled(shell.store, peer) != STORE_OK)
        return false;
    remember(NULL, peer);
    return true;
}

enum store_status store_shell_release(const char *name)
{
    return store_release_name(shell.store, name);
}

/* ---- rows and answers --------------------------------------------------------------------------- */

static void sweep(int64_t wall_ms)
{
    if (wall_ms - shell.swept_ms < SWEEP_EVERY_MS && wall_ms >= shell.swept_ms)
        return;
    shell.swept_ms = wall_ms;
    if (store_sweep(shell.store, wall_ms, SWEEP_MAX) < 0)
        log_limited("event=store_away doing=sweep");
}

static bool writes(enum store_op op)
{
    return op == STORE_PUT || op == STORE_PUT_ENROLLED || op == STORE_PUT_CONTACT ||
           op == STORE_PUT_OUTCOME;
}

static enum store_status carry_out(const struct output *o, struct input *in)
{
    const struct dir_record *r = &o->store.record;
    struct dir_record *answer = &in->store.record;
    int64_t wall_ms = service_wall_ms();

    switch (o->store.op) {
    case STORE_GET_PEER: return store_get(shell.store, &r->peer, wall_ms, answer);
    case STORE_GET_NAME: return store_get_name(shell.store, r->name, wall_ms, answer);
    case STORE_GET_CONTACT: return store_is_contact(shell.store, &r->peer, &o->store.other);
    case STORE_GET_HISTORY:
        return store_get_history(shell.store, &o->store.outcome.key, wall_ms, &in->store.history);
    case STORE_PUT:
    case STORE_PUT_OUTCOME:
    case STORE_PUT_CONTACT:
    case STORE_PUT_ENROLLED: break;
    }
    if (o->store.op == STORE_PUT_ENROLLED && table_find(&shell.enrolled, r->peer.b) != TABLE_NONE)
        return STORE_OK; /* also while nothing can be written */
    if (store_begin(shell.store) != STORE_OK)
        return STORE_AWAY;
    if (o->store.op == STORE_PUT_OUTCOME)
        return store_put_outcome(shell.store, &o->store.outcome, wall_ms);
    if (o->store.op == STORE_PUT_CONTACT)
        return store_put_contact(shell.store, &r->peer, &o->store.other, wall_ms);
    return o->store.op == STORE_PUT ? store_put(shell.store, r)
                                    : store_put_enrolled(shell.store, &r->peer);
}

static void store(struct service *s, const struct output *o)
{
    (void)s;
    if (shell.n == ANSWERS_MAX) { /* the core's deadlines repair what got no answer */
        log_limited("event=store_busy");
        return;
    }
    struct input *in = &shell.answers[(shell.first + shell.n++) % ANSWERS_MAX];
    memset(in, 0, sizeof *in);
    in->kind = IN_STORE;
    in->store.op = o->store.op;
    in->store.tag = o->store.tag;
    in->store.record = o->store.record;
    in->store.status = carry_out(o, in);
    shell.in_batch++;
    if (in->store.status == STORE_AWAY)
        log_limited("event=store_away op=%d", (int)o->store.op);
}

/* The batch is durable, or none of it is. */
static void commit(struct service *s)
{
    (void)s;
    bool written = store_commit(shell.store) == STORE_OK;

    if (!written)
        log_limited("event=store_away doing=commit");
    for (size_t i = shell.n - shell.in_batch; i < shell.n; i++) {
        struct input *in = &shell.answers[(shell.first + i) % ANSWERS_MAX];
        if (!written && writes(in->store.op))
            in->store.status = STORE_AWAY;
        if (in->store.op == STORE_PUT_ENROLLED && in->store.status == STORE_OK)
            remember(NULL, &in->store.record.peer);
    }
    shell.in_batch = 0;
    sweep(service_wall_ms());
}

static bool answer(struct service *s, struct input *in)
{
    (void)s;
    if (shell.n == 0)
        return false;
    *in = shell.answers[shell.first];
    shell.first = (shell.first + 1) % ANSWERS_MAX;
    shell.n--;
    return true;
}

/* ---- life --------------------------------------------------------------------------------------- */

void store_shell_open(const char *path)
{
    char err[STORE_ERROR_MAX];
    uint8_t secret[32];

    shell.store = store_open(path, err);
    if (!shell.store)
        die("event=no_store why=\"%s\"", err);
    shell.memory = malloc(table_bytes(ENROLLED_MAX, sizeof(struct peer_id)));
    if (!shell.memory)
        die("event=no_memory for=enrolled_keys");
    service_random_key(secret);
    table_init(&shell.enrolled, ENROLLED_MAX, sizeof(struct peer_id), secret, shell.memory);
    if (store_list_enrolled(shell.store, remember, NULL) != STORE_OK)
        die("event=no_store path=%s why=\"can't list the enrolled keys\"", path);
}

void store_shell_serve(struct service *svc)
{
    svc->store = store;
    svc->store_commit = commit;
    svc->store_answer = answer;
}

void store_shell_close(void)
{
    store_close(shell.store);
    free(shell.memory);
    shell.store = NULL;
    shell.memory = NULL;
}
