/* Policy text laid out anew: 80 columns, two blanks of indentation, comments kept where they were.
 *
 * Works on the tokens, never on the tree: what comes out has exactly the tokens that went in. */
#ifndef SALLYPORT_POLICY_FORMAT_H
#define SALLYPORT_POLICY_FORMAT_H

#include "policy/mistakes.h"

/* Refuses what is no policy text (mistakes in m). ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err policies_format(str text, struct arena *mem, struct mistakes *m, struct buf *out);

#endif
