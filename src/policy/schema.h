/* A schema: which entity types and actions there are, and what attributes hold.
 *
 * Read from human text or JSON (the readers) into one resolved form; immutable, any thread may read it. All names
 * are full ("PhotoApp::User"). Knows nothing of policies. */
#ifndef SALLYPORT_POLICY_SCHEMA_H
#define SALLYPORT_POLICY_SCHEMA_H

#include "base/map.h"
#include "policy/mistakes.h"
#include "policy/value.h"

#define TYPE_DEPTH_MAX 128
#define TYPE_SIZE_MAX  65536 /* parts of one type, those of named types counted at each use */

enum type_kind {
    TYPE_NEVER = 0, /* no value has it; what an empty choice yields */
    TYPE_FALSE,     /* the validator knows the very value */
    TYPE_TRUE,
    TYPE_BOOL,
    TYPE_LONG,
    TYPE_STRING,
    TYPE_ENTITY, /* name */
    TYPE_SET,    /* element */
    TYPE_RECORD, /* attrs, sorted by name */
    TYPE_EXT     /* ext: enum value_kind */
};

struct type;

struct type_attr {
    str name;
    const struct type *type;
    bool required;
};

struct type {
    uint8_t kind;
    uint8_t ext;
    uint32_t n;
    uint32_t size; /* itself and all its parts */
    str name;
    const struct type *element;
    const struct type_attr *attrs;
};

struct entity_type {
    str name;
    const struct type *shape; /* a record */
    const struct type *tags;  /* or NULL: it has none */
    const str *parents;       /* types its members may be in directly */
    const str *descendants;   /* types that may be in it, at any distance; sorted */
    const str *choices;       /* of an enumerated type, else NULL */
    uint32_t parents_n, descendants_n, choices_n;
    bool is_enum;
    uint32_t at, end;
};

struct action_type {
    const struct uid *uid;
    const str *principals, *resources; /* types it applies to */
    const struct type *context;        /* a record */
    const struct uid **parents;
    const struct action_type **descendants; /* at any distance */
    uint32_t principals_n, resources_n, parents_n, descendants_n;
    uint32_t at, end;
};

struct schema {
    struct map types;                     /* name → struct entity_type */
    struct map actions;                   /* "type::id" as uid_key → struct action_type */
    const struct entity_type **type_list; /* in the order of the text */
    const struct action_type **action_list;
    uint32_t types_n, actions_n;
};

/* Human syntax or JSON to a schema in the arena. All mistakes at once. ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err schema_parse(str text, struct arena *mem, struct mistakes *m, struct schema **out);
MUST_USE enum err schema_parse_json(str text, struct arena *mem, struct mistakes *m, struct schema **out);

/* Frees what is not in the arena. */
void schema_free(struct schema **s);

const struct entity_type *schema_entity(const struct schema *s, str name);
const struct action_type *schema_action(const struct schema *s, const struct uid *uid);

const struct type_attr *type_attr(const struct type *record, str name);

/* As schema text: Set<{name: String, age?: Long}>. */
void type_print(const struct type *t, struct buf *out);

/* The record type of a name that can be written: for messages and completion. */
bool type_eq(const struct type *a, const struct type *b);

/* The one type of each kind without parts. */
const struct type *type_simple(enum type_kind k);
const struct type *type_ext(enum value_kind k);

#endif
