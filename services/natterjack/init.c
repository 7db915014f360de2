/*
 * init.c - a suite without `up`, one process per container: `natterjack init` makes the keys and prints
 * the join string, `natterjack run PROCESS` becomes one process with the flags that `up` would give it.
 */
#include "services/natterjack/command.h"
#include "services/natterjack/state_dir.h"
#include "services/natterjack/suite.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cmd_init(int argc, char **argv)
{
    struct suite s;

    int status = suite_parse(&s, "natterjack init --state DIR [--public-ip A[,B]]", &argc, argv);
    if (status == EXIT_OK && argc > 1)
        status = usage_error("init: %s is no flag", argv[1]);
    if (status == EXIT_OK)
        status = suite_make_dirs(&s);
    if (status == EXIT_OK)
        status = suite_keys(&s);
    if (status != EXIT_OK)
        return status;
    puts(s.join);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

int cmd_run(int argc, char **argv)
{
    static struct child all[SUITE_PROCESSES]; /* static, as what their arguments point at */
    struct suite s;

    int status =
        suite_parse(&s, "natterjack run PROCESS --state DIR [--public-ip A[,B]]", &argc, argv);
    if (status == EXIT_OK && argc != 2)
        status = usage_error("run: give it one process: coordinator, classifier, prober or relay");
    if (status == EXIT_OK && state_locked(s.dir))
        status = failure("%s: a suite is up on this directory", s.dir);
    if (status == EXIT_OK)
        status = suite_make_dirs(&s);
    if (status == EXIT_OK)
        status = suite_plan(&s, all);
    if (status != EXIT_OK)
        return status;
    for (size_t i = 0; i < SUITE_PROCESSES; i++)
        if (strcmp(all[i].name, argv[1]) == 0) {
            execv(all[i].path, (char *const *)(uintptr_t)all[i].argv); /* it writes to none */
            return failure("%s: %s", all[i].path, strerror(errno));
        }
    return usage_error("run: the processes are coordinator, classifier, prober and relay");
}
