/* memory.c - see memory.h. */
#include "lib/memory.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    STATM_MAX = 128,
    DIGITS_MAX = 12
}; /* a number of more digits is none, and doesn't overflow */

static int statm_fd = -1; /* of the process, like its memory: its threads have no other */

/* The second number: the first is what is mapped, also where nothing is. */
uint64_t memory_parse(const char *text, size_t len, uint64_t page_bytes)
{
    size_t i = 0, digits = 0;
    uint64_t pages = 0;

    while (i < len && text[i] != ' ')
        i++;
    for (i++; i < len && text[i] >= '0' && text[i] <= '9'; i++, digits++)
        pages = digits < DIGITS_MAX ? pages * 10 + (uint64_t)(text[i] - '0') : 0;
    if (i >= len || text[i] != ' ' || digits > DIGITS_MAX)
        return 0;
    return pages * (page_bytes / 1024);
}

bool memory_over(uint64_t kib, uint32_t max_mib)
{
    return max_mib != 0 && kib > (uint64_t)max_mib * 1024;
}

void memory_open(void)
{
    statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (statm_fd < 0)
        log_warn("event=memory_unseen why=\"%s\" remedy=\"a /proc in this container\"",
                 strerror(errno));
}

bool memory_seen(void) { return statm_fd >= 0; }

uint64_t memory_now(void)
{
    char text[STATM_MAX];
    ssize_t n = statm_fd < 0 ? -1 : pread(statm_fd, text, sizeof text, 0);

    return n <= 0 ? 0 : memory_parse(text, (size_t)n, (uint64_t)sysconf(_SC_PAGESIZE));
}
