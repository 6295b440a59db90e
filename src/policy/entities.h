/* The entity store: uids to attributes, tags and ancestors; from JSON, for a million of them.
 *
 * Built once, then read-only and shared by all threads. The entities live in the caller's arena; the table is the
 * store's own and goes with entities_free. Ancestors are kept whole, sorted by hash: `in` is a search, not a walk.
 * A cycle among parents is refused. */
#ifndef SALLYPORT_POLICY_ENTITIES_H
#define SALLYPORT_POLICY_ENTITIES_H

#include "policy/mistakes.h"
#include "policy/schema.h"
#include "policy/value.h"

struct json;

#define ENTITIES_TEXT_MAX        (1u << 30)
#define ENTITIES_ANCESTORS_MAX   20000    /* of one entity */
#define ENTITIES_CLOSURE_MAX     50000000 /* ancestors of all entities together */
#define ENTITY_OWN_ANCESTORS_MAX 4096     /* of an entity made for one request */

struct entity {
    struct uid uid;
    const struct attr *attrs, *tags;    /* sorted by name */
    const struct uid *const *ancestors; /* sorted by hash, itself not among them */
    const struct uid *const *parents;   /* as given */
    uint32_t attrs_n, tags_n, ancestors_n, parents_n;
    bool defined;  /* false: somebody only names it */
    uint8_t visit; /* while ancestors are found */
};

struct entity_slot {
    uint64_t hash; /* 0: free */
    struct entity *entity;
};

struct entities {
    struct arena *mem;
    struct entity_slot *slots; /* open addressing by uid.hash */
    size_t cap, named;         /* slots; entities in them */
    size_t n;                  /* defined ones */
    struct map names;          /* type and attribute names: one copy each */
};

void entities_init(struct entities *es, struct arena *mem);
void entities_free(struct entities *es);

/* Reads a JSON array of {"uid", "attrs", "parents", "tags"} and adds them. With a schema values are read by their
 * type (so that {"type", "id"} and plain strings may stand for entities and extension values) and what does not
 * conform is refused, and the schema's actions are added. Then call entities_finish.
 * ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err entities_load(struct entities *es, str json, const struct schema *schema, struct mistakes *m);

/* Finds all ancestors. ERR_MALFORMED (a cycle), ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err entities_finish(struct entities *es, struct mistakes *m);

/* The defined entity of that uid, or NULL. */
const struct entity *entities_find(const struct entities *es, const struct uid *uid);

/* One entity for one request, outside any store: attributes as value_record made them, parents by uid, ancestors
 * found through `es` (may be NULL). Its arrays live in the arena and borrow uids and attributes; nothing is looked up
 * by name. ERR_NO_MEMORY, ERR_LIMIT. */
MUST_USE enum err entity_make(const struct uid *uid, const struct value *record, const struct uid *const *parents,
                              uint32_t parents_n, const struct entities *es, struct arena *mem, struct entity *out);

/* Whether `ancestor` is among the entity's ancestors. */
bool entity_is_in(const struct entity *e, const struct uid *ancestor);

const struct value *entity_attr(const struct entity *e, str name);
const struct value *entity_tag(const struct entity *e, str name);

/* The entity of that name, made if need be; for loaders. NULL without memory. */
struct entity *entities_intern(struct entities *es, str type, str id);
/* One shared copy of a name; .p is NULL without memory. */
str entities_name(struct entities *es, str name);

/* One JSON value; `type` may be NULL. A uid is looked for in `es` if that is given (then shared). Mistakes carry
 * the offset `base` + the value's. `path` names the value in messages. */
MUST_USE enum err value_from_json(const struct json *j, const struct type *type, struct entities *es, struct arena *mem,
                                  struct mistakes *m, const char *path, uint32_t base, struct value *out);

/* {"type": "User", "id": "alice"}, also within {"__entity": …}. */
MUST_USE enum err uid_from_json(const struct json *j, struct entities *es, struct arena *mem, struct mistakes *m,
                                const char *path, uint32_t base, const struct uid **out);

/* A JSON object to a context record, by the action's type if there is a schema. */
MUST_USE enum err context_from_json(str text, const struct type *type, struct arena *mem, struct mistakes *m,
                                    struct value *out);

/* Whether a value has the type (strictly: required attributes there, no others). */
bool value_has_type(const struct value *v, const struct type *t, const struct schema *schema);

#endif
