/*
 * xdp_relay.h - a relay's core with its program at the hook of xdp_bed.h's server, and session 7 between A and B.
 */
#ifndef TEST_XDP_RELAY_H
#define TEST_XDP_RELAY_H

#include "lib/xdp_shell.h"
#include "tests/lib/relay_bed.h"
#include "tests/lib/xdp_bed.h"

struct xdp_relay {
    struct relay_bed bed;
    struct xdp hook;
    struct addr at; /* the relay's */
    int sock;
};
extern struct xdp_relay xdp_relay;

/* At either hook of a veth. */
void xdp_relay_open_generic(void);
void xdp_relay_open_native(void);
void xdp_relay_close(void);

/* One more session, of which both sides are bound and have been heard. */
void xdp_relay_session(uint8_t n, const struct ticket t[static 2]);

/* Is the process alive, as the program sees it?  And how many packets has that forwarded? */
void xdp_relay_alive(bool is);
uint64_t xdp_relay_by_hook(void);

/* Frames of a peer: to a side of a session, of session 7, and KEEP. */
struct xdp_frame xdp_relay_packet(char from, uint8_t session, uint8_t to_side, uint8_t type,
                                  size_t len);
struct xdp_frame xdp_relay_data(char from, uint8_t to_side);
struct xdp_frame xdp_relay_keep(char from, uint8_t session, uint8_t side);

/* Send a frame; all that comes out. */
unsigned xdp_relay_look(const struct xdp_frame *f, struct xdp_frame got[static XDP_BED_GOT_MAX]);

/* The same comes out with the hook and without it; how many packets the hook forwarded, or that it was so many. */
unsigned xdp_relay_same(const struct xdp_frame *f, const char *what);
void xdp_relay_expect(struct xdp_frame f, unsigned hooked, const char *what);

#endif
