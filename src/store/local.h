/* A store whose keeper is in this process: every call is mail to the keeper's thread and back.
 *
 * Owner: the thread of `loop`, which alone uses it. The keeper and the loop must outlive it. */
#ifndef SALLYPORT_STORE_LOCAL_H
#define SALLYPORT_STORE_LOCAL_H

#include "store/keeper.h"

/* A client of the spaces of the mask (KEEPER_SPACE(STORE_…) | …) that the keeper has open; other spaces are ERR_DENIED.
 * ERR_NO_MEMORY. Freed by store_free. */
MUST_USE enum err store_local_new(struct keeper *k, struct loop *loop, uint32_t spaces, struct store **out);

#endif
