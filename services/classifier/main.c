/* main.c - the classifier process: wait, step, emit. */
#include "lib/admin.h"
#include "lib/cage.h"
#include "lib/config.h"
#include "lib/log.h"
#include "lib/memory.h"
#include "services/classifier/classifier.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct shell {
    struct service svc;
    struct classifier core;
};

static struct {
    const char *bus, *admin;
} flags;

static const struct param params[] = {
    {"bus",   PARAM_TEXT, &flags.bus,   "DIR  the bus directory, mode 0700", true },
    {"admin", PARAM_TEXT, &flags.admin, "PATH  the admin socket",            false},
};

static const struct config_group groups[] = {
    {"classifier", "", params, sizeof params / sizeof *params, false}
};

static json_t *on_verb(void *arg, const char *verb, const char *argument)
{
    const struct shell *sh = arg;

    (void)argument;
    if (strcmp(verb, "state") != 0)
        return NULL;
    json_t *counters = json_object();
#define X(name) json_object_set_new(counters, #name, json_integer((json_int_t)sh->core.n.name));
    CLASSIFIER_COUNTERS(X)
#undef X
    return json_pack("{s:s, s:I, s:I, s:o, s:o}", "service", "classifier", "peers",
                     (json_int_t)sh->core.by_peer.n, "peers_max",
                     (json_int_t)sh->core.by_peer.capacity, "counters", counters, "shell",
                     admin_counters(&sh->svc.n));
}

/* The bus needs no file. */
static void close_cage(void)
{
    const struct cage_path paths[] = {
        {flags.bus,   CAGE_SOCKETS},
        {flags.admin, CAGE_SOCKET },
    };

    cage_files(&(struct cage_plan){.paths = paths, .n_paths = sizeof paths / sizeof *paths});
}

int main(int argc, char **argv)
{
    static struct shell sh; /* static: too large for the stack, and there is one */
    static struct outputs out;
    uint8_t rng_key[32];
    struct input in;

    log_init(service_name[SERVICE_classifier]);
    if (config_load("natterjack-classifier --bus DIR [--admin PATH]", groups, 1, argc, argv) != 1)
        die("event=bad_arguments why=\"takes flags only\"");
    if (config_task() == CONFIG_CHECK)
        return 0;
    cage_secrets();
    memory_open();
    close_cage();
    service_open(&sh.svc, SERVICE_classifier, flags.bus);
    void *memory = malloc(classifier_bytes(CLASSIFIER_PEERS));
    if (!memory)
        die("event=no_memory");
    service_random_key(rng_key);
    classifier_init(&sh.core, CLASSIFIER_PEERS, rng_key, memory);
    sodium_memzero(rng_key, sizeof rng_key);
    if (flags.admin)
        admin_open(&sh.svc, flags.admin, on_verb, &sh);
    cage_calls(service_name[SERVICE_classifier], 0);
    service_ready(&sh.svc);
    while (service_wait(&sh.svc, classifier_deadline(&sh.core), &in)) {
        classifier_step(&sh.core, &in, &out);
        service_emit(&sh.svc, &out);
    }
    if (flags.admin)
        admin_close();
    service_close(&sh.svc);
    free(memory);
    return service_status(&sh.svc);
}
