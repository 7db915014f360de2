/* zap.c - see zap.h. */
#include "lib/zap.h"
#include "lib/bytes.h"
#include "lib/log.h"

#include <string.h>

enum {
    ENFORCE_DOMAIN = 93, /* libzmq has it since 4.3.1, but its header only as a draft */
    ENVELOPE = 2,        /* who asks, and an empty frame */
    FRAMES = 7,
};
#define ENDPOINT "inproc://zeromq.zap.01"

zsock_t *zap_open(void)
{
    zsock_t *zap = zsock_new(ZMQ_ROUTER);

    zsock_set_linger(zap, 0);
    zsock_set_rcvtimeo(zap, 0); /* nobody may keep the loop waiting */
    zsock_set_sndtimeo(zap, 0);
    if (zsock_bind(zap, ENDPOINT) != 0)
        die("event=no_zap why=\"%s\"", zmq_strerror(errno));
    return zap;
}

void zap_enforce(zsock_t *sock, const char *domain)
{
    int on = 1;

    zsock_set_zap_domain(sock, domain);
    if (zmq_setsockopt(zsock_resolve(sock), ENFORCE_DOMAIN, &on, sizeof on) != 0)
        die("event=no_zap why=\"this libzmq can't enforce ZAP\"");
}

/* version, request id, domain, address, identity, mechanism, key */
static bool parse(zmsg_t *raw, struct zap_request *out)
{
    char *text[FRAMES] = {out->id, out->id, out->domain, NULL, NULL, out->mechanism, NULL};
    zframe_t *f = zmsg_first(raw);

    if (zframe_size(f) > sizeof out->from)
        return false;
    out->from_len = (uint8_t)zframe_size(f);
    memcpy(out->from, zframe_data(f), out->from_len);
    if (zmsg_size(raw) != ENVELOPE + FRAMES || zframe_size(zmsg_next(raw)) != 0)
        return false;
    f = zmsg_next(raw);
    for (size_t i = 0; i < FRAMES; i++, f = zmsg_next(raw)) {
        size_t len = zframe_size(f);
        if (i == 0 && !zframe_streq(f, "1.0"))
            return false;
        if (i == FRAMES - 1) {
            if (len != sizeof out->key.b)
                return false;
            memcpy(out->key.b, zframe_data(f), len);
        } else if (text[i]) {
            if (len >= ZAP_FRAME_MAX)
                return false;
            memcpy(text[i], zframe_data(f), len);
            text[i][len] = '\0';
        }
    }
    return strcmp(out->mechanism, "CURVE") == 0;
}

bool zap_receive(zsock_t *zap, struct zap_request *out, uint64_t *malformed)
{
    zmsg_t *raw = zmsg_recv(zap);

    if (!raw)
        return false;
    *out = (struct zap_request){.id = ""};
    bool ok = parse(raw, out);
    zmsg_destroy(&raw);
    if (!ok) {
        ++*malformed;
        zap_answer(zap, out, NULL);
    }
    return ok;
}

static void answer(zsock_t *zap, const struct zap_request *r, const char *status, const char *text,
                   const char *user, const void *metadata, size_t len)
{
    zsock_send(zap, "bssssssb", r->from, (size_t)r->from_len, "", "1.0", r->id, status, text, user,
               metadata, len);
}

void zap_answer(zsock_t *zap, const struct zap_request *r, const char *user)
{
    if (user)
        answer(zap, r, "200", "OK", user, "", 0);
    else
        answer(zap, r, "400", "not enrolled", "", "", 0);
}

void zap_admit(zsock_t *zap, const struct zap_request *r, const char *user, const uint8_t *id,
               size_t id_len)
{
    static const char name[] = "Identity"; /* a property as ZMTP has them (ZeroMQ RFC 23) */
    enum { NAME = sizeof name - 1 };
    uint8_t property[1 + NAME + 4 + UINT8_MAX] = {NAME};

    assert(id_len <= UINT8_MAX);
    memcpy(property + 1, name, NAME);
    put_u32(property + 1 + NAME, (uint32_t)id_len);
    memcpy(property + 1 + NAME + 4, id, id_len);
    answer(zap, r, "200", "OK", user, property, 1 + NAME + 4 + id_len);
}

void zap_put_off(zsock_t *zap, const struct zap_request *r)
{
    answer(zap, r, "300", "not known yet", "", "", 0);
}
