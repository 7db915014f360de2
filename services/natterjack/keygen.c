/* keygen.c - `natterjack keygen`: a new peer key in a file, and the peer id that names it. */
#include "lib/id.h"
#include "lib/keys.h"
#include "lib/params.h"
#include "services/natterjack/command.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cmd_keygen(int argc, char **argv)
{
    const char *o = "text";
    const struct param flags[] = {
        {"o", PARAM_TEXT, &o, "json|text  how to print", false}
    };
    char id[PEER_ID_TEXT];
    uint8_t secret[32];
    struct peer_id peer;

    argc = params_parse("natterjack keygen FILE", flags, sizeof flags / sizeof *flags, argc, argv);
    if (argc != 2)
        return usage_error("keygen: give it one file name");
    bool json = output_json(o);
    if (access(argv[1], F_OK) == 0)
        return failure("%s: there already; a key is never overwritten", argv[1]);
    bool ok = key_create_x25519(argv[1], secret, peer.b);
    sodium_memzero(secret, sizeof secret);
    if (!ok)
        return failure("%s: %s", argv[1], key_problem(errno));
    printf(json ? "{\"peer\":\"%s\"}\n" : "%s\n", peer_id_format(&peer, id));
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
