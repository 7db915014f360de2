/* admin_shell.h - the coordinator's admin verbs: views of its core as JSON, and the operator's cancel. */
#ifndef COORDINATOR_ADMIN_SHELL_H
#define COORDINATOR_ADMIN_SHELL_H

#include "lib/admin.h"
#include "services/coordinator/coordinator.h"

/* Verbs: health, state, stats, sessions [pending], session SID, explain SID, peers, peer ID|NAME, relays,
 * cancel SID. */
void coordinator_admin_open(struct service *svc, const char *path, const struct coordinator *core);
void coordinator_admin_close(void);

/* explain_shell.c: one session, as `session` and `explain` show it. */
json_t *coordinator_session_json(const struct coordinator *c, const struct coordinator_session *s,
                                 int64_t now_us);
json_t *coordinator_explain_json(const struct coordinator *c, const struct coordinator_session *s,
                                 int64_t now_us);
json_t *coordinator_profile_json(const struct profile *p);
json_t *coordinator_addr_json(const struct addr *a); /* null when there is none */

#endif
