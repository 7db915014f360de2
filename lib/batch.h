/*
 * batch.h - datagrams in and out of UDP sockets, many at a system call, without allocation.
 *
 * In: up to BATCH messages at once.  Of a source that sends trains the kernel merges datagrams of one
 * size, the last may be shorter, into one message (UDP_GRO); batch_next() hands them out one by one.
 *
 * Out: datagrams gather until batch_flush().  Those that follow each other to one address, again of one
 * size and the last perhaps shorter, leave as one message that the kernel or the card splits
 * (UDP_SEGMENT).  Where a way out can't do that they are sent one by one.  Order is kept.
 *
 * A socket of the wildcard address tells which of the host's addresses a datagram came to, and can send
 * from that one: else the system chooses, and a client would not know the answer (IP_PKTINFO).
 */
#ifndef BATCH_H
#define BATCH_H

#include "lib/addr.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum {
    BATCH = 32,           /* messages a system call; more gain nothing */
    BATCH_MERGED = 65536, /* room for a merged message */
    BATCH_SINGLE = 2048,  /* room for one datagram; what is longer is cut, and none of ours is */
    BATCH_PARTS = 128,    /* datagrams sent at once, unless they lie next to each other */
    BATCH_TRAIN = 64,     /* datagrams in a message: UDP_MAX_SEGMENTS of older kernels */
    BATCH_TRAIN_BYTES = 65000, /* and with its headers a message still is an IP packet */
};

/* Room for what the kernel tells of a message, or is told: a size, and an address of the host. */
enum { BATCH_CONTROL = CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) };

struct batch_in {
    int fd;
    unsigned n, next; /* messages, and those that batch_next has begun */
    const uint8_t *data;
    size_t offset, size; /* in the message that it is in, and of that message */
    size_t segment;      /* size of the datagrams in it */
    struct addr src;     /* where it came from */
    struct addr local;   /* of a wildcard socket: the ip that it came to; else len 0 */
    struct mmsghdr msg[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_storage from[BATCH];
    _Alignas(struct cmsghdr) uint8_t control[BATCH][BATCH_CONTROL];
    size_t room; /* for each message */
    bool told;   /* something by the kernel */
};

/* Bytes of memory that batch_in_init needs.  Buffers a whole number of pages apart would share a few
 * lines of the cache. */
#define BATCH_STRIDE(room) ((size_t)(room) + 192)
#define BATCH_IN_BYTES(room) (BATCH * BATCH_STRIDE(room))

/* Receive from fd; with room BATCH_MERGED merged messages are asked for. */
void batch_in_init(struct batch_in *b, int fd, size_t room, void *memory);

/* Take what is there, without waiting.  The number of messages, 0 when there is none. */
unsigned batch_read(struct batch_in *b);

/* The next datagram of those read, valid until the next batch_read, and b->src; NULL at the end. */
const uint8_t *batch_next(struct batch_in *b, size_t *len);

struct batch_out {
    int fd;
    struct addr
        from; /* the caller's: the ip that what is added leaves from; len 0: the socket's, or the
                         system's choice */
    unsigned n, n_parts;
    struct mmsghdr msg[BATCH];
    struct iovec part[BATCH_PARTS];
    struct sockaddr_storage to[BATCH];
    struct addr dst[BATCH], src[BATCH];
    uint16_t segment[BATCH]; /* size of all datagrams of a message but the last */
    uint16_t count[BATCH];   /* datagrams in a message */
    _Alignas(struct cmsghdr) uint8_t control[BATCH][BATCH_CONTROL];
    bool complete;          /* the last message takes no more: its last datagram is shorter */
    uint64_t sent, dropped; /* datagrams */
};

/* For what leaves by fd, a UDP socket of the caller's. */
void batch_out_init(struct batch_out *b, int fd);

/* Send len >= 1 bytes of data, borrowed until batch_flush, to dst.  A full batch is flushed by itself. */
void batch_add(struct batch_out *b, const struct addr *dst, const uint8_t *data, size_t len);

/* Send what is there.  Never waits: what the kernel does not take now is dropped and counted. */
void batch_flush(struct batch_out *b);

#endif
