/* view.h - JSON answers of admin sockets as text for people. */
#ifndef VIEW_H
#define VIEW_H

#include <jansson.h>
#include <stdio.h>

/*
 * An array of objects becomes a table with the first one's fields as columns, an object one line per
 * field with what it contains indented below.  Control characters come out as '?': answers quote names
 * that strangers chose, and a terminal must not obey them.
 */
void view_print(FILE *f, json_t *value);

/* What people look for in a list of sessions, narrow enough for a terminal; `-o json` has all. */
void view_sessions(FILE *f, json_t *sessions);

/* The member "story" of an explanation: an array of sentences, one a line. */
void view_story(FILE *f, json_t *explanation);

#endif
