/*
 * check_shell.h - the coordinator tries its own front door: a key that nobody knows has to be refused, and a key
 * that only this process has to be let in.  CURVE fails open when the ZAP handler is not asked, and nothing
 * else would show it.
 *
 * Tried at the start and from then on every so often.  The process ends with a line when a stranger was let
 * in, when its own key was refused, or when CHECK_MISSES_MAX tries in a row had no answer.
 */
#ifndef CHECK_SHELL_H
#define CHECK_SHELL_H

#include "lib/service.h"

enum { CHECK_LIMIT_MS = 10000, CHECK_MISSES_MAX = 6, CHECK_ENDPOINT_MAX = 128 };

struct check_conf {
    char endpoint
        [CHECK_ENDPOINT_MAX]; /* of the door: ipc, so that no packet and no descriptor limit of peers matters */
    uint8_t server_key[32];
    int64_t every_us;
    void (*serve)(
        void); /* answer what waits for the ZAP handler, while the first try is waited for */
};

/* Try, and do so again while the service runs.  Dies with a line when the door is not as it should be. */
void check_open(struct service *s, const struct check_conf *conf);
void check_close(void);

/* Is this the key that has to be let in, or the last one that must not be? */
bool check_is_own(const struct peer_id *key);
bool check_is_stranger(const struct peer_id *key);

uint64_t check_passed(void); /* tries */

#endif
