/*
 * init.c - a suite without `up`, one process per container: `natterjack init` makes the keys and prints
 * the join string, `natterjack run PROCESS` becomes one process with the flags that `up` would give it,
 * `natterjack certify-prober` makes the key of a prober that is to run on another host, and signs where.
 */
#include "lib/params.h"
#include "services/natterjack/command.h"
#include "services/natterjack/keyring.h"
#include "services/natterjack/state_dir.h"
#include "services/natterjack/suite.h"

#include <errno.h>
#include <sodium.h>
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

int cmd_certify_prober(int argc, char **argv)
{
    const char *dir = NULL, *ips = NULL, *o = "text";
    const struct param flags[] = {
        {"state",     PARAM_TEXT, &dir, "DIR   the suite's directory", true },
        {"public-ip", PARAM_TEXT, &ips, "A[,B]  where it will be",     true },
        {"o",         PARAM_TEXT, &o,   "json|text",                   false},
    };
    char keys[PATH_MAX], hex[2 * 32 + 1];
    struct addr a = {0}, b = {0};
    uint8_t key[32];

    argc = params_parse("natterjack certify-prober --state DIR --public-ip A[,B] NEW-DIR", flags,
                        sizeof flags / sizeof *flags, argc, argv);
    if (argc != 2)
        return usage_error(
            "certify-prober: give it one directory, for the key and its certificate");
    bool json = output_json(o);
    int status = suite_parse_ips(ips, &a, &b);
    if (status != EXIT_OK)
        return status;
    if (!state_path(dir, "keys", keys))
        return failure("%s: %s", dir, strerror(errno));
    if (!keyring_certify_prober(keys, argv[1], &a, &b, key))
        return EXIT_FAILED;
    sodium_bin2hex(hex, sizeof hex, key, sizeof key);
    printf(json ? "{\"prober\":\"%s\"}\n" : "%s\n", hex);
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
