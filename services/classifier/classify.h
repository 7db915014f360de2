/*
 * classify.h - what one report of observations says about a NAT, in the words of RFC 4787.  Pure.
 *
 * Mapping, from socket 0, by where it was seen from (RFC 5780 section 4.3):
 *
 *   none      everywhere at its own local address, ip and port
 *   ei        at one address from at least two prober ips
 *   ad        at one address from two ports of a prober ip, at another from another ip
 *   apd       at different addresses from two ports of one prober ip
 *   unknown   anything less; or one prober address saw two, so that the mapping changed meanwhile; or
 *             it changes at some prober addresses only, and it was not seen how ports are allocated; or
 *             ports of one small block that look ei, as two draws may by chance, when no other socket was
 *             seen alike at two prober ips
 *
 * A NAT that keeps ports and lets mappings to different remotes share one is seen as ei, and treated
 * rightly so.  Where somebody else has the port towards some of the probers it shows another one there:
 * ei still, when that fits no rule of address or port, and unknown when it might.
 *
 * Allocation, from every new mapping (a socket's first sight at an address) in the order of sending:
 *
 *   preserve    each kept its local port; but socket 0's later mappings may also be the next free
 *               ports above it, where a port serves one mapping only.  Or two sockets did: the others'
 *               ports were taken
 *   contiguous  one small step apart; a step may be missing (a lost answer, somebody else's mapping) and
 *               neighbours may have overtaken each other, as far as it can't be luck (allocation.h)
 *   random      at least three, and neither
 *   unknown     anything less; or one of few sockets has its own port, and no other; or what may be steps, or luck
 *
 * Filtering, from sockets that had sent to one prober address only, by who else's answer came in
 * (RFC 5780 section 4.4):
 *
 *   none, ei    another ip's; none when there is no NAT, so that nothing filters at all
 *   ad          another port's, not another ip's
 *   apd         neither, after many tries
 *   unknown     not asked, as by a prober with one address
 *
 * Hairpin (RFC 4787 section 6) is as the peer reports: what came back, under which source, of what it sent to
 * its own public address.  It decides what the two sides of one address send to each other, and no more.
 *
 * Clash is as the peer reports too (services/executor/early.c): whether what came to a port unasked took it.  Pool:
 * by destination when socket 0 was seen at two ips, and then the mapping above is that of its ports; arbitrary when
 * two sockets were.  That there is one ip only can't be seen.
 *
 * Block: of random ports that all lie in one, when there are enough of them (block.h).
 *
 * Confidence in percent, by the number of answers that a finding rests on (prober addresses for the
 * mapping, new mappings for the allocation): 1: 50, 2: 75, 3: 90, 4 and more: 95; the smaller one when
 * both are known; the mapping's alone when it is none.
 */
#ifndef CLASSIFY_H
#define CLASSIFY_H

#include "lib/msg.h"

struct finding {
    struct profile profile;
    struct addr reflexive; /* where socket 0 was seen most often; len 0 when nowhere */
    bool varies;           /* socket 0 was seen at more than one address */
    uint8_t family;        /* 4 or 16, 0 when the report doesn't tell */
    uint8_t used, ignored; /* observations; ignored are malformed or of another address family */
};

/* What a report says of the NAT; whatever it holds, it may be hostile. */
void classify(const struct msg_reflex_report *r, struct finding *out);

#endif
