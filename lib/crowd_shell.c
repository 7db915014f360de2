/* crowd_shell.c - see crowd_shell.h. */
#include "lib/crowd_shell.h"

#include <linux/sock_diag.h>

enum {
    MESSAGE = 768,     /* of the kernel's memory for a small one, beside up to twice its length */
    THROWN_MAX = 1024, /* in one go, as others wait meanwhile */
};

static bool ask(int fd, uint32_t info[static SK_MEMINFO_VARS])
{
    socklen_t len = SK_MEMINFO_VARS * sizeof *info;

    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) == 0 &&
           len >= SK_MEMINFO_VARS * sizeof *info;
}

void crowd_watch(struct crowd *c, const struct batch_in *in)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};

    ask(in->fd, info);
    crowd_init(c, info[SK_MEMINFO_RCVBUF], info[SK_MEMINFO_DROPS]);
}

static void set_room(int fd, size_t room)
{
    int half = (int)(room / 2); /* the kernel doubles it */

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &half, sizeof half);
}

static unsigned throw_away(struct batch_in *in, size_t room)
{
    uint32_t info[SK_MEMINFO_VARS];
    unsigned thrown = 0;

    while (thrown < THROWN_MAX && ask(in->fd, info) && info[SK_MEMINFO_RMEM_ALLOC] > room) {
        unsigned n = batch_read(in);
        if (n == 0)
            break;
        thrown += n;
    }
    in->n = in->next = 0;
    in->offset = in->size = 0;
    return thrown;
}

unsigned crowd_keep_short(struct crowd *c, struct batch_in *in, int64_t now_us)
{
    uint32_t info[SK_MEMINFO_VARS];
    size_t bytes = 0, was = c->room;

    for (unsigned i = 0; i < in->n; i++)
        bytes += MESSAGE + 2 * (size_t)in->msg[i].msg_len;
    if (!crowd_took(c, bytes, now_us) || !ask(in->fd, info))
        return 0;
    size_t room = crowd_look(c, info[SK_MEMINFO_DROPS], now_us);
    if (room != was)
        set_room(in->fd, room);
    return info[SK_MEMINFO_RMEM_ALLOC] > 2 * room ? throw_away(in, room) : 0;
}
