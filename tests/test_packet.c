/* test_packet.c - punch, pong, data and relay control: round trips, and every way not to be one. */
#include "lib/packet.h"
#include "lib/relaywire.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

static const struct sid session =
                            {
                                {1, 2, 3, 4}
},
                        other_session = {{1, 2, 3, 5}};
static const uint8_t key[32] = {42}, other_key[32] = {43};
static struct path_id to;

static void setup(void)
{
    cr_assert_geq(sodium_init(), 0);
    to = path_id(&session, 1);
}

TestSuite(packet, .init = setup, .timeout = 20);

static struct punch a_pong(void)
{
    struct punch p = {.type = PACKET_PONG,
                      .counter = 0x0102030405060708,
                      .echo = UINT64_MAX,
                      .technique = 3,
                      .flags = PUNCH_HAS_NOISE | PUNCH_CONFIRMED,
                      .seen = addr_v4(192, 0, 2, 7, 4242)};

    memset(p.noise, 0xab, sizeof p.noise);
    return p;
}

static void expect_same(const struct punch *a, const struct punch *b)
{
    cr_assert_eq(a->type, b->type);
    cr_assert_eq(a->counter, b->counter);
    cr_assert_eq(a->echo, b->echo);
    cr_assert_eq(a->technique, b->technique);
    cr_assert_eq(a->flags, b->flags);
    cr_assert_arr_eq(a->noise, b->noise, sizeof a->noise);
    cr_assert(addr_eq(&a->seen, &b->seen));
}

Test(packet, path_ids_differ_by_side_and_session)
{
    struct path_id same = path_id(&session, 1), side0 = path_id(&session, 0),
                   session2 = path_id(&other_session, 1);

    cr_assert_arr_eq(&to, &same, sizeof to);
    cr_assert_arr_neq(&to, &side0, sizeof to);
    cr_assert_arr_neq(&to, &session2, sizeof to);
}

Test(packet, punch_and_pong_survive_the_round_trip)
{
    uint8_t wire[PUNCH_BYTES];
    struct punch p = a_pong(), back;
    struct packet_head head;

    punch_seal(&p, &to, key, wire);
    cr_assert(punch_open(wire, sizeof wire, key, &back));
    expect_same(&p, &back);
    cr_assert(packet_head(wire, sizeof wire, &head));
    cr_assert(head.type == PACKET_PONG && head.counter == p.counter);
    cr_assert_arr_eq(&head.path, &to, sizeof to);

    p.type = PACKET_PUNCH;
    p.seen = (struct addr){0};
    punch_seal(&p, &to, key, wire);
    cr_assert(punch_open(wire, sizeof wire, key, &back));
    expect_same(&p, &back);

    cr_assert(addr_parse("[2001:db8::9]:65535", &p.seen));
    punch_seal(&p, &to, key, wire);
    cr_assert(punch_open(wire, sizeof wire, key, &back));
    expect_same(&p, &back);
}

Test(packet, a_changed_byte_of_a_punch_is_refused)
{
    uint8_t wire[PUNCH_BYTES];
    struct punch p = a_pong(), back;

    punch_seal(&p, &to, key, wire);
    for (size_t i = 0; i < sizeof wire; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            wire[i] ^= (uint8_t)(1u << bit);
            cr_assert_not(punch_open(wire, sizeof wire, key, &back), "byte %zu bit %u", i, bit);
            wire[i] ^= (uint8_t)(1u << bit);
        }
    }
    cr_assert_not(punch_open(wire, sizeof wire, other_key, &back));
    cr_assert(punch_open(wire, sizeof wire, key, &back));
}

Test(packet, a_punch_of_another_length_is_refused)
{
    uint8_t wire[PUNCH_BYTES + 1] = {0};
    struct punch p = a_pong(), back;
    struct packet_head head;

    punch_seal(&p, &to, key, wire);
    for (size_t len = 0; len <= sizeof wire; len++)
        if (len != PUNCH_BYTES) {
            cr_assert_not(punch_open(wire, len, key, &back), "length %zu", len);
            cr_assert_not(packet_head(wire, len, &head), "length %zu", len);
        }
}

Test(packet, both_peers_compute_the_same_two_punch_keys)
{
    uint8_t a[32] = {8}, b[32] = {16}, a0[32], a1[32], b0[32], b1[32];
    struct peer_id a_id, b_id;

    crypto_scalarmult_base(a_id.b, a);
    crypto_scalarmult_base(b_id.b, b);
    cr_assert(punch_keys(a, &b_id, &session, a0, a1));
    cr_assert(punch_keys(b, &a_id, &session, b0, b1));
    cr_assert_arr_eq(a0, b0, 32);
    cr_assert_arr_eq(a1, b1, 32);
    cr_assert_arr_neq(a0, a1, 32);

    cr_assert(punch_keys(b, &a_id, &other_session, b0, b1));
    cr_assert_arr_neq(a0, b0, 32);
    cr_assert_arr_neq(a1, b1, 32);
}

Test(packet, punch_keys_refuse_a_remote_key_of_small_order)
{
    static const uint8_t secret[32] = {1};
    static const struct peer_id zero, one = {{1}};
    uint8_t k0[32], k1[32];

    cr_assert_not(punch_keys(secret, &zero, &session, k0, k1));
    cr_assert_not(punch_keys(secret, &one, &session, k0, k1));
}

Test(packet, data_of_every_length_survives_the_round_trip)
{
    static uint8_t payload[PAYLOAD_MAX], wire[DATA_BYTES_MAX], back[PAYLOAD_MAX];
    uint8_t kind;

    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 7);
    for (size_t len = 0; len <= PAYLOAD_MAX; len++) {
        enum data_kind k = (enum data_kind)(len % 4);
        size_t n = data_seal(k, payload, len, len + 1, &to, key, wire);
        cr_assert_eq(n, DATA_OVERHEAD + len);
        cr_assert_eq(data_open(wire, n, key, &kind, back), (int)len);
        cr_assert_eq(kind, k);
        cr_assert_arr_eq(back, payload, len);
    }
    cr_assert_eq(DATA_BYTES_MAX, DATA_OVERHEAD + PAYLOAD_MAX);
}

Test(packet, changed_cut_or_padded_data_is_refused)
{
    static uint8_t wire[DATA_BYTES_MAX + 1], back[PAYLOAD_MAX];
    static const uint8_t payload[40] = {9};
    uint8_t kind;
    size_t n = data_seal(DATA_APP, payload, sizeof payload, 5, &to, key, wire);

    for (size_t i = 0; i < n; i++) {
        wire[i] ^= 0x10;
        cr_assert_eq(data_open(wire, n, key, &kind, back), -1, "byte %zu", i);
        wire[i] ^= 0x10;
    }
    for (size_t len = 0; len <= sizeof wire; len++)
        if (len != n)
            cr_assert_eq(data_open(wire, len, key, &kind, back), -1, "length %zu", len);
    cr_assert_eq(data_open(wire, n, other_key, &kind, back), -1);
    cr_assert_eq(data_open(wire, n, key, &kind, back), sizeof payload);
}

Test(packet, one_kind_is_never_taken_for_another)
{
    uint8_t wire[DATA_BYTES_MAX], payload[PAYLOAD_MAX], kind;
    struct punch p = a_pong(), back;
    struct packet_head head;

    p.echo = 0; /* so that its body could pass for data */
    punch_seal(&p, &to, key, wire);
    cr_assert_eq(data_open(wire, PUNCH_BYTES, key, &kind, payload), -1);
    memset(payload, 0, sizeof payload);
    size_t n = data_seal(DATA_APP, payload, PUNCH_BODY - 1, 1, &to, key, wire);
    cr_assert_eq(n, PUNCH_BYTES);
    cr_assert_not(punch_open(wire, n, key, &back));

    n = data_seal(DATA_KINDS, payload, 0, 1, &to, key, wire);
    cr_assert_eq(data_open(wire, n, key, &kind, payload), -1, "authentic, but of no known kind");
    for (unsigned type = 0; type < 256; type++) {
        wire[0] = (uint8_t)type;
        cr_assert_eq(packet_head(wire, PUNCH_BYTES, &head),
                     type == PACKET_PUNCH || type == PACKET_PONG || type == PACKET_DATA);
    }
}

/* ---- replay --------------------------------------------------------------------------------- */

static struct replay window;

TestSuite(replay, .timeout = 20);

Test(replay, takes_each_counter_once_in_any_order)
{
    for (uint64_t c = 2; c <= 5001; c++) /* in swapped pairs: 3 2 5 4 ... */
        cr_assert(replay_accept(&window, c ^ 1), "%lu", (unsigned long)(c ^ 1));
    for (uint64_t c = 2; c <= 5001; c++)
        cr_assert_not(replay_accept(&window, c), "%lu", (unsigned long)c);
}

Test(replay, never_takes_zero)
{
    cr_assert_not(replay_accept(&window, 0));
    cr_assert(replay_accept(&window, 1));
    cr_assert_not(replay_accept(&window, 0));
}

Test(replay, reaches_back_exactly_its_window)
{
    cr_assert(replay_accept(&window, 10000));
    cr_assert_not(replay_accept(&window, 10000 - REPLAY_WINDOW));
    cr_assert(replay_accept(&window, 10000 - REPLAY_WINDOW + 1));
    cr_assert_not(replay_accept(&window, 10000 - REPLAY_WINDOW + 1));
    cr_assert(replay_accept(&window, 10001));
    cr_assert_not(replay_accept(&window, 10000 - REPLAY_WINDOW + 1));
    cr_assert(replay_accept(&window, 9999));
}

/* Jumps around the window's size forget what was before and nothing that is still inside. */
Test(replay, survives_jumps_of_every_size)
{
    for (uint64_t jump = 1; jump <= 3 * REPLAY_WINDOW; jump++) {
        uint64_t base = 7777;
        memset(&window, 0, sizeof window);
        for (uint64_t c = base - REPLAY_WINDOW + 1; c <= base; c++)
            cr_assert(replay_accept(&window, c));
        cr_assert(replay_accept(&window, base + jump));
        cr_assert_not(replay_accept(&window, base + jump));
        cr_assert_not(replay_accept(&window, base));
        if (jump > 1) { /* between: never seen */
            cr_assert(replay_accept(&window, base + jump - 1), "jump %lu", (unsigned long)jump);
            cr_assert_eq(replay_accept(&window, base + 1), jump > 2 && jump <= REPLAY_WINDOW,
                         "jump %lu", (unsigned long)jump);
        }
    }
}

Test(replay, works_up_to_the_last_counter)
{
    cr_assert(replay_accept(&window, 5));
    cr_assert(replay_accept(&window, UINT64_MAX - 1));
    cr_assert(replay_accept(&window, UINT64_MAX));
    cr_assert_not(replay_accept(&window, UINT64_MAX));
    cr_assert_not(replay_accept(&window, 6));
    cr_assert(replay_accept(&window, UINT64_MAX - REPLAY_WINDOW + 1));
    cr_assert_not(replay_accept(&window, UINT64_MAX - REPLAY_WINDOW));
    cr_assert_not(replay_accept(&window, 0));
}

/* The ring against a plain array, over random walks. */
Test(replay, agrees_with_a_simple_model)
{
    static bool seen[200000];
    uint64_t top = 0, random = 1;

    for (unsigned i = 0; i < 100000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t r = random >> 33;
        uint64_t c = r % 50 == 0 ? top + r / 64 % 300 : top + r / 64 % 8;
        c = c > r % 2200 ? c - (r % 3 ? r % 8 : r % 2200) : c;
        if (c >= sizeof seen)
            break;
        bool want = c > 0 && !seen[c] && (c > top || top - c < REPLAY_WINDOW);
        cr_assert_eq(replay_accept(&window, c), want, "step %u counter %lu", i, (unsigned long)c);
        seen[c] = seen[c] || want;
        top = want && c > top ? c : top;
    }
    cr_assert_gt(top, 10000);
}

/* ---- relay control -------------------------------------------------------------------------- */

TestSuite(relaywire, .timeout = 20);

static const size_t control_bytes[] = {[RELAY_BIND] = 2 + 8 + TICKET_BYTES,
                                       [RELAY_CHALLENGE] = 2 + 8 + 16,
                                       [RELAY_PROVE] = RELAY_CONTROL_MAX,
                                       [RELAY_BOUND] = 2 + 8 + 1,
                                       [RELAY_KEEP] = 2 + 8,
                                       [RELAY_KEPT] = 2 + 8 + 1,
                                       [RELAY_UNKNOWN] = 2 + 8,
                                       [RELAY_AGAIN] = RELAY_AGAIN_BYTES};

/* Encoding, parsing and encoding again gives the same bytes, so that no field was lost. */
Test(relaywire, every_op_survives_the_round_trip)
{
    struct relay_control c, back;
    uint8_t wire[RELAY_CONTROL_MAX], again[RELAY_CONTROL_MAX];

    for (uint8_t op = RELAY_BIND; op <= RELAY_AGAIN; op++) {
        memset(&c, 0x5a, sizeof c);
        memset(c.cookie, 0x11, sizeof c.cookie);
        memset(c.ticket, 0x22, sizeof c.ticket);
        c.op = op;
        c.status = RELAY_FULL;
        size_t n = relay_encode(&c, wire);
        cr_assert_eq(n, control_bytes[op]);
        cr_assert(relay_parse(wire, n, &back));
        cr_assert_eq(back.op, op);
        cr_assert_eq(relay_encode(&back, again), n);
        cr_assert_arr_eq(wire, again, n);
    }
}

Test(relaywire, takes_exact_lengths_and_known_ops_only)
{
    struct relay_control c;
    uint8_t wire[RELAY_CONTROL_MAX + 1] = {PACKET_RELAY};

    for (unsigned op = 0; op < 256; op++)
        for (size_t len = 0; len <= sizeof wire; len++) {
            bool known = op >= RELAY_BIND && op <= RELAY_AGAIN;
            wire[1] = (uint8_t)op;
            cr_assert_eq(relay_parse(wire, len, &c), known && len == control_bytes[op],
                         "op %u length %zu", op, len);
        }
    wire[0] = PACKET_PUNCH;
    wire[1] = RELAY_KEEP;
    cr_assert_not(relay_parse(wire, control_bytes[RELAY_KEEP], &c));
}

Test(relaywire, refuses_a_status_that_is_none)
{
    struct relay_control c = {.op = RELAY_BOUND, .status = RELAY_FULL + 1};
    uint8_t wire[RELAY_CONTROL_MAX];

    cr_assert_not(relay_parse(wire, relay_encode(&c, wire), &c));
}

Test(relaywire, answers_to_strangers_are_not_larger_than_what_they_answer)
{
    cr_assert_leq(control_bytes[RELAY_CHALLENGE], control_bytes[RELAY_BIND]);
    cr_assert_leq(control_bytes[RELAY_BOUND], control_bytes[RELAY_PROVE]);
    cr_assert_leq(control_bytes[RELAY_UNKNOWN], control_bytes[RELAY_KEEP]);
    cr_assert_leq(control_bytes[RELAY_AGAIN], DATA_OVERHEAD);
}
