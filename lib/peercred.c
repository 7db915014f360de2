/* peercred.c - see peercred.h. */
#include "lib/peercred.h"

#include <grp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GROUPS_MAX = 1024 }; /* of one process; with more, only its first group counts */

static struct {
    bool set;
    gid_t gid;
} group;

bool peercred_set_group(const char *name)
{
    const struct group *g = name ? getgrnam(name) : NULL;

    group.set = g != NULL;
    if (g)
        group.gid = g->gr_gid;
    return g || !name;
}

bool peercred_give(const char *path)
{
    return !group.set || chown(path, (uid_t)-1, group.gid) == 0;
}

static bool in_group(int fd, gid_t first)
{
    gid_t gids[GROUPS_MAX];
    socklen_t len = sizeof gids;

    if (!group.set || first == group.gid)
        return group.set;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &len) != 0)
        return false;
    for (size_t i = 0; i < len / sizeof *gids; i++)
        if (gids[i] == group.gid)
            return true;
    return false;
}

bool peercred_ok(int fd, uid_t *uid)
{
    struct ucred who;
    socklen_t len = sizeof who;

    *uid = (uid_t)-1;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
        return false;
    *uid = who.uid;
    return who.uid == 0 || who.uid == geteuid() || in_group(fd, who.gid);
}
