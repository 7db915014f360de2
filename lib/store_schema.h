/*
 * store_schema.h - the tables of the SQLite store, and how a file of an earlier version gets them.
 *
 * The version of a file is its user_version.  A version is never changed once it was released: what a
 * later one needs is added by a step of its own.
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>

enum { STORE_SCHEMA = 3 };

int store_schema_version(sqlite3 *db); /* 0 of an empty file, -1 when it can't be read */

/* Bring a file of this version to STORE_SCHEMA, all of it or nothing. */
bool store_schema_migrate(sqlite3 *db, int version);

/* Are its pages and rows in order?  Reads all of them. */
bool store_schema_sound(sqlite3 *db);

#endif
