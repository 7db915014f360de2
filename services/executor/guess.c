/*
 * guess.c - how an attempt ends that sent to ports which no prober vouched for: birthday.c and foresee.c.
 *
 * Such packets go only to an ip that two fresh tokens of the accepted peer name, to ports from 1024 up, and
 * no more than GUESSES_MAX in ten minutes to any ip, whoever asks (aim.c).
 */
#include "services/executor/internal.h"

#include <string.h>

/* An authentic packet came in: what was guessed was right, and goes on as with a known address. */
void executor_guess_met(struct executor *x, struct attempt *a, uint16_t sock, struct outputs *out)
{
    struct way_state *w = &a->way[WAY_DIRECT];

    /* By another socket than those that are open for it, the peer can be heard but not answered. */
    if (a->birthday.part == BIRTHDAY_OPENS && !executor_pool_has(x, a, sock))
        return;
    a->birthday.next_us = NEVER;
    w->burst = 0;
    w->next_punch_us = x->now_us + punch_offset_us[1];
    if (executor_pool_has(x, a, sock))
        executor_pool_met(x, a, sock, out);
}

static void close_kept(struct attempt *a, struct outputs *out)
{
    uint16_t *sock = &a->way[WAY_DIRECT].sock;

    if (a->mode == MODE_RAW || *sock < KEPT_FIRST) /* hand.c closes its own */
        return;
    executor_socket(SOCKET_CLOSE, *sock, *sock, out);
    *sock = 0;
}

/* The attempt at a direct path is over: the pool is closed; when the session ends, the kept socket too. */
void executor_guess_end(struct executor *x, struct attempt *a, struct outputs *out)
{
    a->birthday.next_us = a->foreseen.next_us = NEVER;
    a->foreseen.phase = FORESEEN_NOT;
    executor_pool_end(x, a, out);
    if (a->state >= ATTEMPT_FAILED)
        close_kept(a, out);
}

/* Before a new attempt in the same session: nothing of this one is kept. */
void executor_guess_forget(struct executor *x, struct attempt *a, struct outputs *out)
{
    executor_guess_end(x, a, out);
    close_kept(a, out);
    memset(&a->birthday, 0, sizeof a->birthday);
    memset(&a->foreseen, 0, sizeof a->foreseen);
    a->birthday.next_us = a->foreseen.next_us = NEVER;
}
