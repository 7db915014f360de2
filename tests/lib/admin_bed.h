/* admin_bed.h - a process with an admin socket that answers a few verbs, and clients that do as they like. */
#ifndef ADMIN_BED_H
#define ADMIN_BED_H

#include "lib/admin.h"
#include "tests/lib/child.h"

enum { ADMIN_BED_BIG = 3 << 20 };

struct admin_bed {
    char dir[32], path[64]; /* and the socket in it */
    const char *group;      /* common.admin-group of the next that is started */
    struct service svc;     /* of the process that serves */
    struct child child;     /* that process */
};
extern struct admin_bed admin_bed;

void admin_bed_open(void); /* with the process started */
void admin_bed_close(void);
void admin_bed_start(void);
void admin_bed_stop(void);

/* "echo WORDS", "state", and "big": a string of ADMIN_BED_BIG; anything else is unknown. */
json_t *admin_bed_verb(void *arg, const char *name, const char *argument);

/* As lib/admin.h asks; and whether the process still answers. */
json_t *admin_bed_ask(const char *request);
void admin_bed_alive(void);

/* A connection, and bytes on it; the last takes everything up to the end, closes, and says how many there were. */
int admin_bed_dial(void);
void admin_bed_say(int fd, const void *data, size_t n);
size_t admin_bed_hear(int fd, char *text, size_t cap);

#endif
