/*
 * floods.h - floods of all ports of a suite, each as fast as it is told: datagrams from forged sources all over the
 * internet at the prober and the relay, and handshakes from many addresses at the front and the enrolment port.
 *
 * They come from the suite's own host, since the laboratory's lines carry less than the suite takes.
 */
#ifndef FLOODS_H
#define FLOODS_H

#include <stdint.h>

enum flood_door { FLOOD_PROBER, FLOOD_RELAY, FLOOD_FRONT, FLOOD_ENROL, FLOOD_DOORS };
extern const char *const flood_name[FLOOD_DOORS];

/* Processes of their own, which are silent until they are told. */
void floods_open(void);
void floods_close(void);

void floods_set(enum flood_door door, uint64_t per_s);
uint64_t floods_sent(enum flood_door door);

/* Handshakes that the suite has gone into, of the front's and the enrolment port's. */
uint64_t floods_answered(enum flood_door door);

#endif
