/*
 * reach.h - which of the 27 classes of NATs (mapping x allocation x filtering) a host can be directly reached from and
 * reach, and what would make it more.  Pure: the plan decides (lib/strategy.h), there is no table here.
 */
#ifndef REACH_H
#define REACH_H

#include "lib/profile.h"

enum { REACH_CLASSES = 27, REACH_CLASS_TEXT = 48 };

struct reach {
    unsigned direct;   /* classes that a direct path is planned to */
    uint32_t classes;  /* a bit for each of them */
    unsigned improved; /* the same, if ... */
    const char *how;   /* ... this was done; NULL when nothing would make it more */
};

/* "apd/random/ad": mapping, allocation and filtering of class i. */
const char *reach_class(unsigned i, char text[static REACH_CLASS_TEXT]);

/* has_token: a prober vouches for an address of this host. */
struct reach reach_of(const struct profile *own, bool has_token);

#endif
