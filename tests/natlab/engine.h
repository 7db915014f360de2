/*
 * engine.h - the laboratory at work: hosts in namespaces, their packets through the model in real time,
 * and the answers to those who ask by the control socket.
 *
 * Runs as the first process of a PID namespace, so that the kernel ends all that was started in the lab
 * with it, however it ends.
 */
#ifndef NATLAB_ENGINE_H
#define NATLAB_ENGINE_H

#include "tests/natlab/spec.h"

#include <signal.h>
#include <sys/types.h>

enum { ENGINE_SLOTS = 8192 }; /* packets under way: 400 Mbit/s of full ones at 80 ms */

struct engine {
    struct spec *spec;
    struct net net;
    struct net_slot *slots;
    struct nat *nats[NET_HOSTS_MAX]; /* NULL where the model has none */
    size_t lans[NET_HOSTS_MAX];      /* line at whose inner end others than the host are */
    int tuns[NET_HOSTS_MAX];         /* by host of the model: those of spec, then their gateways */
    int namespaces[NET_HOSTS_MAX];   /* where programs of the host run */
    int events, timer, listener, signals, parent;
    int pcap;                       /* -1 for none */
    int64_t armed_us;               /* what the timer is set to */
    uint64_t malformed, unwritable; /* read from and not accepted by a TUN */
    uint64_t delivered; /* and how late: the lab's own part in what was measured in it */
    int64_t late_us_sum, late_us_max;
    int nice; /* as we were started */
    pid_t command;
    bool done;
    int status;
};

/* Build the lab; false after a message on stderr.  parent is a pipe that ends when the lab shall. */
bool engine_open(struct engine *e, struct spec *spec, int parent);

/* Run until the command ends or a signal asks to; returns the exit status. */
int engine_run(struct engine *e);

/* The signals that end the lab or tell it of its command's end: who waits for them has them blocked. */
sigset_t engine_signals(void);

int64_t engine_now_us(void);

#endif
