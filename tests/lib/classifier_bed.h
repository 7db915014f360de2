/* classifier_bed.h - a classifier's core on the bench, and reports to it, put together by hand. */
#ifndef CLASSIFIER_BED_H
#define CLASSIFIER_BED_H

#include "services/classifier/classifier.h"

struct classifier_bed {
    struct classifier core;
    void *memory;
    struct outputs out; /* of the last step */
    int64_t now_us;
    struct msg report; /* the one that is put together */
    /* What came of the last: "ei/preserve 95% delta=0 4000-4002 age=0 192.0.2.1:4000". */
    char said[256];
};

/* A core of its own; close it before the next. */
void classifier_bed_open(struct classifier_bed *b, uint32_t capacity);
void classifier_bed_close(struct classifier_bed *b);

/* A report from this local address; then what its sockets were seen as. */
void classifier_bed_begin(struct classifier_bed *b, const char *local);
void classifier_bed_saw(struct classifier_bed *b, uint8_t sock, uint16_t local_port,
                        const char *prober, const char *seen);

/* Report it: the profile that comes of it, or NULL; and what that is to be in words. */
const struct profile *classifier_bed_tell(struct classifier_bed *b);
void classifier_bed_expect(struct classifier_bed *b, const char *text, int line);
#define expect(b, text) classifier_bed_expect((b), (text), __LINE__)

struct addr classifier_bed_addr(const char *text);

/* Two probers' addresses, of two ports each. */
#define A1P1 "198.51.100.1:3478"
#define A1P2 "198.51.100.1:3479"
#define A2P1 "198.51.100.2:3478"
#define A2P2 "198.51.100.2:3479"

/* A NAT, through which this many addresses of probers are asked by the main socket, and samples ask the first. */
enum { CLASSIFIER_PROBED = 4, CLASSIFIER_SAMPLES = 4 };
struct classifier_model {
    enum behaviour mapping;
    enum allocation allocation;
    int delta;
    bool overload; /* preserve: a port serves mappings to several remotes */
    struct rng rng;
    int next;
    struct {
        uint16_t local, ip, port, external;
    } made[32];
    size_t n;
};

struct classifier_model classifier_model(enum behaviour mapping, enum allocation allocation,
                                         uint64_t seed);

/* The report of a round behind it, of which these answers are lost (bit i: the i-th). */
void classifier_bed_probe(struct classifier_bed *b, struct classifier_model *m, unsigned lost);

#endif
