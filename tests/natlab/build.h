/*
 * build.h - a host of the laboratory out of namespaces and devices.
 */
#ifndef NATLAB_BUILD_H
#define NATLAB_BUILD_H

#include "tests/natlab/spec.h"

/*
 * Make the namespace(s) of one host; the caller ends up in one of them.  *tun is the device whose packets
 * the model carries, *space the namespace in which the host's programs run.  False with errno.
 */
bool build_host(const struct spec_host *h, int *tun, int *space);

#endif
