/* What a process that serves may do, from before the first byte of the network on: landlock (which files) and seccomp
 * (which calls), for all its threads and for good.
 *
 * It may read and write in the data folder, read what looking up names and authorities needs, take connections from
 * sockets it was given, and connect. It may not start programs, bind or listen, open anything else, look into or signal
 * other processes, mount, load, trace or make namespaces. A kernel without landlock is told of, not worked around. */
#ifndef SALLYPORT_ROLES_SANDBOX_H
#define SALLYPORT_ROLES_SANDBOX_H

#include "base/str.h"

struct sandbox_state {
    bool on;           /* it was asked for */
    bool files, calls; /* landlock, seccomp: in force */
    char missing[160]; /* what is not, in words; "" when all is in force */
};

/* Shuts it, on the only thread there is. `data` is the data folder, absolute; "" for none. What the kernel refuses is
 * noted and the rest is done all the same. ERR_NO_MEMORY. */
MUST_USE enum err sandbox_shut(const char *data);
/* Never NULL; all false before sandbox_shut. */
const struct sandbox_state *sandbox_state(void);

#endif
