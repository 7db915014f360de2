/* ports.h - ports of the loopback address for a suite under test. */
#ifndef PORTS_H
#define PORTS_H

/* In the order of up's flags: prober, its other one, relay (UDP), front, enrolment (TCP). */
enum { SUITE_PORTS = 5, SUITE_UDP_PORTS = 3, PORT_TEXT = 8 };

/* Ports that are free for their socket type; all are held while choosing, so that they differ. */
void free_ports(char text[static SUITE_PORTS][PORT_TEXT]);

#endif
