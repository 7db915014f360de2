/* own.c - see own.h. */
#include "services/natterjack/own.h"
#include "lib/admin.h"
#include "services/natterjack/peer.h"

#include <string.h>

static json_t *punches(const struct executor *x)
{
    json_t *all = json_array();

    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        const struct attempt *a = &x->attempts[i];
        if (a->state == ATTEMPT_FREE)
            continue;
        json_t *one = json_attempt(a);
        json_object_set_new(one, "state", json_string(attempt_state_name[a->state]));
        json_object_set_new(one, "attempts", json_integer(a->attempts));
        json_object_set_new(one, "sent", json_integer((json_int_t)a->data_sent));
        json_object_set_new(one, "received", json_integer((json_int_t)a->data_received));
        json_object_set_new(one, "dropped", json_integer((json_int_t)a->data_dropped));
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *state(const struct agent *g)
{
    json_t *by_state = json_object();
    json_int_t n[ATTEMPT_STATES] = {0}, pairs = 0, raw = 0, spares = 0;

    for (size_t i = 0; i < ATTEMPTS_MAX; i++) {
        n[g->core.attempts[i].state]++;
        pairs += g->pair[i] >= 0;
        raw += g->core.attempts[i].hand.phase == HAND_DONE &&
               g->core.attempts[i].state < ATTEMPT_FAILED;
    }
    for (size_t i = 0; i < SPARES_MAX; i++)
        spares += g->core.spares[i].tokens[0].len > 0;
    for (size_t s = 0; s < ATTEMPT_STATES; s++)
        json_object_set_new(by_state, attempt_state_name[s], json_integer(n[s]));
    const struct executor_counters *c = &g->core.n;
    json_t *o = json_pack("{s:b, s:o, s:I, s:I, s:I, s:I, s:o}", "attached", g->core.attached,
                          "attempts", by_state, "sockets", pairs, "raw", raw, "spares", spares,
                          "dropped", (json_int_t)g->dropped, "shell", admin_counters(&g->svc.n));
    json_t *counters = json_pack(
        "{s:I, s:I, s:I, s:I, s:I}", "upgrades_asked", (json_int_t)c->upgrades_asked,
        "refused_datagrams", (json_int_t)c->refused_datagrams, "forged", (json_int_t)c->forged,
        "replays", (json_int_t)c->replays, "refused_messages", (json_int_t)c->refused_messages);
    json_object_update(o, counters);
    json_decref(counters);
    return o;
}

static json_t *reflex(struct agent *g, const char *argument)
{
    static const char set[] = "override ";
    struct addr claimed = {0};

    if (strncmp(argument, set, sizeof set - 1) == 0) {
        if (!addr_parse(argument + sizeof set - 1, &claimed) || claimed.port == 0)
            return json_pack("{s:s}", "error", "override takes ADDR:PORT");
        agent_override(g, &claimed);
    } else if (strcmp(argument, "clear") == 0) {
        agent_override(g, &claimed);
    } else if (*argument) {
        return json_pack("{s:s}", "error", "reflex takes override ADDR:PORT, clear, or nothing");
    }
    return json_reflex(&g->core);
}

static json_t *answer(void *arg, const char *verb, const char *argument)
{
    struct agent *g = arg;

    if (strcmp(verb, "reflex") == 0)
        return reflex(g, argument);
    if (strcmp(verb, "punches") == 0)
        return punches(&g->core);
    return strcmp(verb, "state") == 0 ? state(g) : NULL;
}

void own_admin_open(struct agent *g, const char *path)
{
    if (path)
        admin_open(&g->svc, path, answer, g);
}

void own_admin_close(const char *path)
{
    if (path)
        admin_close();
}
