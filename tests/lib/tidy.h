/*
 * tidy.h - a test's temporary directory, which goes when the test does, however that ends: an assertion, a crash and a
 * time limit run no teardown.
 */
#ifndef TIDY_H
#define TIDY_H

#include <stdbool.h>

/*
 * mkdtemp(3); and a process that outlives this one removes the directory with all that is in it, once this one and what it
 * has forked are gone.  NULL or false when that can't be.
 */
char *tidy_mkdtemp(char *template);

/* The same for a directory that is there; of a control group itself alone, when no process is in it any more. */
bool tidy_after(const char *dir);

/* DIR/NAME, good until TIDY_PATHS more were asked for. */
enum { TIDY_PATHS = 8 };
const char *tidy_path(const char *dir, const char *name);

/* It and all that is in it, as far as that can be removed now. */
void tidy_remove(const char *dir);

#endif
