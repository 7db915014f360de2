/* intruder.c - see intruder.h. */
#include "tests/attack/intruder.h"

#include <criterion/criterion.h>
#include <sodium.h>

void intruder_meets(struct intruder *p, const struct addr *to)
{
    zsock_set_curve_serverkey_bin(p->sock, attack.join.coordinator_key);
    zsock_set_curve_publickey_bin(p->sock, p->id.b);
    zsock_set_curve_secretkey_bin(p->sock, p->secret);
    cr_assert_eq(zsock_connect(p->sock, "tcp://" SUITE_IP ":%u", to->port), 0);
}

void intruder_go(struct intruder *p, const struct addr *to)
{
    zsock_destroy(&p->sock);
    p->sock = attack_zsock(ZMQ_DEALER);
    intruder_meets(p, to);
}

void intruder_say(struct intruder *p, const struct msg *m)
{
    static char body[MSG_SIZE_MAX];
    size_t len = msg_encode(m, body);

    cr_assert_eq(zsock_send(p->sock, "sb", msg_name[m->type], body, len), 0);
}

bool intruder_hear(struct intruder *p, struct msg *m, int ms)
{
    zsock_set_rcvtimeo(p->sock, ms);
    zmsg_t *raw = zmsg_recv(p->sock);
    if (!raw)
        return false;
    char *type = zmsg_popstr(raw);
    zframe_t *body = zmsg_first(raw);
    cr_assert_eq(msg_decode(m, type, (const char *)zframe_data(body), zframe_size(body), NULL),
                 MSG_OK);
    zstr_free(&type);
    zmsg_destroy(&raw);
    return true;
}

bool intruder_hear_a(struct intruder *p, enum msg_type type, struct msg *m)
{
    while (intruder_hear(p, m, ATTACK_PATIENCE_MS))
        if (m->type == type)
            return true;
    return false;
}

struct msg intruder_attach_as(const char *name)
{
    struct msg m = {.type = MSG_attach};

    msg_text(m.attach.name, sizeof m.attach.name, name);
    m.attach.modes = 1;
    m.attach.seq = 1;
    return m;
}

bool intruder_enrols(struct intruder *p, const uint8_t token[static JOIN_TOKEN_BYTES])
{
    struct msg m = {.type = MSG_enrol};

    m.enrol.token.len = JOIN_TOKEN_BYTES;
    memcpy(m.enrol.token.b, token, JOIN_TOKEN_BYTES);
    intruder_say(p, &m);
    return intruder_hear_a(p, MSG_enrolled, &m) && m.enrolled.kind[0] == '\0';
}

struct intruder intruder_open(void)
{
    struct intruder p = {.sock = NULL};

    crypto_box_keypair(p.id.b, p.secret);
    intruder_go(&p, &attack.join.enrol[0]);
    cr_assert(intruder_enrols(&p, attack.join.token));
    intruder_go(&p, &attack.join.front[0]);
    return p;
}

struct intruder intruder_attached(const char *name)
{
    struct intruder p = intruder_open();
    struct msg m = intruder_attach_as(name);

    intruder_say(&p, &m);
    cr_assert(intruder_hear_a(&p, MSG_attached, &m));
    cr_assert_str_eq(m.attached.kind, "");
    return p;
}

void intruder_waits(struct intruder *p)
{
    struct msg m = {.type = MSG_punch_request};

    msg_text(m.punch_request.target, sizeof m.punch_request.target, "nobody-has-this");
    m.punch_request.timeout_ms = 5000;
    intruder_say(p, &m);
    cr_assert(intruder_hear_a(p, MSG_punch_refused, &m));
}
