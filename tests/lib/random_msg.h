/* random_msg.h - messages of any type from a seed, for tests of what carries them. */
#ifndef RANDOM_MSG_H
#define RANDOM_MSG_H

#include "lib/msg.h"
#include "lib/rng.h"

/* Every field drawn at random within its limits; padding is zero, so that messages compare as bytes. */
struct msg msg_random(struct rng *r, enum msg_type type);

/* The same with every list, text and number as large as it can be. */
struct msg msg_random_full(struct rng *r, enum msg_type type);

/* msg_decode on a copy of the body of exactly its size, so that ASan sees the first byte past it. */
enum msg_err msg_decode_exact(struct msg *m, enum msg_type type, const void *body, size_t len,
                              const char **field);

#endif
