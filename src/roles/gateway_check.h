/* What a running gateway knows to be amiss, for `sallyport check`: one JSON object of findings, each with what to do
 * about it, and what the asker needs in order to compare the files on the disk with what is in force.
 *
 * Looks at what others keep (snapshot, instances, names, feed, sandbox) and at the process's own limits; asks nobody,
 * waits for nothing. Owner: the control thread. */
#ifndef SALLYPORT_ROLES_GATEWAY_CHECK_H
#define SALLYPORT_ROLES_GATEWAY_CHECK_H

#include "base/arena.h"
#include "base/buf.h"

struct gateway;

/* The configuration that was just read is in force now: notes what it is compared with the disk by. */
void gateway_check_loaded(struct gateway *g);

/* control_source.check: `gateway` is a struct gateway. */
void gateway_check(void *gateway, struct arena *mem, struct buf *out);

#endif
