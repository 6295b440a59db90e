/* A store whose keeper is in another process: the same promises, over a Unix socket.
 *
 * Owner: the thread of `loop`, which alone uses it; the loop must outlive it. It connects when there is something to
 * ask, and again by itself with growing pauses (100 ms … 5 s). The process at the other end must be of our own user or
 * root (SO_PEERCRED), or nothing is said to it.
 *
 * A job has STORE_REMOTE_DEADLINE_MS from its submission, then it is ERR_TIMEOUT. When a connection breaks, a batch
 * that was sent is ERR_CLOSED (it may have happened); what only reads is asked once more on the next connection. A
 * watch goes on from where it was, and its lease is counted from when the beat was written, not from when it was
 * answered. */
#ifndef SALLYPORT_STORE_REMOTE_H
#define SALLYPORT_STORE_REMOTE_H

#include "store/store.h"

#define STORE_REMOTE_DEADLINE_MS 5000
#define STORE_REMOTE_JOBS        4096 /* waiting and under way; more are ERR_LIMIT */
#define STORE_REMOTE_WATCHES     64

/* `address`: "unix:/path" of a data role's socket. `name`: who asks, for its logs; 1..STORE_NAME_MAX printable bytes.
 * ERR_MALFORMED, ERR_LIMIT (path or name too long), ERR_NO_MEMORY. Freed by store_free. */
MUST_USE enum err store_remote_new(struct loop *loop, str address, str name, struct store **out);

/* Whether a connection stands now, and how many were made. For readiness and metrics. */
bool store_remote_up(const struct store *s);
uint64_t store_remote_connects(const struct store *s);

#endif
