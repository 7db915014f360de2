/*
 * relays_shell.h - relays on other hosts: who of them reaches this coordinator by its link (lib/service_link.h).
 *
 * Each is known by one key, that which it is certified by; it is CURVE's as well, so that nobody says hello for
 * another relay.  Tickets are sealed to keys of a day that follow from it (lib/ticket.h).  Nothing is said to them.
 */
#ifndef COORDINATOR_RELAYS_SHELL_H
#define COORDINATOR_RELAYS_SHELL_H

#include "lib/service_link.h"
#include "services/coordinator/coordinator.h"

enum { RELAYS_ERROR_MAX = 256 };

/*
 * Read "IP:PORT" (NULL: no link) and "KEY[,KEY...]" (NULL: none yet), keys as `natterjack relays` has them.
 * False, with a sentence in err, when that can't be.
 */
bool relays_parse(const char *listen, const char *keys, struct service_link_conf *links,
                  char err[static RELAYS_ERROR_MAX]);

/* Open the link, when there is one, under the coordinator's key; the front, which has the ZAP handler, is open. */
void relays_open(struct service *s, const struct service_link_conf *links,
                 const uint8_t secret[static LINK_KEY]);
void relays_close(void);

/* Say in the log of a relay that has begun to drain whether its sessions have where to go. */
void relays_log(const struct coordinator *c);

#endif
