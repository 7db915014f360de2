/*
 * build.h - a host of the laboratory out of namespaces and devices.
 */
#ifndef NATLAB_BUILD_H
#define NATLAB_BUILD_H

#include "tests/natlab/spec.h"

struct built {
    int tun; /* carries what the host, or the router in front of it, and the world say to each other */
    int lan;   /* of a kernel's router with others behind it: what they and it say; else -1 */
    int space; /* the namespace in which the host's programs run */
};

/* Make the namespace(s) of one host; the caller ends up in one of them.  False with errno. */
bool build_host(const struct spec *s, size_t host, struct built *b);

#endif
