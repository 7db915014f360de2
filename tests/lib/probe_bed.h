/*
 * probe_bed.h - an executor that measures its NAT, in virtual time: the bench plays a prober of two addresses with two
 * ports each, the NAT as far as it lets answers in, and the coordinator.
 */
#ifndef PROBE_BED_H
#define PROBE_BED_H

#include "lib/stun.h"
#include "services/executor/executor.h"

enum { PROBE_BED_RTT_MS = 40, PROBE_BED_SENT_MAX = 256, PROBE_BED_SELF = 4 };

/* What was sent: when, by which socket, to which of the prober's addresses, what it asked for. */
struct probe_bed_sent {
    int64_t ms;
    uint16_t sock;
    unsigned to;   /* or PROBE_BED_SELF */
    uint16_t self; /* then to which of our sockets */
    uint32_t change;
    struct stun m;
    bool answered;
};

struct probe_bed {
    struct executor core;
    struct outputs out; /* of the last step */
    struct prober_info prober;
    uint8_t prober_secret[64];
    int64_t now_ms;
    uint32_t rtt_ms;
    struct addr seen; /* of socket 0; the samples' ports follow */
    uint16_t deaf;    /* bit i: what is sent to the prober's address i gets no answer */
    bool lets_in_port, lets_in_ip, signs, only_cookies;
    uint16_t lucky, lucky_too; /* sockets whose ports the NAT lets all in by; 0: none */
    enum hairpin hairpin;      /* what becomes of packets to the own outer addresses */
    size_t n_reports;
    struct msg_reflex_report report; /* the last one */
    int64_t report_ms;
    struct probe_bed_sent sent[PROBE_BED_SENT_MAX];
    size_t n_sent;
};
extern struct probe_bed probe_bed;

/* An executor at time 0 that is not connected; the prober answers and signs, the NAT lets in what was asked for. */
void probe_bed_open(void);

/* An input now; and everything until then, in order: ticks, and answers a round trip after what they answer. */
void probe_bed_step(struct input *in);
void probe_bed_run_to(int64_t ms);

/* The coordinator: it is attached; its round is classified so, or as an EI mapping. */
void probe_bed_attach(void);
void probe_bed_classified_as(const struct profile *p);
void probe_bed_classified(void);

/* "0 100 250 ": when this socket asked that address for this. */
const char *probe_bed_times(uint16_t sock, unsigned to, uint32_t change);
bool probe_bed_measuring(void); /* filtering or hairpinning */

#endif
