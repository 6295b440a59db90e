/* A disk that refuses: SQLite's own file system with a shim that fails the n-th write, sync, opening or truncation, and
 * that remembers what had been synced, so that a loss of power can be played. */
#ifndef SALLYPORT_TEST_STORE_DISK_H
#define SALLYPORT_TEST_STORE_DISK_H

#include "unit.h"

enum disk_fault { DISK_WRITE = 0, DISK_SYNC, DISK_OPEN, DISK_TRUNCATE, DISK_FAULTS };

/* Once, before any database is opened. */
void disk_install(void);

/* The n-th (0: the next) operation of the kind fails; `on`: and all of that kind behind it. full: as a full disk does.
 */
void disk_fail_at(enum disk_fault kind, long n, bool on, bool full);
void disk_mend(void);
bool disk_failed(void);

/* Copies what is in the folder now (a killed process) or what had been synced (a lost machine) into another folder. */
void disk_snapshot(const char *dir, const char *to, bool synced_only);

/* The n-th allocation of SQLite fails; `on`: and all behind it. -1: none. */
void disk_memory_fail_at(long n, bool on);
bool disk_memory_failed(void);

#endif
