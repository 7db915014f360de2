/*
 * gate_shell.h - who comes in by the coordinator's doors: the process's ZAP handler, which also gives each connection
 * its routing id (routing.h).
 *
 * libzmq's thread that reads a handshake asks here and then looks once for an answer, before it reads what the peer
 * itself says of its id; only an answer that comes later has the last word.  So an answer that gives an id waits for a
 * message to come back that has gone through that same thread: it has then done with the peer's word, however slowly.
 */
#ifndef GATE_SHELL_H
#define GATE_SHELL_H

#include "lib/service.h"

/* Dies with a line on failure.  Before any door is bound; enrolled says whom the front lets in. */
void gate_open(struct service *svc, bool (*enrolled)(const struct peer_id *peer));
void gate_close(void);

/* Take what there is to do, where no loop runs yet. */
void gate_serve(void);

/* Is it the routing id that was given to this peer at the enrolment door or the front? */
bool gate_gave(bool enrolling, const struct peer_id *peer, const void *id, size_t len);

uint64_t gate_refused(void); /* requests of keys that may not come in, or malformed */

#endif
