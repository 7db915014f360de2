/* state_dir.c - see state_dir.h. */
#include "services/natterjack/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool state_path(const char *dir, const char *name, char path[static PATH_MAX])
{
    if (snprintf(path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX)
        return true;
    errno = ENAMETOOLONG;
    return false;
}

/* Locks of an open file description: they end with it, however its process ends. */
enum state_lock state_lock(const char *dir)
{
    char path[PATH_MAX];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = -1;

    if (state_path(dir, "lock", path))
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return STATE_LOCK_FAILED;
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
        return STATE_LOCKED; /* fd stays open on purpose */
    bool held = errno == EAGAIN || errno == EACCES;
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return held ? STATE_HELD_BY_OTHER : STATE_LOCK_FAILED;
}

bool state_locked(const char *dir)
{
    char path[PATH_MAX];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = -1;

    if (state_path(dir, "lock", path))
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool held = fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    close(fd);
    return held;
}
