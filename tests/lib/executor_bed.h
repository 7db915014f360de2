/*
 * executor_bed.h - one executor on the bench: it is fed inputs, what it puts out becomes a transcript.
 *
 * The bench plays the coordinator, one prober (whose signatures are real) and the peer (whose seals are).
 */
#ifndef EXECUTOR_BED_H
#define EXECUTOR_BED_H

#include "lib/token.h"
#include "services/executor/executor.h"

extern struct executor executor_bed;     /* "alice" */
extern struct outputs executor_bed_out;  /* of the last step */
extern struct peer_id executor_bed_peer; /* "bob" */
extern uint8_t executor_bed_peer_secret[32];
extern const struct addr executor_bed_prober, executor_bed_relay, executor_bed_peer_addr;

/* By which of its sockets datagrams come in: 0 unless a test says so. */
extern uint16_t executor_bed_sock;

/* Fresh executor at time 0, nothing connected yet; the transcript is empty. */
void executor_bed_open(void);

/* Compare the transcript since the last call with the text, and empty it. */
void executor_bed_expect(const char *text);
void executor_bed_forget(void); /* empty it unread */

/* Inputs at a time in ms, which must not go back. */
void executor_bed_link(int64_t ms, bool up, bool enrolling);
void executor_bed_msg(int64_t ms, const struct msg *m);
void executor_bed_datagram(int64_t ms, const struct addr *from, const void *data, size_t len);
void executor_bed_tick(void);         /* to the executor's own deadline */
void executor_bed_run_to(int64_t ms); /* all ticks that are due until then */
void executor_bed_connect(int64_t ms, const char *target, enum policy policy, int64_t timeout_ms);
void executor_bed_app(int64_t ms, enum app_op op, uint32_t path, const void *data, size_t len);

/* Attached, probed and classified at about 100 ms, with one token; the transcript is empty. */
void executor_bed_ready(void);

/* An order as the coordinator would send it; change it before feeding it. */
struct msg executor_bed_order(uint16_t side, enum technique technique, enum policy policy);

/* Ready, asked for by the application when side is 0, and ordered at 240 ms; returns the order. */
struct msg executor_bed_start(uint16_t side, enum technique technique, enum policy policy);

/* The prober's word that who was seen at where, at this wall time. */
struct msg_token executor_bed_token(const struct peer_id *who, const struct addr *where,
                                    int64_t wall_ms);

/* The same of an address that the operator has mapped to who. */
struct msg_token executor_bed_mapped(const struct peer_id *who, const struct addr *where,
                                     int64_t wall_ms);
int64_t executor_bed_wall(int64_t ms);

/*
 * A punch or pong of the peer for this order, sealed right.  counter must grow.  An echo of
 * EXECUTOR_BED_ECHO stands for what the executor's newest punch asks to be returned.
 */
enum { EXECUTOR_BED_ECHO = 1 };
void executor_bed_punch(const struct msg *order, uint8_t type, uint64_t counter, uint64_t echo,
                        uint8_t flags, uint8_t out[static PUNCH_BYTES]);

/* Datagrams of the last step that begin with this byte, and where the last of them went. */
size_t executor_bed_count(uint8_t type, struct addr *to);

#endif
