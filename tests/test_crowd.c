/* test_crowd.c - how long a queue of strangers may be, and that a socket's is so. */
#include "lib/crowd_shell.h"
#include "tests/lib/sockets.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

enum { FULL = 1 << 20, LOOK = CROWD_LOOK_US };

static struct crowd c;
static int64_t now_us = 10000000;
static uint32_t lost = 5;

static void setup(void)
{
    crowd_init(&c, FULL, lost);
    crowd_took(&c, 0, now_us);
    crowd_look(&c, lost, now_us);
}

TestSuite(crowd, .init = setup, .timeout = 20);

/* So many bytes were read in this time, and so many messages lost. */
static size_t look(size_t bytes, int64_t in_us, uint32_t more_lost)
{
    now_us += in_us;
    lost += more_lost;
    cr_assert_eq(crowd_took(&c, bytes, now_us), in_us >= LOOK);
    return crowd_look(&c, lost, now_us);
}

Test(crowd, has_all_the_room_while_nothing_is_lost)
{
    cr_assert_eq(look(0, LOOK, 0), FULL);
    cr_assert_eq(look(1000000, LOOK, 0), FULL);
    cr_assert_not(crowd_took(&c, 1, now_us + LOOK - 1));
}

Test(crowd, has_the_room_that_is_read_in_a_fifth_of_a_second_when_something_is)
{
    cr_assert_eq(look(100000, LOOK, 1), 200000);
    cr_assert_eq(look(200000, 4 * LOOK, 1), 100000);
    cr_assert_eq(look(0, LOOK, 1), CROWD_ROOM_MIN);
    cr_assert_eq(look(3 * FULL, LOOK, 1), FULL);
}

Test(crowd, has_all_again_some_seconds_after_the_last_loss)
{
    look(100000, LOOK, 1);
    for (int i = 1; i < CROWD_CALM_US / LOOK; i++)
        cr_assert_eq(look(1000, LOOK, 0), 200000);
    cr_assert_eq(look(1000, LOOK, 0), FULL);
    cr_assert_eq(look(100000, LOOK, 7), 200000);
}

Test(crowd, is_not_judged_by_what_came_in_a_long_silence)
{
    cr_assert_eq(look(100, CROWD_IDLE_US + 1, 1), FULL);
    cr_assert_eq(look(100000, LOOK, 1), 200000);
}

/* ---- a socket ------------------------------------------------------------------------------------- */

static void send_many(int from, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(send(from, "to nobody", 9, 0), 9);
}

static unsigned left_in(struct batch_in *in)
{
    unsigned n = 0;

    while (batch_read(in) > 0)
        n += in->n;
    return n;
}

Test(crowd, of_a_socket_loses_what_has_waited_for_too_long)
{
    enum { MANY = 20000, BYTES = 512 << 10 };
    static struct batch_in in;
    struct addr source, at;
    int from = sockets_loopback(&source), fd = sockets_loopback(&at), room = BYTES / 2;
    void *memory = malloc(BATCH_IN_BYTES(BATCH_SINGLE));

    sockets_connect(from, &at);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    batch_in_init(&in, fd, BATCH_SINGLE, memory);
    crowd_watch(&c, &in);
    send_many(from, 40);
    cr_assert_eq(batch_read(&in), BATCH);
    cr_assert_eq(crowd_keep_short(&c, &in, now_us), 0);
    cr_assert_eq(c.room, BYTES);
    send_many(from, MANY);
    cr_assert_eq(batch_read(&in), BATCH);
    cr_assert_gt(crowd_keep_short(&c, &in, now_us + LOOK), 0);
    cr_assert_eq(c.room, CROWD_ROOM_MIN);
    size_t n;
    cr_assert_null(batch_next(&in, &n), "what was thrown away is not read");
    send_many(from, MANY);
    cr_assert_lt(left_in(&in), 2 * CROWD_ROOM_MIN / 512);
    close(from), close(fd);
    free(memory);
}
