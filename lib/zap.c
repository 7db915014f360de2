/* zap.c - see zap.h. */
#include "lib/zap.h"
#include "lib/log.h"

#include <string.h>

enum {
    ENFORCE_DOMAIN = 93, /* libzmq has it since 4.3.1, but its header only as a draft */
    FRAMES = 7,
};
#define ENDPOINT "inproc://zeromq.zap.01"

zsock_t *zap_open(void)
{
    zsock_t *zap = zsock_new(ZMQ_REP);

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

    if (zmsg_size(raw) != FRAMES)
        return false;
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

void zap_answer(zsock_t *zap, const struct zap_request *r, const char *user)
{
    zsock_send(zap, "ssssss", "1.0", r->id, user ? "200" : "400", user ? "OK" : "not enrolled",
               user ? user : "", "");
}

void zap_put_off(zsock_t *zap, const struct zap_request *r)
{
    zsock_send(zap, "ssssss", "1.0", r->id, "300", "not known yet", "", "");
}
