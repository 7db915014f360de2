/*
 * prober_bed.h - a prober's core on the bench, of two addresses with two ports each: it is asked, and what it answers
 * becomes a line of text.
 */
#ifndef PROBER_BED_H
#define PROBER_BED_H

#include "lib/token.h"
#include "services/prober/prober.h"

struct prober_bed {
    struct prober core;
    struct prober_conf conf;
    struct outputs out; /* of the last step */
    int64_t now_us;
    struct addr client; /* whose requests they are */
    char said[512];     /* the answers to the last one: "a1p2>203.0.113.5:4000 32 mapped=..." */
    struct stun answer; /* the last of them, parsed */
    size_t answer_len;
};

void prober_bed_init(struct prober_bed *b);
/* A new prober under b->conf that has so many sockets, two to an address. */
void prober_bed_addresses(struct prober_bed *b, uint8_t n);

/* Feed bytes, or a request, to socket sock; the request's size. */
void prober_bed_feed(struct prober_bed *b, uint8_t sock, const void *data, size_t len);
size_t prober_bed_ask(struct prober_bed *b, uint8_t sock, const struct stun *m);

struct stun prober_bed_request(void);
struct stun prober_bed_change_request(uint32_t flags);
struct stun prober_bed_token_request(void); /* with room for a cookie */

#define expect(b, text) cr_assert_str_eq((b)->said, text)

#endif
