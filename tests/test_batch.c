/* test_batch.c - datagrams in batches, between sockets on the loopback: all of them, whole, in order. */
#include "lib/batch.h"
#include "lib/rng.h"
#include "lib/udp.h"
#include "tests/lib/sockets.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PEERS = 3, LONGEST = 1400, SENT_MAX = 100 };

static int sender, peer[PEERS];
static struct addr peer_addr[PEERS];
static struct batch_out out;
static struct batch_in in;
static void *memory;

static void setup(void)
{
    struct addr any;

    sender = sockets_loopback(&any);
    batch_out_init(&out, sender);
    for (size_t i = 0; i < PEERS; i++)
        peer[i] = sockets_loopback(&peer_addr[i]);
    memory = malloc(BATCH_IN_BYTES(BATCH_MERGED));
    cr_assert(memory);
}

static void teardown(void) { free(memory); }

TestSuite(batch, .init = setup, .fini = teardown, .timeout = 20);

/* What was sent, and to whom. */
static struct {
    unsigned to;
    size_t len;
    uint8_t data[LONGEST];
} sent[SENT_MAX];
static unsigned n_sent;

static void add(struct rng *rng, unsigned to, size_t len)
{
    cr_assert(n_sent < SENT_MAX);
    sent[n_sent].to = to;
    sent[n_sent].len = len;
    rng_bytes(rng, sent[n_sent].data, len);
    batch_add(&out, &peer_addr[to], sent[n_sent].data, len);
    n_sent++;
}

static void expect_all(void)
{
    uint8_t got[LONGEST + 1];

    for (unsigned i = 0; i < n_sent; i++) {
        ssize_t n = recv(peer[sent[i].to], got, sizeof got, MSG_DONTWAIT);
        cr_assert_eq(n, (ssize_t)sent[i].len, "datagram %u: %zd bytes, not %zu", i, n, sent[i].len);
        cr_assert_arr_eq(got, sent[i].data, sent[i].len);
    }
    for (unsigned i = 0; i < PEERS; i++)
        cr_assert(recv(peer[i], got, sizeof got, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    cr_assert(out.sent == n_sent && out.dropped == 0);
    out.sent = 0;
    n_sent = 0;
}

/* Runs to one peer of one size, sometimes cut short: what makes trains, and what must not. */
static void random_rounds(unsigned rounds)
{
    struct rng rng;

    rng_seed(&rng, 1);
    for (unsigned round = 0; round < rounds; round++) {
        for (uint64_t runs = 1 + rng_u64(&rng) % 8; runs > 0; runs--) {
            unsigned to = (unsigned)(rng_u64(&rng) % PEERS), n = 1 + (unsigned)(rng_u64(&rng) % 10);
            size_t len = 1 + rng_u64(&rng) % LONGEST;
            while (n-- > 0)
                add(&rng, to, len);
            add(&rng, to, 1 + rng_u64(&rng) % LONGEST);
        }
        batch_flush(&out);
        expect_all();
    }
}

Test(batch, sends_all_whole_and_in_order_however_trains_form) { random_rounds(300); }

Test(batch, sends_singly_where_the_kernel_can_not_split)
{
    int on = 1;

    cr_assert_eq(setsockopt(sender, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0); /* no GSO then */
    random_rounds(50);
}

Test(batch, forms_one_message_of_a_train_and_none_that_is_too_long)
{
    struct rng rng;

    rng_seed(&rng, 1);
    for (unsigned i = 0; i < BATCH_TRAIN; i++)
        add(&rng, 0, 50);
    cr_assert_eq(out.n, 1);
    add(&rng, 0, 50); /* one too many */
    cr_assert_eq(out.n, 2);
    add(&rng, 0, 40); /* the shorter last one */
    cr_assert_eq(out.n, 2);
    add(&rng, 0, 40);
    cr_assert_eq(out.n, 3);
    add(&rng, 0, 41); /* longer */
    cr_assert_eq(out.n, 4);
    add(&rng, 1, 41); /* to another */
    cr_assert_eq(out.n, 5);
    batch_flush(&out);
    expect_all();
    for (unsigned i = 0; i < BATCH_TRAIN_BYTES / LONGEST; i++)
        add(&rng, 0, LONGEST);
    cr_assert_eq(out.n, 1);
    add(&rng, 0, LONGEST);
    cr_assert_eq(out.n, 2);
    batch_flush(&out);
    expect_all();
}

Test(batch, counts_what_can_not_be_sent)
{
    struct addr nowhere = {
        .len = 4, .ip = {255, 255, 255, 255},
             .port = 9
    }; /* without SO_BROADCAST */
    uint8_t byte = 1;

    batch_add(&out, &nowhere, &byte, 1);
    batch_add(&out, &peer_addr[0], &byte, 1);
    batch_flush(&out);
    cr_assert(out.sent == 1 && out.dropped == 1);
    cr_assert_eq(recv(peer[0], &byte, 1, MSG_DONTWAIT), 1);
}

/* Send a train to peer 0 as one message: on the loopback it stays one when it is received. */
static void send_train(const uint8_t *data, size_t len, size_t each)
{
    for (size_t at = 0; at < len; at += each)
        batch_add(&out, &peer_addr[0], data + at, len - at < each ? len - at : each);
    cr_assert_eq(out.n, 1);
    batch_flush(&out);
}

Test(batch, hands_out_the_datagrams_of_a_merged_message_one_by_one)
{
    uint8_t data[1030];
    struct addr from = sockets_name(sender);
    size_t len;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    batch_in_init(&in, peer[0], BATCH_MERGED, memory);
    cr_assert_eq(batch_read(&in), 0);
    cr_assert_null(batch_next(&in, &len));
    send_train(data, sizeof data, 100);
    cr_assert_eq(batch_read(&in), 1);
    for (size_t at = 0; at < sizeof data; at += 100) {
        const uint8_t *got = batch_next(&in, &len);
        cr_assert(got && len == (at < 1000 ? 100 : 30));
        cr_assert_arr_eq(got, data + at, len);
        cr_assert(addr_eq(&in.src, &from));
    }
    cr_assert_null(batch_next(&in, &len));
}

Test(batch, takes_an_empty_datagram_for_one)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = addr_to_sockaddr(&peer_addr[0], &sa);
    size_t len;

    batch_in_init(&in, peer[0], BATCH_MERGED, memory);
    for (size_t n = 0; n < 3; n++)
        cr_assert_eq(sendto(sender, "xx", n % 2, 0, (struct sockaddr *)&sa, sa_len),
                     (ssize_t)n % 2);
    cr_assert_eq(batch_read(&in), 3);
    for (size_t n = 0; n < 3; n++) {
        cr_assert(batch_next(&in, &len));
        cr_assert_eq(len, n % 2);
    }
    cr_assert_null(batch_next(&in, &len));
}

Test(batch, cuts_what_is_longer_than_its_room)
{
    static uint8_t data[BATCH_SINGLE + 1];
    struct sockaddr_storage sa;
    socklen_t sa_len = addr_to_sockaddr(&peer_addr[0], &sa);
    size_t len;

    batch_in_init(&in, peer[0], BATCH_SINGLE, memory);
    cr_assert_eq(sendto(sender, data, sizeof data, 0, (struct sockaddr *)&sa, sa_len), sizeof data);
    cr_assert_eq(batch_read(&in), 1);
    cr_assert(batch_next(&in, &len));
    cr_assert_eq(len, BATCH_SINGLE);
}

/* ---- the wildcard --------------------------------------------------------------------------------- */

static int bound(const char *at, struct addr *is)
{
    cr_assert(addr_parse(at, is));
    return sockets_udp(is);
}

static void expect_from(int fd, const struct addr *from)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    uint8_t byte[8];

    cr_assert_gt(recvfrom(fd, byte, sizeof byte, MSG_DONTWAIT, (struct sockaddr *)&sa, &len), 0);
    struct addr src = addr_from_sockaddr(&sa);
    char a[ADDR_TEXT_MAX], b[ADDR_TEXT_MAX];
    cr_assert(addr_eq(&src, from), "%s, not %s", addr_format(&src, a, sizeof a),
              addr_format(from, b, sizeof b));
}

/* One of the host's addresses is asked; the answer, and a train of them, come from there. */
static void check_wildcard(const char *any, const char *client_at, const char *asked)
{
    static const uint8_t data[6] = "abcdef";
    struct sockaddr_storage sa;
    struct addr is, client, to;
    int fd = bound(any, &is), by = bound(client_at, &client);
    size_t len;

    cr_assert(addr_parse_ip(asked, is.port, &to));
    batch_in_init(&in, fd, BATCH_MERGED, memory);
    batch_out_init(&out, fd);
    socklen_t sa_len = addr_to_sockaddr(&to, &sa);
    cr_assert_eq(sendto(by, "?", 1, 0, (struct sockaddr *)&sa, sa_len), 1);
    cr_assert_eq(batch_read(&in), 1);
    cr_assert(batch_next(&in, &len));
    cr_assert(addr_ip_eq(&in.local, &to));
    out.from = in.local;
    batch_add(&out, &client, data, 2);
    batch_add(&out, &client, data + 2, 2); /* the second and third follow as a train */
    batch_add(&out, &client, data + 4, 2);
    cr_assert_eq(out.n, 1);
    out.from = (struct addr){0};
    batch_add(&out, &client, data, 1);
    cr_assert_eq(out.n, 2, "what leaves from elsewhere does not join them");
    batch_flush(&out);
    cr_assert_eq(out.sent, 4);
    for (int i = 0; i < 3; i++)
        expect_from(by, &to);
    close(fd);
    close(by);
}

Test(batch, a_wildcard_socket_tells_the_address_that_was_asked_and_sends_from_there)
{
    check_wildcard("0.0.0.0:0", "127.0.0.1:0", "127.0.0.2");
    check_wildcard("0.0.0.0:0", "127.0.0.3:0", "127.0.0.4");
    check_wildcard("[::]:0", "[::1]:0", "::1");
}

Test(batch, a_socket_of_one_address_is_told_nothing)
{
    struct sockaddr_storage sa;
    size_t len;

    batch_in_init(&in, peer[0], BATCH_SINGLE, memory);
    socklen_t sa_len = addr_to_sockaddr(&peer_addr[0], &sa);
    cr_assert_eq(sendto(sender, "?", 1, 0, (struct sockaddr *)&sa, sa_len), 1);
    cr_assert_eq(batch_read(&in), 1);
    cr_assert(batch_next(&in, &len));
    cr_assert_eq(in.local.len, 0);
}
