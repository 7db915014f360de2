/* service_end.h - when a service ends by itself: it has drained, or has too much in memory; for service.c. */
#ifndef SERVICE_END_H
#define SERVICE_END_H

#include "lib/service.h"

/* Whether it is time: says so in the log, and sets stop. */
bool service_ends(struct service *s, int64_t now_us);

/* How long it may be waited until that is asked again. */
int64_t service_look_ms(const struct service *s);

#endif
