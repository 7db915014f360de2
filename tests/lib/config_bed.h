/* config_bed.h - a program with parameters in two sections, a file for them, and a child to read it in. */
#ifndef CONFIG_BED_H
#define CONFIG_BED_H

#include "lib/config.h"
#include "tests/lib/child.h"

/* What the program under test knows. */
struct config_bed {
    const char *ip, *key, *token_file, *prober_ip;
    uint32_t port, prober_port, sessions;
    bool open;
    int64_t pause_us;
};
extern struct config_bed config_bed;
extern struct child config_bed_child;

/* A directory, and in it paths for a file and for a secret; nothing is there yet. */
extern char config_bed_dir[], config_bed_file[64], config_bed_secret[64];
void config_bed_open(void);
void config_bed_close(void);

void config_bed_write_bytes(const char *path, const char *text, size_t n, mode_t mode);
void config_bed_write(const char *text); /* the file */

/* Load as if the command line were this; the number of groups is 2 with the partial one. */
int config_bed_load(size_t n_groups, const char *line);

/* A command line that names the file, and more; good until the next call. */
const char *config_bed_line(const char *more);

#endif
