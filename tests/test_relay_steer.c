/*
 * test_relay_steer.c - which of the relay's two queues a packet goes to: the table that the core keeps, and
 * the kernel's program that reads it, on real sockets.
 */
#include "lib/udp.h"
#include "services/relay/steer_shell.h"
#include "tests/lib/relay_bed.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { SESSIONS_MAX = 100 };

static struct relay_bed bed;
static struct steer steer = {.map = -1, .fd = -1};
static int others = -1; /* the first socket; the second is steer.fd */

static void setup(void)
{
    relay_bed_open(&bed, SESSIONS_MAX, 1);
    cr_assert(steer_init(&steer, SESSIONS_MAX), "root is needed");
    bed.conf.marks = steer.table;
    relay_bed_restart(&bed, 1);
}

static void teardown(void)
{
    close(others);
    steer_close(&steer);
    relay_bed_close(&bed);
}

TestSuite(relay_steer, .init = setup, .fini = teardown, .timeout = 20);

static size_t n_known(void)
{
    size_t n = 0;

    for (size_t i = 0; i < marks_bytes(steer.table.bits) / sizeof(uint64_t); i++)
        n += steer.table.cells[i] != 0;
    return n;
}

/* ---- the table -------------------------------------------------------------------------------- */

Test(relay_steer, path_ids_are_known_from_the_first_bind_until_the_session_ends)
{
    struct ticket t0 = relay_bed_ticket(&bed, 7, 0), t1 = relay_bed_ticket(&bed, 7, 1);

    cr_assert_eq(n_known(), 0);
    relay_bed_bind(&bed, 'A', &t0, 1);
    cr_assert_eq(n_known(), 2);
    relay_bed_bind(&bed, 'B', &t1, 2);
    cr_assert_eq(n_known(), 2);
    relay_bed_run(&bed, 200000); /* both are silent */
    cr_assert_eq(bed.r.by_sid.n, 0);
    cr_assert_eq(n_known(), 0);
}

Test(relay_steer, the_source_of_a_raw_side_is_known_where_it_is_now)
{
    struct ticket t = relay_bed_ticket(&bed, 7, 0);

    t.mode = MODE_RAW;
    relay_bed_bind(&bed, 'A', &t, 1);
    cr_assert_eq(n_known(), 3);
    relay_bed_bind(&bed, 'C', &t, 2);
    cr_assert_eq(n_known(), 3);
    relay_bed_run(&bed, 200000);
    cr_assert_eq(n_known(), 0);
}

Test(relay_steer, a_full_set_leaves_a_key_out_and_nothing_else_changes)
{
    uint64_t cells[(1 << MARKS_BITS_MIN) * MARKS_WAYS] = {0}, key[MARKS_WAYS + 1], at = 0;
    struct marks k = {cells, MARKS_BITS_MIN};
    size_t n = 0;

    for (unsigned i = 0; i <= MARKS_WAYS; key[i++] = at) /* keys of set 0 */
        do
            at++;
        while (at * MARKS_MIX >> (64 - MARKS_BITS_MIN) != 0);
    for (unsigned i = 0; i <= MARKS_WAYS; i++)
        marks_add(&k, key[i]), marks_add(&k, key[i]);
    for (unsigned i = 0; i < sizeof cells / sizeof *cells; i++)
        n += cells[i] != 0;
    cr_assert_eq(n, MARKS_WAYS);
    marks_remove(&k, key[MARKS_WAYS]);
    marks_remove(&k, key[3]);
    marks_remove(&k, 0);
    marks_add(&k, 0);
    cr_assert_eq(cells[3], 0);
    marks_add(&k, key[MARKS_WAYS]);
    cr_assert_eq(cells[3], key[MARKS_WAYS]);
}

Test(relay_steer, every_set_has_room_for_the_sessions_that_it_is_made_for)
{
    cr_assert_eq(marks_bits(1), MARKS_BITS_MIN);
    cr_assert_eq(marks_bits(10000), 14);
    cr_assert_eq(marks_bits(RELAY_SESSIONS_MAX), 20);
}

/* ---- the kernel's program ---------------------------------------------------------------------- */

static struct addr at; /* of the relay */

static void open_at(const struct addr *local)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(local, &sa);

    others = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(others, (struct sockaddr *)&sa, len), 0);
    cr_assert_eq(getsockname(others, (struct sockaddr *)&sa, &len), 0);
    at = addr_from_sockaddr(&sa);
    cr_assert(steer_open(&steer, others), "%s", strerror(errno));
}

static int open_source(struct addr *src)
{
    struct sockaddr_storage sa;
    struct addr local = at;

    local.port = 0;
    socklen_t len = addr_to_sockaddr(&local, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *src = addr_from_sockaddr(&sa);
    len = addr_to_sockaddr(&at, &sa);
    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

static void expect_queue(int queue, int from, const void *data, size_t len)
{
    uint8_t got[2048];
    int other = queue == others ? steer.fd : others;

    cr_assert_eq(send(from, data, len, 0), (ssize_t)len);
    cr_assert_eq(recv(queue, got, sizeof got, MSG_DONTWAIT), (ssize_t)len, "%02x, %zu bytes",
                 *(const uint8_t *)data, len);
    cr_assert(recv(other, got, sizeof got, MSG_DONTWAIT) < 0);
}

static void make(uint8_t wire[static 40], uint8_t type, uint64_t path)
{
    memset(wire, 0, 40);
    wire[0] = type;
    for (unsigned i = 0; i < 8; i++)
        wire[1 + i] = (uint8_t)(path >> (56 - 8 * i));
}

Test(relay_steer, packets_of_sessions_have_a_queue_of_their_own)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0), src;
    uint8_t wire[40], keep[10] = {PACKET_RELAY, RELAY_KEEP}, stun[40] = {0};
    uint64_t path = UINT64_C(0x8899aabbccddeeff);

    open_at(&any);
    int from = open_source(&src);
    marks_add(&steer.table, path);
    make(wire, PACKET_DATA, path);
    expect_queue(steer.fd, from, wire, sizeof wire);
    expect_queue(steer.fd, from, wire, 10);
    expect_queue(others, from, wire, 9);
    expect_queue(others, from, wire, 1);
    make(wire, PACKET_PUNCH, path);
    expect_queue(steer.fd, from, wire, sizeof wire);
    make(wire, PACKET_DATA + 1, path);
    expect_queue(others, from, wire, sizeof wire);
    make(wire, PACKET_DATA, path + 1);
    expect_queue(others, from, wire, sizeof wire);
    make(wire, PACKET_DATA, 0); /* a free cell is no session */
    expect_queue(others, from, wire, sizeof wire);
    memcpy(keep + 2, "\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 8);
    expect_queue(steer.fd, from, keep, sizeof keep);
    keep[1] = RELAY_BIND;
    expect_queue(others, from, keep, sizeof keep);
    memcpy(stun + 1, keep + 2, 8);
    expect_queue(others, from, stun, sizeof stun);
    marks_remove(&steer.table, path);
    make(wire, PACKET_DATA, path);
    expect_queue(others, from, wire, sizeof wire);
    close(from);
}

static void expect_raw(const struct addr *any)
{
    struct addr src, other_src;

    open_at(any);
    int from = open_source(&src), other = open_source(&other_src);
    marks_add(&steer.table, marks_source(&src));
    expect_queue(steer.fd, from, "anything", 8);
    expect_queue(steer.fd, from, "a", 1);
    expect_queue(others, other, "anything at all", 15);
    marks_remove(&steer.table, marks_source(&src));
    expect_queue(others, from, "anything", 8);
    close(from), close(other);
}

Test(relay_steer, what_a_raw_side_sends_goes_with_the_sessions)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0);

    expect_raw(&any);
}

Test(relay_steer, and_over_ipv6_too)
{
    struct addr any = {.len = 16, .ip = {[15] = 1}};

    expect_raw(&any);
}

Test(relay_steer, another_relay_at_the_same_port_is_still_refused)
{
    struct addr any = addr_v4(127, 0, 0, 1, 0);
    struct sockaddr_storage sa;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    open_at(&any);
    socklen_t len = addr_to_sockaddr(&at, &sa);
    cr_assert(bind(fd, (struct sockaddr *)&sa, len) < 0 && errno == EADDRINUSE);
    close(fd);
}
