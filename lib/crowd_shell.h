/* crowd_shell.h - keeps the queue of a socket as short as crowd.h says. */
#ifndef CROWD_SHELL_H
#define CROWD_SHELL_H

#include "lib/batch.h"
#include "lib/crowd.h"

/* From now on, with the room and the losses that its socket has now (SO_MEMINFO). */
void crowd_watch(struct crowd *c, const struct batch_in *in);

/* After each batch of it; how many messages, which had waited for too long, were read and thrown away. */
unsigned crowd_keep_short(struct crowd *c, struct batch_in *in, int64_t now_us);

#endif
