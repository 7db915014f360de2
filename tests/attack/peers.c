/*
 * peers.c - a hostile coordinator tries to have Alice send packets to a stranger.
 */
#include "tests/attack/alice.h"

#include "lib/strategy.h"
#include "lib/ticket.h"
#include "lib/token.h"

#include <criterion/criterion.h>
#include <sodium.h>

enum { LIFE = 64, OLD_MS = 180000 };

/*
 * How many packets go to the victim, or to nobody's address, of n orders.  A session that is over holds its place
 * for a while, and who has taken all places gets no further: so a few orders for each life of Alice's.
 */
static uint64_t aimed_at(unsigned n, void (*open)(void),
                         void (*spoil)(struct msg_punch_coordinate *m, unsigned i))
{
    uint64_t before = attack_sent("alice", "victim") + attack_astray();

    for (unsigned i = 0; i < n; i++) {
        if (i % LIFE == 0)
            open();
        struct msg m = alice_call();
        spoil(&m.punch_coordinate, i);
        alice_give(&m);
        if (i % LIFE == LIFE - 1 || i + 1 == n) {
            alice_barrier();
            alice_close();
        }
    }
    return attack_sent("alice", "victim") + attack_astray() - before;
}

static void open_for_all(void) { alice_open("anyone"); }

static uint64_t aimed(unsigned n, void (*spoil)(struct msg_punch_coordinate *m, unsigned i))
{
    return aimed_at(n, open_for_all, spoil);
}

static void set_token(struct msg_punch_coordinate *m, const struct addr *where)
{
    m->theirs.v[0] = alice_token(&m->peer, where, 0, attack.prober_secret);
}

/* ---- the attacks ---------------------------------------------------------------------------------------- */

static void spoil_signature(struct msg_punch_coordinate *m, unsigned i)
{
    set_token(m, &attack.victim);
    m->theirs.v[0].b[TOKEN_BYTES - 1 - i % 64] ^= (uint8_t)(1u << i % 8);
}
static uint64_t forged_token(unsigned n) { return aimed(n, spoil_signature); }

static void spoil_age(struct msg_punch_coordinate *m, unsigned i)
{
    m->theirs.v[0] =
        alice_token(&m->peer, &attack.victim, OLD_MS + (int64_t)i * 1000, attack.prober_secret);
}
static uint64_t old_token(unsigned n) { return aimed(n, spoil_age); }

static void spoil_owner(struct msg_punch_coordinate *m, unsigned i)
{
    struct peer_id other = m->peer;

    other.b[i % 32] ^= (uint8_t)(1u << i % 8);
    m->theirs.v[0] = alice_token(&other, &attack.victim, 0, attack.prober_secret);
}
static uint64_t token_of_another_peer(unsigned n) { return aimed(n, spoil_owner); }

static void spoil_kind(struct msg_punch_coordinate *m, unsigned i)
{
    static const uint8_t nets[][2] = {
        {10,  0  },
        {192, 168},
        {172, 16 },
        {169, 254},
        {100, 64 },
        {224, 1  },
        {240, 1  },
        {192, 88 }
    };
    struct addr inside =
        addr_v4(nets[i % 8][0], nets[i % 8][1], i % 8 == 7 ? 99 : 3, 4, (uint16_t)(1024 + i));

    set_token(m, &inside);
}
static uint64_t address_inside_a_network(unsigned n) { return aimed(n, spoil_kind); }

static void spoil_local(struct msg_punch_coordinate *m, unsigned i)
{
    m->plan.v[0].technique = TECHNIQUE_HOST;
    m->their_local = attack.victim;
    m->their_local.port = (uint16_t)(1024 + i);
}
static uint64_t local_address_of_a_stranger(unsigned n) { return aimed(n, spoil_local); }

static void spoil_relay(struct msg_punch_coordinate *m, unsigned i)
{
    m->relay = attack.victim;
    m->relay.port = (uint16_t)(1024 + i);
    m->ticket.len = TICKET_BYTES;
    m->policy = POLICY_RELAY;
    m->theirs.n = 0;
    m->plan.v[0].technique = TECHNIQUE_RELAYED;
    m->places.n = 1; /* for another ip */
    m->places.v[0] = attack.places.v[0];
    m->places.v[0].ip = attack.victim;
}
static uint64_t relay_at_a_stranger(unsigned n) { return aimed(n, spoil_relay); }

static void spoil_side(struct msg_punch_coordinate *m, unsigned i)
{
    m->side = 0;
    m->nonce = 1 + i;
    set_token(m, &attack.victim); /* a place of its own, to tell these packets apart */
}
static uint64_t answer_to_no_request(unsigned n) { return aimed(n, spoil_side); }

/* A prober that another authority certified, and its word. */
static uint8_t false_secret[64];

static void spoil_prober(struct msg_punch_coordinate *m, unsigned i)
{
    (void)i;
    m->theirs.v[0] = alice_token(&m->peer, &attack.victim, 0, false_secret);
}

static void open_with_false_prober(void)
{
    uint8_t authority[64], public_key[32];

    crypto_sign_keypair(public_key, authority);
    alice_open("anyone");
    struct msg more = alice_answer;
    struct prober_info *p = &more.attached.probers.v[more.attached.probers.n++];
    *p = attack.prober;
    crypto_sign_keypair(p->key, false_secret);
    cert_sign('p', p->key, authority, p->cert);
    alice_tell(&more);
}

static uint64_t prober_of_another_authority(unsigned n)
{
    return aimed_at(n, open_with_false_prober, spoil_prober);
}

/* With each message one that is elsewhere; and each makes her probe anew, as far as she does. */
static uint64_t prober_at_a_stranger(unsigned n)
{
    alice_open("anyone");
    uint64_t before = attack_sent("alice", "victim");
    for (unsigned i = 0; i < n; i++) {
        struct msg m = alice_answer, gone = {.type = MSG_detached};
        for (unsigned k = 0; k < 4; k++) {
            m.attached.probers.v[0].addrs[k] = attack.victim;
            m.attached.probers.v[0].addrs[k].port = (uint16_t)(1024 + i + k);
        }
        m.attached.relays = m.attached.probers;
        m.attached.places.v[0].ip = attack.victim;
        alice_answer = m; /* also to what she asks because of this: */
        msg_text(gone.detached.kind, sizeof gone.detached.kind, "unknown");
        alice_tell(&gone);
        alice_wait_for(MSG_attach);
    }
    alice_barrier();
    uint64_t sent = attack_sent("alice", "victim") - before;
    alice_close();
    return sent;
}

/* Her own policy says that nobody may call her. */
static uint64_t call_to_who_takes_none(unsigned n)
{
    struct msg m;

    alice_open("nobody");
    uint64_t before = attack_sent("alice", "victim");
    for (unsigned i = 0; i < n; i++) {
        m = alice_call();
        set_token(&m.punch_coordinate, &attack.victim);
        alice_give(&m);
        if (i % LIFE != LIFE - 1 && i + 1 != n)
            continue;
        m = alice_call();
        m.punch_coordinate.side = 5; /* is refused, by anybody and after all that has been taken */
        alice_tell(&m);
        do
            alice_wait_for(MSG_punch_cancel);
        while (!sid_eq(&alice_heard.punch_cancel.session, &m.punch_coordinate.session));
    }
    uint64_t sent = attack_sent("alice", "victim") - before;
    alice_close();
    return sent;
}

/* One key takes all her places, and an honest call from elsewhere finds none. */
static uint64_t slots_by_one_key(unsigned n)
{
    struct msg m, last;
    uint8_t secret[32];
    struct addr elsewhere = addr_v4(198, 51, 100, 3, 4000);
    uint64_t refused = 0;

    alice_open("anyone");
    for (unsigned i = 0; i < n; i++) {
        m = alice_call();
        alice_tell(&m);
    }
    m = alice_call();
    crypto_box_keypair(m.punch_coordinate.peer.b, secret);
    set_token(&m.punch_coordinate, &elsewhere);
    alice_tell(&m);
    last = alice_call();
    last.punch_coordinate.side = 5; /* is refused, by anybody and after all that has been taken */
    alice_tell(&last);
    do {
        alice_wait_for(MSG_punch_cancel);
        refused += sid_eq(&alice_heard.punch_cancel.session, &m.punch_coordinate.session);
    } while (!sid_eq(&alice_heard.punch_cancel.session, &last.punch_coordinate.session));
    alice_close();
    return refused;
}

const struct attack attack_on_peers[] = {
    {"forged-token",                forged_token,                64,  2000},
    {"old-token",                   old_token,                   64,  2000},
    {"token-of-another-peer",       token_of_another_peer,       64,  2000},
    {"address-inside-a-network",    address_inside_a_network,    64,  2000},
    {"local-address-of-a-stranger", local_address_of_a_stranger, 64,  2000},
    {"relay-at-a-stranger",         relay_at_a_stranger,         64,  2000},
    {"answer-to-no-request",        answer_to_no_request,        64,  2000},
    {"prober-of-another-authority", prober_of_another_authority, 64,  2000},
    {"prober-at-a-stranger",        prober_at_a_stranger,        4,   40  },
    {"call-to-who-takes-none",      call_to_who_takes_none,      64,  2000},
    {"slots-by-one-key",            slots_by_one_key,            200, 1000},
    {NULL,                          NULL,                        0,   0   },
};
