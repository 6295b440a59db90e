/* The JSON form of policies, as Cedar's other tools read and write it. */
#ifndef SALLYPORT_POLICY_POLICY_JSON_H
#define SALLYPORT_POLICY_POLICY_JSON_H

#include "policy/ast.h"
#include "policy/mistakes.h"

/* Reads a policy set {"staticPolicies": {id: policy}, "templates": {id: policy}, "templateLinks": [{"templateId",
 * "newId", "values": {"?principal": entity}}]} or one bare policy (then it is policy0). Policies may be JSON
 * objects or strings of text. ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err policies_parse_json(str text, struct arena *mem, struct mistakes *m, struct policy_set *out);

/* One policy or template as a JSON object; the set in the form above. */
void policy_print_json(const struct policy *p, struct buf *out);
void policies_print_json(const struct policy_set *set, struct buf *out);
void expr_print_json(const struct expr *e, struct buf *out);

#endif
