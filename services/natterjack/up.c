/* up.c - `natterjack up`: a whole suite on this host, under one directory, in the foreground. */
#include "lib/cage.h"
#include "lib/log.h"
#include "services/natterjack/command.h"
#include "services/natterjack/state_dir.h"
#include "services/natterjack/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- the directory -------------------------------------------------------------------------- */

/* Write text to path as a whole, mode 0600: readers see all of it or nothing. */
static bool put_file(const char *path, const char *text)
{
    char temp[PATH_MAX];

    if (snprintf(temp, sizeof temp, "%s.new", path) >= (int)sizeof temp)
        return false;
    unlink(temp);
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = dprintf(fd, "%s\n", text) == (int)strlen(text) + 1;
    ok = close(fd) == 0 && ok;
    return ok && rename(temp, path) == 0;
}

/* Make the directory and take hold of it; EXIT_OK or what to exit with. */
static int open_dir(const struct suite *s)
{
    char path[PATH_MAX];

    int status = suite_make_dirs(s);
    if (status != EXIT_OK)
        return status;
    switch (state_lock(s->dir)) {
    case STATE_LOCKED: break;
    case STATE_HELD_BY_OTHER: return failure("%s: another suite is up on this directory", s->dir);
    case STATE_LOCK_FAILED: return failure("%s/lock: %s", s->dir, strerror(errno));
    }
    if (state_path(s->dir, "join", path))
        unlink(path); /* of a suite that was killed: this one is not ready yet */
    return EXIT_OK;
}

/* ---- the verb ------------------------------------------------------------------------------- */

static bool on_ready(void *arg)
{
    const struct suite *s = arg;
    char path[PATH_MAX];

    if (!state_path(s->dir, "join", path) || !put_file(path, s->join)) {
        failure("%s/join: %s", s->dir, strerror(errno));
        return false;
    }
    log_info("event=ready");
    puts(s->join);
    fflush(stdout); /* nobody reading it is no reason to end: it is in the file too */
    return true;
}

int cmd_up(int argc, char **argv)
{
    static struct suite s; /* static, as what the children's arguments point at */
    static struct child children[SUITE_PROCESSES];
    char path[PATH_MAX];

    int status = suite_parse(&s, "natterjack up --state DIR [--public-ip A[,B]]", &argc, argv);
    if (status == EXIT_OK && argc > 1)
        status = usage_error("up: %s is no flag", argv[1]);
    if (status == EXIT_OK)
        status = suite_check(&s); /* a mistake is none that a restart mends */
    if (status == EXIT_OK)
        status = open_dir(&s);
    if (status == EXIT_OK)
        status = suite_keys(&s);
    if (status == EXIT_OK)
        status = suite_plan(&s, children);
    if (status != EXIT_OK)
        return status;
    log_init("up");
    cage_supervisor();
    status = supervise(children, SUITE_PROCESSES, on_ready, &s);
    if (state_path(s.dir, "join", path))
        unlink(path);
    return status;
}
