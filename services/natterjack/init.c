/*
 * init.c - a suite without `up`, one process per container: `natterjack init` makes the keys and prints
 * the join string, `natterjack run PROCESS` becomes one process with the flags that `up` would give it,
 * `natterjack certify-prober` makes the key of a prober that is to run on another host, and signs where, and
 * `natterjack certify-relay` that of a relay.
 */
#include "lib/id.h"
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

/* What is to be certified, as the command line has it. */
struct certify {
    char keys[PATH_MAX]; /* the suite's */
    const char *to;
    struct addr a, b;
    bool json;
};

/* EXIT_OK, or what to exit with. */
static int parse_certify(struct certify *c, const char *usage, int argc, char **argv)
{
    const char *dir = NULL, *ips = NULL, *o = "text";
    const struct param flags[] = {
        {"state",     PARAM_TEXT, &dir, "DIR  the suite's directory", true },
        {"public-ip", PARAM_TEXT, &ips, "A[,B]  where it will be",    true },
        {"o",         PARAM_TEXT, &o,   "json|text  how to print",    false},
    };

    *c = (struct certify){.to = NULL};
    argc = params_parse(usage, flags, sizeof flags / sizeof *flags, argc, argv);
    if (argc != 2)
        return usage_error("%s: give it one directory, for the key and its certificate", argv[0]);
    c->to = argv[1];
    c->json = output_json(o);
    if (!state_path(dir, "keys", c->keys))
        return failure("%s: %s", dir, strerror(errno));
    return suite_parse_ips(ips, &c->a, &c->b);
}

static int print_key(const struct certify *c, const char *what, const char *key)
{
    if (c->json)
        printf("{\"%s\":\"%s\"}\n", what, key);
    else
        puts(key);
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

int cmd_certify_prober(int argc, char **argv)
{
    struct certify c;
    uint8_t key[32];
    char hex[2 * sizeof key + 1];
    int status = parse_certify(
        &c, "natterjack certify-prober --state DIR --public-ip A[,B] NEW-DIR", argc, argv);

    if (status != EXIT_OK)
        return status;
    if (!keyring_certify_prober(c.keys, c.to, &c.a, &c.b, key))
        return EXIT_FAILED;
    return print_key(&c, "prober", sodium_bin2hex(hex, sizeof hex, key, sizeof key));
}

/* Its key is named as in `natterjack relays`. */
int cmd_certify_relay(int argc, char **argv)
{
    struct certify c;
    struct peer_id key;
    char text[PEER_ID_TEXT];
    int status =
        parse_certify(&c, "natterjack certify-relay --state DIR --public-ip A NEW-DIR", argc, argv);

    if (status != EXIT_OK)
        return status;
    if (c.b.len)
        return usage_error("certify-relay: a relay has one address");
    if (!keyring_certify_relay(c.keys, c.to, &c.a, key.b))
        return EXIT_FAILED;
    return print_key(&c, "relay", peer_id_format(&key, text));
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
