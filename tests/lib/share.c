/* share.c - see share.h. */
#include "tests/lib/share.h"
#include "tests/lib/tidy.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PERIOD_US = 100000, LOOK_MS = 10, LOOKS_MAX = 500 };

static char groups[SHARES_MAX][128];
static unsigned n_groups;

static bool put(const char *group, const char *file, const char *text)
{
    char path[192];

    snprintf(path, sizeof path, "%s/%s", group, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Both versions of the kernel's interface. */
static bool limit(const char *group, unsigned percent)
{
    char quota[32], period[32], both[64];

    snprintf(quota, sizeof quota, "%u", percent * PERIOD_US / 100);
    snprintf(period, sizeof period, "%d", PERIOD_US);
    snprintf(both, sizeof both, "%s %s", quota, period);
    return (put(group, "cpu.cfs_period_us", period) && put(group, "cpu.cfs_quota_us", quota)) ||
           put(group, "cpu.max", both);
}

bool share_hold(pid_t pid, unsigned percent)
{
    static const char *const roots[] = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup"};
    char text[32];

    snprintf(text, sizeof text, "%d", (int)pid);
    for (unsigned i = 0; i < sizeof roots / sizeof *roots && n_groups < SHARES_MAX; i++) {
        char *group = groups[n_groups];
        snprintf(group, sizeof groups[0], "%s/natterjack-%d-%d", roots[i], (int)getpid(), (int)pid);
        if (mkdir(group, 0755) != 0)
            continue;
        if (tidy_after(group) && limit(group, percent) && put(group, "cgroup.procs", text)) {
            n_groups++;
            return true;
        }
        rmdir(group);
    }
    return false;
}

void share_release(void)
{
    for (int looks = 0; n_groups > 0 && looks < LOOKS_MAX; looks++)
        if (rmdir(groups[n_groups - 1]) == 0)
            n_groups--;
        else
            poll(NULL, 0, LOOK_MS);
}
