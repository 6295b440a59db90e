/* Policies as a tree: what the readers (text, JSON) build and everything else walks.
 *
 * A tree lives in one arena, is immutable once built, and may be read by any thread. Every node knows its depth;
 * nothing deeper than EXPR_DEPTH_MAX is ever built, so that walkers may recurse. Sugar (!=, >, >=, has a.b,
 * is … in) is kept as written. */
#ifndef SALLYPORT_POLICY_AST_H
#define SALLYPORT_POLICY_AST_H

#include "policy/decision.h"
#include "policy/ext.h"

#define EXPR_DEPTH_MAX 512

enum expr_kind {
    EXPR_LITERAL, /* value: boolean, long, string, entity; after folding any value */
    EXPR_VAR,
    EXPR_NOT,
    EXPR_NEG,
    EXPR_AND,
    EXPR_OR,
    EXPR_IF, /* 3 */
    EXPR_EQ,
    EXPR_NE,
    EXPR_LT,
    EXPR_LE,
    EXPR_GT,
    EXPR_GE,
    EXPR_ADD,
    EXPR_SUB,
    EXPR_MUL,
    EXPR_IN,
    EXPR_CONTAINS,
    EXPR_CONTAINS_ALL,
    EXPR_CONTAINS_ANY,
    EXPR_IS_EMPTY,
    EXPR_GET_TAG,
    EXPR_HAS_TAG,
    EXPR_ATTR, /* text */
    EXPR_HAS,  /* names: one, or a path */
    EXPR_LIKE, /* names: the pieces between wildcards, one more than there are wildcards */
    EXPR_IS,   /* text: the type; a second child is what it must be in */
    EXPR_SET,
    EXPR_RECORD, /* names: one a child */
    EXPR_CALL,   /* fn */
    EXPR_UNKNOWN /* text: its name; only in what partial evaluation leaves */
};

enum var { VAR_PRINCIPAL, VAR_ACTION, VAR_RESOURCE, VAR_CONTEXT };

struct expr {
    uint8_t kind;
    uint8_t sub; /* enum var or enum ext_fn */
    uint16_t depth;
    uint32_t n; /* children */
    uint32_t names_n;
    uint32_t at, end; /* bytes of the text */
    const struct expr **args;
    union {
        struct value value;
        str text;
        const str *names;
    };
};

enum scope_kind { SCOPE_ANY, SCOPE_EQ, SCOPE_IN, SCOPE_IS, SCOPE_IS_IN, SCOPE_IN_LIST };

struct scope {
    uint8_t kind;
    bool slot;                     /* the entity is this variable's slot: a template */
    str type;                      /* IS, IS_IN */
    const struct uid *uid;         /* EQ, IN, IS_IN */
    const struct uid *const *list; /* IN_LIST (action only) */
    uint32_t n;
    uint32_t at, end;
};

struct annotation {
    str name, value;
    bool bare; /* written without a value */
};

struct condition {
    bool unless;
    const struct expr *body;
    uint32_t at, end;
};

struct policy {
    str id;
    enum effect effect; /* EFFECT_DENY is forbid */
    uint32_t annotations_n, conditions_n;
    const struct annotation *annotations;
    const struct condition *conditions;
    struct scope principal, action, resource;
    const struct policy *template; /* what it was linked from, or NULL */
    uint32_t index;                /* place in its set */
    uint32_t at, end;
};

struct policy_set {
    struct arena *mem;
    const struct policy **policies; /* static and linked: what decides */
    uint32_t n;
    const struct policy **templates;
    uint32_t templates_n;
};

static inline bool policy_is_template(const struct policy *p)
{
    return p->principal.slot || p->resource.slot;
}

/* A node with room for n children (to be filled, then expr_done). NULL without memory. */
struct expr *expr_new(struct arena *mem, enum expr_kind kind, uint32_t n, uint32_t at, uint32_t end);

/* Sets the depth from the children; false if it is too deep. */
bool expr_done(struct expr *e);

/* Convenience: node with its children; NULL without memory or if too deep (*deep then says so; may be NULL). */
struct expr *expr_make(struct arena *mem, enum expr_kind kind, const struct expr *a, const struct expr *b,
                       const struct expr *c, uint32_t at, uint32_t end, bool *deep);

struct expr *expr_literal(struct arena *mem, struct value v, uint32_t at, uint32_t end);

/* Whether two trees say the same (places aside). */
bool expr_eq(const struct expr *a, const struct expr *b);

/* The annotation's value, or STR_NONE (p == NULL). */
str policy_annotation(const struct policy *p, str name);

/* The policy or template of that id, or NULL. */
const struct policy *policy_find(const struct policy_set *set, str id);

/* Fills a template's slots and adds the result as policy `id`. A slot the template has must be given, one it has
 * not must be NULL. ERR_CONFLICT (id taken), ERR_MALFORMED (slots), ERR_NO_MEMORY. */
MUST_USE enum err policy_link(struct policy_set *set, const struct policy *template, str id,
                              const struct uid *principal, const struct uid *resource);

/* The same without looking for the id among the others: for who keeps track of ids himself. */
MUST_USE enum err policy_link_fresh(struct policy_set *set, const struct policy *template, str id,
                                    const struct uid *principal, const struct uid *resource);

/* Appends (policies or templates by what it is); ERR_NO_MEMORY. Ids are not checked. */
MUST_USE enum err policy_set_add(struct policy_set *set, struct policy *p);

extern const str var_names[4];

#endif
