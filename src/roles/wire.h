/* What parent and child say to each other: fixed, bounded messages on a pair of SOCK_SEQPACKET sockets, with
 * descriptors one way only, from the parent to the child.
 *
 * Nothing that the child can say names a file, a command, an address or a process: it asks for the configuration, or
 * tells how it is. What the parent reads or runs for it is what the configuration names, as the parent itself has read
 * it. Knows nothing of who speaks. */
#ifndef SALLYPORT_ROLES_WIRE_H
#define SALLYPORT_ROLES_WIRE_H

#include "base/str.h"

#define WIRE_TEXT 1000
#define WIRE_FDS  64

/* The numbers are part of an upgrade: parents and children of two versions speak with each other. Append only. */
enum wire_kind {
    WIRE_NONE = 0,
    /* to the child */
    WIRE_START = 1,     /* first: number = WIRE_START_… bits; one descriptor: the bundle */
    WIRE_SOCKETS = 2,   /* text = a name; listening sockets */
    WIRE_GO = 3,        /* that was all: begin. number: milliseconds between two signs of life, 0: none wanted */
    WIRE_BUNDLE = 4,    /* the configuration: one descriptor. number: of the last question before it was read */
    WIRE_NO_BUNDLE = 5, /* it could not be had; text says why */
    WIRE_DRAIN = 6,     /* end. number: 0 as told by a signal, 1 at once, 2 another child has taken over */
    WIRE_HAND_OVER = 7, /* another child is about to take over: give up what only one may have, and drain */
    WIRE_OPEN = 8,      /* what only one may have is free */
    WIRE_UPGRADED = 9,  /* what became of an upgrade. number: 1 done, 0 refused; text */
    /* to the parent */
    WIRE_WAITS = 32,       /* the configuration is good; what is wanted next only one may have: WIRE_OPEN */
    WIRE_READY = 33,       /* number: the generation in force */
    WIRE_WANT_BUNDLE = 34, /* number: of the question */
    WIRE_RELOADING = 35,
    WIRE_RELOADED = 36, /* number: 1 the bundle is in force, 0 it was refused */
    WIRE_ENDING = 37,   /* drains */
    WIRE_FREED = 38,    /* after WIRE_HAND_OVER: it is free */
    WIRE_ALIVE = 39,
    WIRE_WANT_UPGRADE = 40,
};

enum {
    WIRE_START_WAIT = 1,      /* somebody else may still have what only one may have: WIRE_WAITS */
    WIRE_START_NO_SANDBOX = 2 /* whatever the configuration says */
};
enum { WIRE_DRAIN_SIGNAL = 0, WIRE_DRAIN_NOW = 1, WIRE_DRAIN_TAKEN_OVER = 2 };

struct wire_message {
    uint32_t magic, kind;
    uint64_t number;
    char text[WIRE_TEXT]; /* ends with a NUL */
};

/* Both ends, close-on-exec. ERR_IO. */
MUST_USE enum err wire_pair(int fds[2]);
/* Whether fd is one whose other end was opened by process `pid`. */
bool wire_is(int fd, int32_t pid);

/* `text` is cut at WIRE_TEXT - 1 bytes. `wait`: until there is room; else ERR_AGAIN. ERR_CLOSED, ERR_IO. */
MUST_USE enum err wire_send(int fd, enum wire_kind kind, uint64_t number, str text, const int *fds, size_t n_fds,
                            bool wait);
/* One message, whole and well-formed. `fds` NULL: descriptors that come with it are not even opened here; else room for
 * WIRE_FDS, close-on-exec, the caller's. ERR_AGAIN (only without `wait`), ERR_CLOSED, ERR_MALFORMED, ERR_IO. */
MUST_USE enum err wire_receive(int fd, bool wait, struct wire_message *out, int *fds, size_t *n_fds);

#endif
