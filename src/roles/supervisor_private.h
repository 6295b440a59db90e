/* What the files of the parent share: supervisor.c (life), supervisor_spawn.c (how one is
 * made), supervisor_sockets.c (what it listens on),
 * supervisor_upgrade.c (another version). One thread, one of these in a process. */
#ifndef SALLYPORT_ROLES_SUPERVISOR_PRIVATE_H
#define SALLYPORT_ROLES_SUPERVISOR_PRIVATE_H

#include "net/handed.h"
#include "net/unix_socket.h"
#include "roles/supervisor.h"
#include "roles/wire.h"

#include <sys/stat.h>
#include <sys/types.h>

#define WARDS_MAX    8
#define REASON_MAX   WIRE_TEXT
#define START_MS     120000 /* from its start until it serves */
#define HAND_OVER_MS 15000  /* to give up what only one may have */

/* A listening socket. Those of one address stand one behind the other. */
struct held {
    char kind[16];              /* "gateway", "admin", HANDED_UNIX */
    char address[NET_TEXT_MAX]; /* as configured; for HANDED_UNIX the path */
    int fd;
    struct unix_socket file; /* the name to remove at the end; inode 0: none */
    bool given;              /* by the service manager: one for all workers */
    bool fresh;              /* since the upgrade began */
    bool planned;            /* the plan looked at last wants it */
};

enum life { LIFE_NONE = 0, LIFE_STARTING, LIFE_WAITING, LIFE_SERVING, LIFE_DRAINING };

/* A process that serves, will, or did. */
struct ward {
    pid_t pid; /* 0: an empty place */
    int fd;    /* -1: it has closed its end */
    enum life life;
    bool freed;           /* has given up what only one may have */
    uint64_t since_ms;    /* when that life began */
    uint64_t alive_ms;    /* last heard */
    uint64_t deadline_ms; /* killed then; 0: never */
};

enum purpose { FOR_NOTHING = 0, FOR_START, FOR_RELOAD, FOR_UPGRADE };

struct supervisor {
    struct supervisor_options o;
    char **argv;
    char *program;          /* the path that an upgrade executes */
    struct stat program_is; /* the file that was there when we began */
    struct plan plan;
    struct held held[HANDED_MAX];
    size_t n_held;
    struct ward wards[WARDS_MAX];
    struct ward *serving, *next; /* who serves or starts to; who is to take over */
    int signals;
    int bundle, coming; /* the last that was taken; one being made or being looked at. -1: none */
    pid_t reader;
    enum purpose purpose;
    uint64_t reader_deadline_ms, read_ms; /* read_ms: when the last began */
    uint64_t asked, reading_for;          /* the last question for it; the one before the reader began */
    bool reload_again;                    /* asked for while one was being made */
    bool served;                          /* somebody was ready at some time */
    bool ending, finished;
    unsigned told; /* how often */
    int code;
    uint64_t restart_ms, back_off_ms; /* 0: none due */
    uint64_t watchdog_ms;             /* 0: none asked for */
    uint64_t notified_ms;
    /* --- upgrade --- */
    pid_t trial, asker; /* asker: the ward whose answer is due; 0: the log's */
    int trial_out;
    uint64_t trial_deadline_ms;
    char trial_said[REASON_MAX];
    size_t trial_n;
    int old_binary; /* to go back to; -1: no upgrade under way */
    char from[64];  /* version */
};

/* --- supervisor.c --- */
uint64_t supervisor_now_ms(void);
void supervisor_read(struct supervisor *s, enum purpose purpose);
void supervisor_tell(struct supervisor *s, struct ward *w, enum wire_kind kind, uint64_t number, str text);
void supervisor_drain(struct supervisor *s, struct ward *w, unsigned how);
struct ward *supervisor_ward(struct supervisor *s, pid_t pid);

/* --- supervisor_spawn.c --- */
/* The arguments and the path of this program, for those that execute it again. False: errno tells. */
bool program_find(struct supervisor *s);
/* Another one that serves, from the bundle. NULL: it could not be started. */
struct ward *supervisor_spawn(struct supervisor *s, int bundle, bool wait);
/* In a process that was forked: signals as a program expects them, ends with its parent, has none of the wards' ends.
 */
void supervisor_forked(struct supervisor *s);

/* --- supervisor_sockets.c --- */
/* Those that the service manager opened (sd_listen_fds(3)). */
void sockets_given(struct supervisor *s);
/* All that the plan names and that is not held yet; says on stderr what cannot be. ERR_CONFLICT, ERR_DENIED, ERR_LIMIT,
 * ERR_IO. */
MUST_USE enum err sockets_open(struct supervisor *s);
/* Gives them to one that starts. */
MUST_USE enum err sockets_hand(const struct supervisor *s, int to);
/* Closes those that the plan does not name any more. */
void sockets_forget(struct supervisor *s);
/* All, with the names of Unix sockets. */
void sockets_close(struct supervisor *s);

/* --- supervisor_upgrade.c --- */
/* Whether this process was a trial of the program: reads the configuration, says so, and gives the exit code. */
bool upgrade_trial(const struct supervisor_options *o, int *code);
/* Whether this process has taken over from another version. ERR_MALFORMED: it has left nonsense. */
MUST_USE enum err upgrade_resume(struct supervisor *s, bool *resumed);
/* `asker` is 0 for a signal. */
void upgrade_begin(struct supervisor *s, pid_t asker);
void upgrade_trial_says(struct supervisor *s);
void upgrade_trial_ended(struct supervisor *s, int status);
/* The new one could not begin: the old program goes on, if it can still be executed. */
void upgrade_back(struct supervisor *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The new one serves. */
void upgrade_done(struct supervisor *s);
/* The old one could not be replaced: for whoever asked, and the log. */
void upgrade_refused(struct supervisor *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
