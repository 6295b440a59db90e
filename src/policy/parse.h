/* Cedar policy text to a tree: the whole grammar of Cedar 4, all mistakes at once.
 *
 * Bounded by POLICY_TEXT_MAX bytes and EXPR_DEPTH_MAX levels; recursion never goes deeper than that. Reads text
 * only: names of types and attributes are the validator's business. */
#ifndef SALLYPORT_POLICY_PARSE_H
#define SALLYPORT_POLICY_PARSE_H

#include "policy/ast.h"
#include "policy/lex.h"

#define POLICY_TEXT_MAX (64u << 20)

#define PARSE_ID_ANNOTATION 1u /* an @id("…") names the policy; without it they are policy0, policy1, … */

/* Reads all of text. The set lives in the arena and borrows nothing of the text. Mistakes go to m.
 * ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY; *out is written on ERR_OK only. */
MUST_USE enum err policies_parse(str text, unsigned flags, struct arena *mem, struct mistakes *m,
                                 struct policy_set *out);

/* One expression, for tests of conditions and for entities written as Cedar text. */
MUST_USE enum err expr_parse(str text, struct arena *mem, struct mistakes *m, const struct expr **out);

/* User::"alice" */
MUST_USE enum err uid_parse(str text, struct arena *mem, struct mistakes *m, const struct uid **out);

#endif
