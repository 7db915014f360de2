/* ports.h - ports of the loopback address for a suite under test, and those that a peer has. */
#ifndef PORTS_H
#define PORTS_H

#include "services/executor/executor.h"

#include <sys/types.h>

/* In the order of up's flags: prober, its other one, relay (UDP), front, enrolment (TCP). */
enum { SUITE_PORTS = 5, SUITE_UDP_PORTS = 3, PORT_TEXT = 8 };

/* Ports that are free for their socket type; all are held while choosing, so that they differ. */
void free_ports(char text[static SUITE_PORTS][PORT_TEXT]);

/*
 * A peer's UDP ports, the only ones in its namespace, once they are those that it keeps while it has no session:
 * its first tests of the NAT have some more.
 */
enum { PORTS_LASTING = 1 + SAMPLES_MAX };
size_t lasting_ports(pid_t pid, uint16_t found[static PORTS_LASTING]);

#endif
