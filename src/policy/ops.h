/* The operators of the language on values: what evaluation and partial evaluation share.
 *
 * Each gives a value or says why there is none; none allocates except into the scratch arena of the facts. */
#ifndef SALLYPORT_POLICY_OPS_H
#define SALLYPORT_POLICY_OPS_H

#include "policy/ast.h"
#include "policy/entities.h"

enum eval_fault {
    EVAL_FAULT_NONE = 0,
    EVAL_FAULT_TYPE,      /* an operand of the wrong type */
    EVAL_FAULT_OVERFLOW,  /* an integer outside 64 bits */
    EVAL_FAULT_ATTRIBUTE, /* no such attribute */
    EVAL_FAULT_TAG,       /* no such tag */
    EVAL_FAULT_ENTITY,    /* no such entity */
    EVAL_FAULT_EXTENSION, /* a function refused its arguments */
    EVAL_FAULT_UNKNOWN,   /* it depends on something not known */
    EVAL_FAULT_MEMORY     /* the scratch arena is full: the decision as a whole fails */
};

struct facts {
    const struct entities *entities; /* may be NULL */
    const struct entity *own;        /* looked at first: what one request brings along */
    uint32_t own_n;
    struct arena *scratch;
    struct {
        const struct uid *uid;
        const struct entity *entity;
    } known[3]; /* looked up once: the request's principal, action and resource */
};

/* Any operator with one or two operands that are values, ATTR, HAS, LIKE and IS with their names, CALL, SET and
 * RECORD. `e` gives kind, sub, names and text; its children are not looked at. */
enum eval_fault op_apply(const struct facts *f, const struct expr *e, const struct value *args, uint32_t n,
                         struct value *out);

const struct entity *facts_entity(const struct facts *f, const struct uid *uid);

enum eval_fault op_binary(const struct facts *f, enum expr_kind kind, const struct value *a, const struct value *b,
                          struct value *out);
enum eval_fault op_attr(const struct facts *f, const struct value *v, str name, struct value *out);
enum eval_fault op_has(const struct facts *f, const struct value *v, const str *names, uint32_t n, bool *out);
enum eval_fault op_in(const struct facts *f, const struct uid *u, const struct value *b, bool *out);
enum eval_fault op_call(const struct facts *f, enum ext_fn fn, const struct value *args, uint32_t n, struct value *out);

/* Whether the text is pieces[0] * pieces[1] * … pieces[n-1], * being any text. */
bool op_like(str text, const str *pieces, uint32_t n);

/* "type", "overflow", …: stable words. */
const char *eval_fault_name(enum eval_fault f);

#endif
