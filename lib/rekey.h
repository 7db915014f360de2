/*
 * rekey.h - the data keys of a path over time: each is used for REKEY_PACKETS packets or REKEY_EVERY_US, then
 * for no other, so that who takes a peer's memory reads nothing that was sent before that.
 *
 * A packet's counter says which key sealed it: counter / REKEY_PACKETS is the key's number.  Key n + 1 is
 * made from key n as Noise's Rekey() makes it (revision 34, section 4.2), and n is wiped.  A sender whose key
 * has had its time goes on with the first counter of the next; so nothing is said about it, and a receiver
 * follows whatever was lost in between.  Pure.
 */
#ifndef REKEY_H
#define REKEY_H

#include "lib/packet.h"

enum {
    REKEY_BITS = 20,
    REKEY_AHEAD_MAX =
        64, /* keys that a receiver goes forward at once: hours of silence, and little work */
};
#define REKEY_PACKETS (UINT64_C(1) << REKEY_BITS)
#define REKEY_EVERY_US (INT64_C(120) * 1000000)

struct rekey_send {
    uint8_t key[32];
    uint64_t counter; /* of the last packet sealed */
    int64_t next_us;  /* when this key has had its time; 0 before the first packet */
};

struct rekey_receive {
    uint8_t key[32], before[32]; /* the newest one seen, and for stragglers the one before it */
    uint64_t number;             /* of key */
    bool has_before;
    struct replay replay;
};

/* From Split()'s keys, with number 0. */
void rekey_start(struct rekey_send *s, struct rekey_receive *r, const uint8_t send[static 32],
                 const uint8_t receive[static 32]);

/* As data_seal, with the counter and key that are due. */
size_t rekey_seal(struct rekey_send *s, int64_t now_us, enum data_kind kind, const uint8_t *payload,
                  size_t len, const struct path_id *to, uint8_t out[static DATA_BYTES_MAX]);

/* As data_open; REKEY_REPLAYED for a packet that was seen, or is too old to know. */
enum { REKEY_FORGED = -1, REKEY_REPLAYED = -2 };
int rekey_open(struct rekey_receive *r, const uint8_t *data, size_t len, uint8_t *kind,
               uint8_t payload[static PAYLOAD_MAX]);

/* The next key in this one's place. */
void rekey_next(uint8_t key[static 32]);

#endif
