/* cage_parts.h - what the files of lib/cage share. */
#ifndef CAGE_PARTS_H
#define CAGE_PARTS_H

#include "lib/cage.h"

/* By configuration and build; says why not. */
bool cage_wanted(void);

/* The kernel has it not: a line, or the end. */
void cage_missing(const char *what, const char *why);

#endif
