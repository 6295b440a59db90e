/* Why a request ended as it did, in words for the operator: never sent to who asked. */
#ifndef SALLYPORT_SERVE_WHY_H
#define SALLYPORT_SERVE_WHY_H

#include "serve/control.h"

/* "action payOrder is granted to roles buyer; this token carries support". `facts` (NULL: not known) are those of the
 * configuration now in force. Appends nothing when there is no rule to name. */
void why_rule(const struct decision_record *r, const struct control_facts *facts, struct buf *out);

/* The reason's remedy with {action} {product} {method} {path} {upstream} filled in. */
void why_remedy(const struct decision_record *r, struct buf *out);

/* All of it as one JSON object: decision, title, explanation, rule, remedy, action (null: not known), generation. */
void why_json(const struct decision_record *r, const struct control_facts *facts, uint64_t generation_now,
              struct buf *out);

#endif
