/* pool.c - sockets beside the first, for the attempt that needs many ports of its own; one attempt at a time. */
#include "services/executor/internal.h"

bool executor_pool_take(struct executor *x, struct attempt *a)
{
    if (x->pool_owner != ATTEMPTS_MAX && x->pool_owner != executor_number(x, a)) {
        a->aside = true;
        return false;
    }
    x->pool_owner = executor_number(x, a);
    return true;
}

uint16_t executor_pool_open(struct executor *x, struct outputs *out)
{
    if (x->pool_opened == POOL_SOCKETS)
        return 0;
    uint16_t sock = (uint16_t)(POOL_FIRST + x->pool_opened++);
    executor_socket(SOCKET_OPEN, sock, sock, out);
    x->opened++;
    return sock;
}

void executor_pool_punch(struct executor *x, struct attempt *a, const struct addr *to,
                         struct outputs *out)
{
    uint16_t sock = executor_pool_open(x, out);

    if (sock != 0)
        executor_send_punch(x, a, WAY_DIRECT, PACKET_PUNCH, 0, sock, to, out)->dgram.ttl =
            executor_prime_open_ttl(x, a);
}

void executor_pool_renew(struct executor *x, struct outputs *out)
{
    struct attempt *a = &x->attempts[x->pool_owner];
    uint16_t *sock = &a->way[WAY_DIRECT].sock;

    if (*sock >= POOL_FIRST && *sock < KEPT_FIRST) /* back to the one that it had before */
        *sock = a->mode == MODE_RAW ? (uint16_t)(KEPT_FIRST + x->pool_owner) : 0;
    if (x->pool_opened > 0)
        executor_socket(SOCKET_CLOSE, POOL_FIRST, POOL_FIRST + POOL_SOCKETS - 1, out);
    x->pool_opened = 0;
}

/* The peer is heard at this one: keep it, under a number of its own, and no other. */
void executor_pool_met(struct executor *x, struct attempt *a, uint16_t sock, struct outputs *out)
{
    uint16_t kept = (uint16_t)(KEPT_FIRST + executor_number(x, a));

    executor_socket(SOCKET_MOVE, sock, kept, out);
    a->way[WAY_DIRECT].sock = kept;
    executor_pool_end(x, a, out);
}

void executor_pool_end(struct executor *x, struct attempt *a, struct outputs *out)
{
    if (x->pool_owner != executor_number(x, a))
        return;
    executor_pool_renew(x, out);
    x->look.n = 0;
    x->pool_owner = ATTEMPTS_MAX;
}

bool executor_pool_has(const struct executor *x, const struct attempt *a, uint16_t sock)
{
    return sock >= POOL_FIRST && sock < KEPT_FIRST && x->pool_owner == executor_number(x, a);
}

/* Is this one of the sockets that the attempt's packets may come in by? */
bool executor_expects(const struct executor *x, const struct attempt *a, const struct input *in)
{
    uint16_t sock = in->dgram.sock;

    if (a->mode == MODE_RAW && addr_eq(&in->dgram.src, &a->relay.addr))
        return sock == a->way[WAY_RELAY].sock;
    return (sock == 0 && a->mode == MODE_MANAGED) || sock == a->way[WAY_DIRECT].sock ||
           executor_pool_has(x, a, sock);
}
