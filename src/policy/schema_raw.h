/* Declarations as a schema's text has them, names unresolved: what both schema readers hand to schema_build. */
#ifndef SALLYPORT_POLICY_SCHEMA_RAW_H
#define SALLYPORT_POLICY_SCHEMA_RAW_H

#include "policy/schema.h"

enum raw_kind {
    RAW_NAME,      /* a common type, an entity type or a builtin: name */
    RAW_ENTITY,    /* an entity type only (JSON says so) */
    RAW_PRIMITIVE, /* resolved already */
    RAW_SET,
    RAW_RECORD
};

struct raw_type {
    uint8_t kind;
    uint16_t depth;
    uint32_t n; /* attributes */
    uint32_t at, end;
    str name;
    const struct type *primitive;
    const struct raw_type *element;
    const struct raw_attr *attrs; /* a list */
};

struct raw_attr {
    str name;
    const struct raw_type *type;
    bool required;
    uint32_t at, end;
    struct raw_attr *next;
};

struct raw_name {
    str path; /* of a type, or of an action's type (empty: Action of this namespace) */
    str id;   /* of an action */
    uint32_t at, end;
    struct raw_name *next;
};

struct raw_common {
    str space, name;
    const struct raw_type *type;
    const struct type *resolved;
    bool busy;   /* being resolved: met again, it contains itself */
    bool failed; /* told already */
    uint32_t at, end;
    struct raw_common *next;
};

struct raw_entity {
    str space, name;
    struct raw_name *parents;
    const struct raw_type *shape, *tags;
    struct raw_name *choices; /* in .id; of an enumerated type */
    bool is_enum;
    uint32_t at, end;
    struct raw_entity *next;
};

struct raw_action {
    str space, id;
    struct raw_name *parents, *principals, *resources;
    const struct raw_type *context;
    bool applies;
    uint32_t at, end;
    struct raw_action *next;
};

struct raw_schema {
    struct raw_common *commons, **commons_tail;
    struct raw_entity *entities, **entities_tail;
    struct raw_action *actions, **actions_tail;
};

/* Appends x to the list whose end is *tail. */
#define RAW_APPEND(tail, x)                                                                                            \
    do {                                                                                                               \
        *(tail) = (x);                                                                                                 \
        (tail) = &(x)->next;                                                                                           \
    } while (0)

void raw_schema_init(struct raw_schema *r);

/* Resolves all names and finds all descendants. Mistakes go to m. */
MUST_USE enum err schema_build(const struct raw_schema *raw, struct arena *mem, struct mistakes *m,
                               struct schema **out);

#endif
