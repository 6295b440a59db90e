/* A policy set made ready to decide: expressions flattened and folded, policies indexed by their scope.
 *
 * Made once per snapshot, read-only afterwards, shared by all threads. Borrows the policy set, which must outlive
 * it. Which policies can apply to a request is found by a few probes of one hash table: each policy is filed under
 * the rarest of what its scope asks for (principal, action, resource, or a type), or under nothing. */
#ifndef SALLYPORT_POLICY_COMPILE_H
#define SALLYPORT_POLICY_COMPILE_H

#include "policy/ast.h"

#define OP_CONSTANT UINT8_MAX

/* One step of an expression; children are indices of other steps. */
struct op {
    uint8_t kind; /* enum expr_kind, or OP_CONSTANT */
    uint8_t sub;  /* variable or function */
    uint16_t pad;
    uint32_t n; /* children, when more than three: of children[a…] */
    uint32_t a, b, c;
};

/* What a policy is filed under. */
enum key_kind {
    KEY_PRINCIPAL_EQ,
    KEY_PRINCIPAL_IN,
    KEY_PRINCIPAL_TYPE,
    KEY_ACTION_EQ,
    KEY_ACTION_IN,
    KEY_RESOURCE_EQ,
    KEY_RESOURCE_IN,
    KEY_RESOURCE_TYPE,
    KEY_COUNT
};

struct key_slot {
    uint64_t hash; /* 0: free */
    uint32_t first, n;
};

/* A scope as it is looked at most: one comparison of hashes tells nearly all that do not fit. */
struct compiled_scope {
    uint64_t hash;         /* of uid */
    const struct uid *uid; /* EQ, IN; else NULL */
};

struct compiled_policy {
    const struct policy *policy;
    uint32_t conditions, conditions_n; /* in compiled.conditions */
    uint8_t kinds[3];                  /* enum scope_kind of principal, action, resource */
    bool multi;                        /* filed under more than one key */
    bool permit;
    struct compiled_scope scopes[3];
};

struct compiled_condition {
    uint32_t op;
    bool unless;
};

struct compiled {
    struct arena mem;
    const struct policy_set *set;
    struct compiled_policy *policies;
    struct compiled_condition *conditions;
    struct op *ops;
    const struct expr **origin; /* a step's expression: lists of names, and for messages */
    str *texts;                 /* an attribute's name, by op.b */
    struct value *constants;    /* a constant's value, by op.a */
    uint32_t *children;
    struct key_slot *slots;
    uint32_t *postings; /* policies by key, then those without one */
    uint32_t policies_n, ops_n, slots_n, any_first, any_n;
    bool has_key[KEY_COUNT];
};

/* ERR_NO_MEMORY, ERR_LIMIT. */
MUST_USE enum err compile(const struct policy_set *set, struct compiled **out);
void compiled_free(struct compiled **c);

static inline uint64_t key_hash(enum key_kind kind, uint64_t hash)
{
    uint64_t h = (hash ^ (uint64_t)(kind + 1) * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 32;
    return h ? h : 1;
}

/* The policies filed under the key, or NULL. */
const struct key_slot *compiled_find(const struct compiled *c, uint64_t key);

#endif
