/*
 * suite.h - a suite on one host as the command line describes it: its addresses, its ports, its
 * directory (state_dir.h), and the command line of each of its processes.
 */
#ifndef SUITE_H
#define SUITE_H

#include "lib/join.h"
#include "services/natterjack/supervisor.h"

enum { SUITE_PROCESSES = 4 };

struct suite {
    const char *dir, *public_ip;
    uint32_t prober_port, prober_alt_port, relay_port, front_port, enrol_port;
    struct addr a, b; /* of public_ip; b.len 0 without a second one */
    char join[JOIN_TEXT_MAX];
};

/*
 * Read the parameters that describe a suite (lib/config.h), its own and those that it has to know of its
 * processes.  EXIT_OK, with what is no flag left in argv[1..*argc - 1]; else what to exit with, after a
 * sentence on stderr.  --check and --print-config speak for all processes, and end here.
 */
int suite_parse(struct suite *s, const char *usage, int *argc, char **argv);

/* "A" or "A,B" of one family; b is left alone without a second one.  EXIT_OK, or what to exit with. */
int suite_parse_ips(const char *text, struct addr *a, struct addr *b);

/* Make the directory and those in it that sockets lie in, mode 0700.  EXIT_OK or what to exit with. */
int suite_make_dirs(const struct suite *s);

/* Load the keys, make what is missing, and write s->join.  EXIT_OK or what to exit with. */
int suite_keys(struct suite *s);

/* What to run, and how.  The texts live as long as this program.  EXIT_OK or what to exit with. */
int suite_plan(const struct suite *s, struct child c[static SUITE_PROCESSES]);

/* The same, told nothing but what is common to all: for what they would have by themselves. */
int suite_plan_bare(struct child c[static SUITE_PROCESSES]);

/* Run one of the processes with one flag more, and wait for it.  Its exit status, or EXIT_FAILED after a sentence. */
int suite_run_with(const struct child *c, const char *flag);

/* Do the processes take the configuration?  EXIT_OK, or EXIT_USAGE after their sentences on stderr. */
int suite_check(const struct suite *s);

#endif
