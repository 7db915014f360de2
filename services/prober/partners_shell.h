/*
 * partners_shell.h - the prober's links to probers on other hosts: how they are named, opened and told of.
 *
 * Each is known by one key, that of its tokens (Ed25519); CURVE's is made from it, as libsodium does.
 */
#ifndef PROBER_PARTNERS_SHELL_H
#define PROBER_PARTNERS_SHELL_H

#include "lib/service_link.h"
#include "services/prober/prober.h"

#include <jansson.h>

/*
 * Read "IP:PORT" (NULL: none) and "KEY@IP:PORT,..." (NULL: none) into both.  Dies with a line on what is
 * wrong with them.
 */
void partners_parse(const char *listen, const char *list, struct service_link_conf *links,
                    struct prober_conf *conf);

/* Open the links, when there are any; conf has the prober's keys. */
void partners_open(struct service *s, struct service_link_conf *links,
                   const struct prober_conf *conf);
void partners_close(const struct prober_conf *conf);

/* Say in the log when another address, or none, is borrowed than the last time. */
void partners_log(const struct prober *p);

/* For `state`: an object for each. */
json_t *partners_state(const struct prober *p);

#endif
