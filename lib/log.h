/*
 * log.h - one line per event on stderr, logfmt or JSON; whoever supervises owns files and rotation.
 *
 * Callers write logfmt: "event=refused from=%s why=\"%s\"".  The fields are those of the format string:
 * an argument that a stranger chose can add no field and forge no line, whatever is in it.  In JSON all
 * values are strings, and what is not UTF-8 in them is replaced.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

void log_init(const char *service);
bool log_set_level(const char *name);  /* debug, info or warn; false for anything else */
bool log_set_format(const char *name); /* logfmt or json; false for anything else */
const char *log_level(void);

__attribute__((format(printf, 1, 2))) void log_debug(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) void log_info(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) void log_warn(const char *fmt, ...);

/* A warning that a stranger can cause: at most ten a second, then counted and summed up. */
__attribute__((format(printf, 1, 2))) void log_limited(const char *fmt, ...);

/*
 * For start-up only: say why and end with status 1.  Nothing a peer sends may reach this.  Exit handlers
 * don't run: czmq's would wait for the sockets that are open by then, and complain about each.
 */
__attribute__((format(printf, 1, 2), noreturn)) void die(const char *fmt, ...);

#endif
