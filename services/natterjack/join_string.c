/* join_string.c - `natterjack join-string`: the join string of the suite that is up on a directory. */
#include "lib/join.h"
#include "lib/params.h"
#include "services/natterjack/command.h"
#include "services/natterjack/state_dir.h"

#include <stdio.h>

static bool read_line(const char *path, char line[static JOIN_PASTE_MAX])
{
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(line, JOIN_PASTE_MAX, f);

    if (f)
        fclose(f);
    return ok;
}

int cmd_join_string(int argc, char **argv)
{
    const char *dir = NULL, *o = "text";
    const struct param flags[] = {
        {"state", PARAM_TEXT, &dir, "DIR  the suite's directory", true },
        {"o",     PARAM_TEXT, &o,   "json|text  how to print",    false},
    };
    char path[PATH_MAX], line[JOIN_PASTE_MAX], text[JOIN_TEXT_MAX], err[JOIN_ERROR_MAX];
    struct join join;

    argc = params_parse("natterjack join-string --state DIR", flags, sizeof flags / sizeof *flags,
                        argc, argv);
    if (argc > 1)
        return usage_error("join-string: %s is no flag", argv[1]);
    bool json = output_json(o);
    if (!state_locked(dir))
        return failure("no suite is up on %s", dir);
    if (!state_path(dir, "join", path) || !read_line(path, line))
        return failure("the suite on %s is not ready yet", dir);
    if (!join_parse(line, &join, err))
        return failure("%s: the join string %s", path, err);
    printf(json ? "{\"join\":\"%s\"}\n" : "%s\n", join_format(&join, text));
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
