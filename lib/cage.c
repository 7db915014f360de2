/* cage.c - no core dumps, no capabilities, another user; see cage.h. */
#include "lib/cage_parts.h"
#include "lib/config.h"
#include "lib/log.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

bool cage_wanted(void)
{
#ifdef UNCAGED
    if (config_cage() == CONFIG_CAGE_REQUIRED)
        die("event=no_cage why=\"this is a build for %s\"", UNCAGED);
    return false;
#else
    return config_cage() != CONFIG_CAGE_OFF;
#endif
}

void cage_missing(const char *what, const char *why)
{
    if (config_cage() == CONFIG_CAGE_REQUIRED)
        die("event=no_cage what=%s why=\"%s\" remedy=\"common.cage: required asks for it\"", what,
            why);
    log_warn("event=uncaged what=%s why=\"%s\" remedy=\"a kernel or container that has it\"", what,
             why);
}

void cage_become(void)
{
    const char *user = config_user();

    if (!user)
        return;
    const struct passwd *pw = getpwnam(user);
    if (!pw)
        die("event=no_user user=%s why=\"there is none of that name\"", user);
    if (geteuid() == pw->pw_uid)
        return;
    if (geteuid() != 0)
        die("event=no_user user=%s why=\"only root can become another user\"", user);
    if (initgroups(user, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0 ||
        setuid(0) == 0)
        die("event=no_user user=%s why=\"%s\"", user, strerror(errno));
}

void cage_peer_secrets(void)
{
    if (cage_wanted())
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void cage_secrets(void)
{
    const struct rlimit none = {0, 0};

    cage_become();
    umask(077);
    setrlimit(RLIMIT_CORE, &none);
    cage_peer_secrets();
}
