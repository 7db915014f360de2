/* caller.c - see caller.h. */
#include "tests/attack/caller.h"

#include "lib/service.h"
#include "lib/strategy.h"
#include "tests/attack/binding.h"

#include <criterion/criterion.h>
#include <sodium.h>

enum { LIFE_MS = 3600000 };

struct caller caller_new(void)
{
    struct caller c = {.order = alice_call()};
    const struct sid *sid = &c.order.punch_coordinate.session;

    cr_assert(punch_keys(attack.secret, &alice_id, sid, c.key[0], c.key[1]));
    c.own = path_id(sid, 0);
    c.alices = path_id(sid, 1);
    return c;
}

void caller_calls(struct caller *c) { alice_tell(&c->order); }

void caller_ends(struct caller *c)
{
    struct msg m = {.type = MSG_punch_cancel};

    m.punch_cancel.session = c->order.punch_coordinate.session;
    alice_tell(&m);
}

/* ---- punches ----------------------------------------------------------------------------------------------- */

struct punch caller_punch(struct caller *c, uint8_t type)
{
    struct punch p = {
        .type = type, .counter = ++c->counter, .technique = TECHNIQUE_SYNCHRONOUS, .flags = 0};

    rng_bytes(&attack.rng, &p.echo, sizeof p.echo);
    return p;
}

void caller_seal(const struct caller *c, const struct punch *p, uint8_t out[static PUNCH_BYTES])
{
    punch_seal(p, &c->alices, c->key[0], out);
}

bool caller_open(const struct caller *c, const uint8_t *data, size_t len, struct punch *out)
{
    struct packet_head head;

    return packet_head(data, len, &head) && memcmp(&head.path, &c->own, sizeof c->own) == 0 &&
           punch_open(data, len, c->key[1], out);
}

bool caller_hears(const struct caller *c, int fd, uint8_t type, struct punch *out, int ms)
{
    uint8_t data[2048];
    int64_t end = zclock_mono() + ms, left;

    while ((left = end - zclock_mono()) >= 0) {
        size_t n = attack_hear(fd, data, sizeof data, (int)left);
        if (n == 0)
            return false;
        if ((type == 0 || data[0] == type) && caller_open(c, data, n, out))
            return true;
    }
    return false;
}

/* ---- over the relay ---------------------------------------------------------------------------------------- */

/* What both sides must have been told alike, as services/executor/order.c has it. */
static size_t prologue(const struct msg_punch_coordinate *m, uint8_t hash[static 64])
{
    static const char label[] = "natterjack-session-1";
    crypto_generichash_blake2b_state st;
    uint8_t fixed[2] = {(uint8_t)m->mode, (uint8_t)m->policy};
    const struct msg_token_list *lists[2] = {&m->theirs, &m->own}; /* of side 0, of side 1 */

    crypto_generichash_blake2b_init(&st, NULL, 0, 64);
    crypto_generichash_blake2b_update(&st, (const uint8_t *)label, sizeof label);
    crypto_generichash_blake2b_update(&st, m->session.b, sizeof m->session.b);
    crypto_generichash_blake2b_update(&st, fixed, sizeof fixed);
    for (size_t s = 0; s < 2; s++) {
        crypto_generichash_blake2b_update(&st, &lists[s]->n, 1);
        for (size_t i = 0; i < lists[s]->n; i++) {
            crypto_generichash_blake2b_update(&st, &lists[s]->v[i].len, 1);
            crypto_generichash_blake2b_update(&st, lists[s]->v[i].b, lists[s]->v[i].len);
        }
    }
    crypto_generichash_blake2b_final(&st, hash, 64);
    return 64;
}

struct caller_path caller_relayed(struct caller *c)
{
    struct msg_punch_coordinate *m = &c->order.punch_coordinate;
    struct addr own_at;
    struct caller_path path = {.fd = attack_socket(&own_at)};
    uint8_t own[TICKET_BYTES], hash[64], ephemeral[32], sealed[PUNCH_BYTES], none[1];
    struct rekey_receive receive;
    struct noise noise;
    struct noise_keys keys;
    struct punch in, out = caller_punch(c, PACKET_PUNCH);

    binding_ticket(&m->session, 0, LIFE_MS, own);
    binding_ticket(&m->session, 1, LIFE_MS, m->ticket.b);
    m->ticket.len = TICKET_BYTES;
    m->relay = binding_relay();
    binding_bind(path.fd, own);
    rng_bytes(&attack.rng, ephemeral, sizeof ephemeral);
    noise_init(&noise, true, hash, prologue(m, hash), attack.secret, alice_id.b, ephemeral);
    cr_assert_eq(noise_write(&noise, NULL, 0, out.noise), NOISE_MSG);
    out.flags = PUNCH_HAS_NOISE;
    caller_calls(c);
    do { /* to each of hers a pong and a punch, whose pong has her part of the handshake */
        cr_assert(caller_hears(c, path.fd, 0, &in, ATTACK_PATIENCE_MS), "no punch");
        for (out.type = PACKET_PUNCH; out.type <= PACKET_PONG; out.type++) {
            out.counter = ++c->counter;
            out.echo = in.echo;
            caller_seal(c, &out, sealed);
            attack_udp(path.fd, &m->relay, sealed, sizeof sealed);
        }
    } while (!(in.flags & PUNCH_HAS_NOISE) || noise_read(&noise, in.noise, NOISE_MSG, none) != 0);
    noise_split(&noise, &keys);
    rekey_start(&path.send, &receive, keys.i2r, keys.r2i);
    return path;
}

void caller_says(struct caller *c, struct caller_path *p, enum data_kind kind, const void *payload,
                 size_t len)
{
    uint8_t data[DATA_BYTES_MAX];
    size_t n = rekey_seal(&p->send, service_now_us(), kind, payload, len, &c->alices, data);

    attack_udp(p->fd, &c->order.punch_coordinate.relay, data, n);
}
