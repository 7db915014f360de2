/* known.c - see known.h. */
#include "services/natterjack/known.h"

#include "services/natterjack/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".known_peers"
enum { LINE_MAX_BYTES = NAME_MAX_BYTES + 1 + PEER_ID_TEXT + 1 };

const char *const known_name[KNOWN_COUNT] = {"unkept", "new", "same", "changed"};

/* "NAME PEER-ID", the last one perhaps without a line's end; false for a line that is none, which is passed over. */
static bool read_line(char *line, const char **name, struct peer_id *id)
{
    char *space = strchr(line, ' ');

    if (!space)
        return false;
    line[strcspn(line, "\n")] = '\0';
    *space = '\0';
    *name = line;
    return name_valid(line) && peer_id_parse(space + 1, id);
}

static enum known look_up(FILE *f, const char *name, const struct peer_id *id,
                          struct peer_id *before)
{
    char line[LINE_MAX_BYTES + 1];
    const char *there;
    size_t lines = 0;

    for (; lines < KNOWN_PEERS_MAX && fgets(line, sizeof line, f); lines++) {
        if (!read_line(line, &there, before) || strcmp(there, name) != 0)
            continue;
        return peer_id_eq(before, id) ? KNOWN_SAME : KNOWN_CHANGED;
    }
    return ferror(f) || lines >= KNOWN_PEERS_MAX ? KNOWN_UNKEPT : KNOWN_NEW;
}

static bool append(FILE *f, const char *name, const struct peer_id *id)
{
    char text[PEER_ID_TEXT];
    bool whole = fseek(f, -1, SEEK_END) != 0 || fgetc(f) == '\n'; /* or empty */

    return fseek(f, 0, SEEK_END) == 0 &&
           fprintf(f, "%s%s %s\n", whole ? "" : "\n", name, peer_id_format(id, text)) > 0 &&
           fflush(f) == 0;
}

/* Open, with one process at a time; NULL with errno set. */
static FILE *open_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_mode & 077) {
        close(fd);
        errno = EACCES;
        return NULL;
    }
    FILE *f = flock(fd, LOCK_EX) == 0 ? fdopen(fd, "r+") : NULL;
    if (!f)
        close(fd);
    return f;
}

enum known known_check(const char *key_path, const char *name, const struct peer_id *id,
                       struct peer_id *before)
{
    char path[PATH_MAX];

    if (!key_path)
        return KNOWN_UNKEPT;
    if (snprintf(path, sizeof path, "%s" SUFFIX, key_path) >= (int)sizeof path) {
        failure("%s: its name is too long to remember peers beside it", key_path);
        return KNOWN_UNKEPT;
    }
    FILE *f = open_file(path);
    if (!f) {
        failure("cannot remember peers in %s: %s", path,
                errno == EACCES ? "it must be a file of its owner alone (mode 0600)"
                                : strerror(errno));
        return KNOWN_UNKEPT;
    }
    enum known known = look_up(f, name, id, before);
    if (known == KNOWN_NEW && !append(f, name, id))
        known = KNOWN_UNKEPT;
    if (known == KNOWN_UNKEPT)
        failure("cannot remember %s in %s: it is full, or not to be read and written", name, path);
    fclose(f);
    return known;
}
