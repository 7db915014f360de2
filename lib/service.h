/*
 * service.h - the impure half of every process: sockets, clock, signals, log.
 *
 * Actors with mailboxes.  A service to which the schema lets others send binds one inbox (PULL, ipc in the
 * bus directory, which is 0700), and connects one PUSH to the inbox of every service that it may send to; of
 * one that has no inbox, as relay and prober, several can share a bus.  On the wire a message is three frames:
 * sender, type, msgpack body.  Sends never block; what a queue can't take is counted and dropped, and the
 * sender's core recovers by deadline.
 *
 * A shell may watch more sockets (a ROUTER, a DEALER, a file descriptor) by registering a source.
 *
 * Signals: TERM and INT end the process; HUP reads the configuration again (lib/config.h) and USR1 drains:
 * nothing new is taken, and the process ends with SERVICE_DRAINED when it is empty, or when
 * common.drain-limit is over.  An executor knows TERM and INT only.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include "lib/core.h"

#include <czmq.h>

enum { SOURCES_MAX = 1024, UDP_MAX = 640, LINKS_MAX = 16 };

/* The exit status that tells a supervisor that the process was told to drain, and has. */
enum { SERVICE_DRAINED = 10 };

/* And the one that tells it that the process had more than common.memory-max, and wants to be started again. */
enum { SERVICE_OVER_MEMORY = 11 };

struct service;

/* Take one thing from a source.  True when it made *in an input; false when there is nothing to step. */
typedef bool service_receive(struct service *s, void *arg, struct input *in);

struct service_counters {
    uint64_t messages_in, messages_out, messages_refused, messages_dropped;
    uint64_t datagrams_in, datagrams_out, datagrams_dropped;
    uint64_t datagrams_stale; /* thrown away unanswered: in a crowd they had waited for too long */
    uint64_t sockets_refused; /* the system gave none, or the number is out of range */
    uint64_t admin_answered, admin_dropped; /* clients of the admin socket: each is one of both */
    uint64_t admin_refused;                 /* of those answered: told that they may not ask */
};

struct service {
    enum role self;
    const char *bus_dir;
    void *inbox, *first; /* first: libzmq's first socket, for its threads' sake */
    void *peer[SERVICE_COUNT];
    zsock_t *link[LINKS_MAX]; /* to services on other hosts: lib/service_link.h */
    int udp[UDP_MAX];         /* -1: not open */
    uint16_t udp_port[UDP_MAX];
    uint16_t n_udp; /* opened by service_udp; the core opens others above by OUT_SOCKET */
    int signal_fd;
    struct {
        void *zsock; /* or NULL, then fd */
        int fd;
        short events;
        service_receive *receive;
        void *arg;
    } sources[SOURCES_MAX];
    size_t n_sources, next_source;
    uint32_t n_changes; /* of the list of sources */
    bool ticked;        /* the last input was a tick: now it is a source's turn */
    /* What a shell adds: carry out an output of this kind.  NULL when its core makes none. */
    void (*send_peer)(struct service *s, const struct output *o);
    void (*send_link)(struct service *s, const struct output *o); /* lib/service_link.h */
    void (*store)(struct service *s, const struct output *o);
    void (*store_commit)(
        struct service *s); /* after a batch with puts in it, before messages leave */
    bool (*store_answer)(struct service *s, struct input *in); /* next answer that waits, if any */
    void (*app)(struct service *s, const struct output *o);
    bool (*reload)(
        char *err); /* take over what config_reload changed; false, with CONFIG_ERROR_MAX bytes of
                                  why, when that can't be; or NULL */
    void (*drain)(void);      /* tell the core to take nothing new; or NULL */
    bool (*is_drained)(void); /* NULL: always; a process without these two ends at once */
    void *arg;                /* the shell's own */
    struct service_counters n;
    struct msg msg;       /* what the last input's msg points at */
    uint8_t dgram[65536]; /* what the last input's dgram points at */
    bool stop;
    int stop_signal; /* the signal that asked for it, or 0 */
    bool draining, drained, settled;
    int ready_fd; /* to the supervisor, who hears of readiness and that it has settled; or -1 */
    int64_t drain_until_us, drain_look_us;
    bool over_memory;
    int64_t memory_look_us; /* when to look next */
};

/*
 * Log under the service's name; block SIGINT and SIGTERM into a descriptor; start libsodium; with a bus
 * directory (else NULL: no bus) bind the inbox and connect the others.  Dies with a line on failure.
 */
void service_open(struct service *s, enum role self, const char *bus_dir);

/*
 * For another thread of the same process: no inbox, no signals and no admin socket, only its own connections
 * to the others' inboxes and its own sockets.  It ends when somebody sets stop.
 */
void service_open_worker(struct service *s, const struct service *of);

/* What service_open does with a bus directory, and of that what a worker does as well (lib/service_bus.c). */
void service_bus_open(struct service *s);
void service_bus_connect(struct service *s);

/* Bind one more UDP socket; returns its index (input and output dgram.sock) or -1 with errno. */
int service_udp(struct service *s, const struct addr *local);

/* Another socket at the port of fd, with its buffers, to share what comes there (SO_REUSEPORT); -1 with errno.  fd was
 * bound alone, so that two processes can't share a port by mistake: only now it may be joined, by this user only. */
int service_udp_join(int fd);

/* A socket that is bound already becomes ours; returns its index as service_udp does. */
int service_udp_add(struct service *s, int fd);

/* Bind socket sock elsewhere, in place of where it was.  False, with errno, leaves it as it is. */
bool service_udp_rebind(struct service *s, uint16_t sock, const struct addr *local);

/* UDP socket sock is the caller's from now on, and nothing here any more.  -1 when it is not open. */
int service_udp_take(struct service *s, uint16_t sock);

/* The other way round: it is UDP socket sock from now on, which was none. */
void service_udp_give(struct service *s, uint16_t sock, int fd);

/* The address that UDP socket sock is bound to. */
struct addr service_udp_local(const struct service *s, uint16_t sock);

/* Carry out an OUT_DATAGRAM and an OUT_SOCKET. */
void service_udp_send(struct service *s, const struct output *o);
void service_udp_change(struct service *s, const struct output *o);

/*
 * Have service_wait look for input from a ZeroMQ socket, or a descriptor and what poll(2) may say of it (ZMQ_POLLIN ..);
 * at most SOURCES_MAX.  The socket stays the caller's, who must end the watch before closing it.
 */
void service_watch_zmq(struct service *s, void *zsock, service_receive *receive, void *arg);
void service_watch_fd(struct service *s, int fd, short events, service_receive *receive, void *arg);
void service_unwatch_fd(struct service *s, int fd);
void service_unwatch_zmq(struct service *s, void *zsock);

/* A 32-byte key for the core's struct rng, from the kernel. */
void service_random_key(uint8_t key[static 32]);

int64_t service_now_us(void);  /* CLOCK_MONOTONIC */
int64_t service_wall_ms(void); /* CLOCK_REALTIME */

/* Say so in the log, and to NATTERJACK_READY_FD when it is set. */
void service_ready(struct service *s);

/*
 * To the supervisor, of a process that drains: what the next one drains has nothing to wait for here any more, though
 * this process goes on.  Once; false when there is no supervisor to hear it.
 */
bool service_settled(struct service *s);

/* Wait for the next input.  False when it is time to stop (SIGINT, SIGTERM, s->stop). */
bool service_wait(struct service *s, int64_t deadline_us, struct input *in);

/* Carry out what a step returned: rows of the store first, then messages, datagrams and notes. */
void service_emit(struct service *s, const struct outputs *out);

/* Close what service_open and service_udp opened; what a shell watches beside is its own to close. */
void service_close(struct service *s);

/* What HUP does; false with a sentence in err (CONFIG_ERROR_MAX bytes) when nothing was changed. */
bool service_reload(struct service *s, char *err);

/* What USR1 does. */
void service_drain(struct service *s);

/* The cores that this process may run on, at most so many. */
unsigned service_cores(unsigned max);

/* What main returns after service_close: 0, SERVICE_DRAINED or SERVICE_OVER_MEMORY. */
int service_status(const struct service *s);

/*
 * The frames of one message, at most three of them; returns how many there were.  Frames are let go of as
 * they come, since MAXMSGSIZE bounds one frame and nothing bounds their number; but libzmq hands over
 * whole messages, so that a sender can make it hold many frames until the last has come.
 */
size_t service_frames(void *zsock, zmq_msg_t frame[static 3]);

/* Decode one message for us from raw frames; false (counted, logged at a limit) when it is unusable. */
bool service_decode(struct service *s, enum role from, const char *type, size_t type_len,
                    const void *body, size_t len, struct msg *out);

#endif
