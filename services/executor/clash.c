/*
 * clash.c - does the own NAT let in what was not asked for, and if not, does that take its port?  As the control shows, the
 * first socket of early.c.
 */
#include "services/executor/internal.h"

/* One silent socket may have had bad luck: those of filter.c ask for the same, and the prober may refuse to. */
bool executor_lets_in(const struct executor *x)
{
    bool heard = x->early.from[EARLY_CONTROL].heard || x->filter.state == FILTER_OFF;

    for (size_t i = 0; i < FILTER_SOCKETS; i++)
        heard = heard || x->filter.from[i].heard[FILTER_OTHER_IP];
    return heard;
}

bool executor_restricts(const struct executor *x)
{
    return x->early.from[EARLY_CONTROL].seen.len != 0 && !executor_lets_in(x);
}

bool executor_moves(const struct executor *x)
{
    bool found = false;

    for (size_t i = 1; i < x->n_targets; i++)
        for (size_t j = 0; j < i; j++)
            found = found ||
                    (x->targets[i].sock == 0 && x->targets[j].sock == 0 && x->targets[i].answered &&
                     x->targets[j].answered && !addr_eq(&x->targets[i].seen, &x->targets[j].seen));
    return found;
}

/* The address that has not sent it anything sees the port that the first one saw; of a small block that may be luck. */
bool executor_keeps(const struct executor *x)
{
    const struct early_socket *s = &x->early.from[EARLY_CONTROL];

    return s->out[2].len != 0 && addr_eq(&s->out[2], &s->seen) && !executor_moves(x);
}

enum clash executor_clash_seen(const struct executor *x)
{
    const struct early_socket *s = &x->early.from[EARLY_CONTROL];

    if (!executor_keeps(x) || x->early.cut || s->out[1].len == 0 || s->out[EARLY_FAR].len == 0)
        return CLASH_UNKNOWN;
    return addr_eq(&s->out[1], &s->seen) && addr_eq(&s->out[EARLY_FAR], &s->seen) ? CLASH_NONE
                                                                                  : CLASH_CLAIMS;
}

enum clash executor_clash(const struct executor *x)
{
    return executor_restricts(x) ? x->early.clash : CLASH_UNKNOWN;
}

enum filter_vote executor_early_vote(const struct executor *x, enum filter_ask ask)
{
    const struct early_socket *s = &x->early.from[EARLY_CONTROL];

    if (!s->asked)
        return FILTER_ABSENT;
    if (s->heard || (ask == FILTER_OTHER_PORT && s->heard_port))
        return FILTER_HEARD;
    if (x->early.cut)
        return FILTER_ABSENT;
    return s->phase == EARLY_IN ? FILTER_OPEN : FILTER_SILENT;
}

bool executor_early_pending(const struct executor *x)
{
    return x->early.state == EARLY_DUE || (x->early.state == EARLY_ASKING && !x->early.told);
}

/* The others, which ask what is let in, don't agree. */
void executor_early_ask(struct executor *x, struct outputs *out)
{
    struct early_socket *s = &x->early.from[EARLY_CONTROL];

    if (x->early.state != EARLY_ASKING || s->phase != EARLY_DONE || s->seen.len == 0 || s->asked ||
        x->early.ways)
        return;
    executor_early_enter(x, s, EARLY_IN, out);
    x->early.next_us = x->now_us; /* to be reckoned anew */
}
