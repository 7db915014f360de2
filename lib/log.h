/* log.h - one logfmt line per event on stderr; whoever supervises owns files and rotation. */
#ifndef LOG_H
#define LOG_H

void log_init(const char *service);
void log_quiet(void); /* from here on warnings and worse only */
__attribute__((format(printf, 1, 2))) void log_info(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) void log_warn(const char *fmt, ...);

/* A warning that a stranger can cause: at most ten a second, then counted and summed up. */
__attribute__((format(printf, 1, 2))) void log_limited(const char *fmt, ...);

/* For start-up only: say why and exit(1).  Nothing a peer sends may reach this. */
__attribute__((format(printf, 1, 2), noreturn)) void die(const char *fmt, ...);

#endif
