/*
 * memory.h - what a process has in memory, and when that is too much (common.memory-max).
 *
 * A process that grows, by a fault of its own or because a stranger found what isn't bounded, ends in order and is
 * started again, before the kernel chooses whom to kill.  What others lose by that is what they lose when it crashes:
 * peers keep their direct paths and attach again.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MEMORY_LOOK_MS = 1000, MEMORY_MAX_MIB = 768 };

/* The resident KiB in the text of /proc/PID/statm, pages of page_bytes; 0 when it says no such thing. */
uint64_t memory_parse(const char *text, size_t len, uint64_t page_bytes);

/* Is that more than max_mib?  0 is any, and 0 KiB is unknown. */
bool memory_over(uint64_t kib, uint32_t max_mib);

/* Before cage_files, which closes /proc.  Without it memory_now says 0.  No file, no cap: a warning says so. */
void memory_open(void);
bool memory_seen(void); /* it could be opened */

/* The resident KiB of this process. */
uint64_t memory_now(void);

#endif
