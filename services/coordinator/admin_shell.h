/* admin_shell.h - the coordinator's admin verbs: views of its core as JSON, and what an operator orders. */
#ifndef COORDINATOR_ADMIN_SHELL_H
#define COORDINATOR_ADMIN_SHELL_H

#include "lib/admin.h"
#include "services/coordinator/coordinator.h"

/* Verbs: health, state, stats, sessions [pending], session SID, explain SID, peers, peer ID|NAME, relays, coordinators,
 * release NAME, cancel SID, coordinate A B POLICY TIMEOUT-MS. */
void coordinator_admin_open(struct service *svc, const char *path, const struct coordinator *core);
void coordinator_admin_close(void);

/* operator_shell.c: the answers to `cancel` and `coordinate`, which the core carries out afterwards. */
void coordinator_operator_open(struct service *svc);
void coordinator_operator_close(void);
json_t *coordinator_operator_cancel(const struct coordinator_session *s);
json_t *coordinator_operator_coordinate(const struct coordinator *c, const char *argument);

/* tell_shell.c: puts into the core's MSG_explained what a peer is told. */
void coordinator_tell(const struct coordinator *c, struct outputs *out);

/* explain_shell.c: one session, as `session` and `explain` show it. */
json_t *coordinator_session_json(const struct coordinator *c, const struct coordinator_session *s,
                                 int64_t now_us);
json_t *coordinator_explain_json(const struct coordinator *c, const struct coordinator_session *s,
                                 int64_t now_us);
enum { NAME_TEXT = NAME_MAX_BYTES + 16, SENTENCE_MAX = 512 };

/* story_shell.c: the sentences; settled is the last settled state, COORD_FREE when there was none. */
json_t *coordinator_story(const struct coordinator_session *s, const char *const name[2],
                          enum coordinator_state settled);

/* cause_shell.c: why it went so, with the sides by name. */
void coordinator_cause(const struct coordinator_session *s, const char *const name[2],
                       char text[static SENTENCE_MAX]);

json_t *coordinator_profile_json(const struct profile *p);
json_t *coordinator_addr_json(const struct addr *a); /* null when there is none */

#endif
