/* Cedar values: what attributes hold and expressions yield.
 *
 * A value is 16 bytes and borrows whatever it points at (arena of the policies, the entity store, or the scratch
 * arena of one decision). Sets are sorted without duplicates and records sorted by name, so that equality is
 * element by element and membership a binary search. Entities are named by uid; two uids are the same entity if
 * type and id are equal, and their keyed hash tells most of them apart at once. Walks recurse: data nests at most
 * VALUE_DEPTH_MAX levels, and an expression adds no more than it is deep itself. */
#ifndef SALLYPORT_POLICY_VALUE_H
#define SALLYPORT_POLICY_VALUE_H

#include "base/arena.h"
#include "base/buf.h"

#define VALUE_DEPTH_MAX 128

enum value_kind {
    VALUE_NONE = 0,
    VALUE_BOOL,
    VALUE_LONG,
    VALUE_STRING,
    VALUE_ENTITY,
    VALUE_SET,
    VALUE_RECORD,
    VALUE_DECIMAL,  /* integer = ten-thousandths */
    VALUE_IP,       /* ip = 16 bytes, a v4 address in the first four; prefix, v6 */
    VALUE_DATETIME, /* integer = milliseconds since 1970-01-01T00:00:00Z */
    VALUE_DURATION, /* integer = milliseconds */
    VALUE_UNKNOWN   /* not known yet (partial evaluation); text = its name */
};

struct uid {
    str type; /* "PhotoApp::User" */
    str id;
    uint64_t hash; /* by uid_hash; never 0 */
};

struct attr;

struct value {
    uint8_t kind;
    uint8_t prefix; /* VALUE_IP */
    bool v6;        /* VALUE_IP */
    uint32_t n;     /* bytes, elements or attributes */
    union {
        bool boolean;
        int64_t integer;
        const char *text;
        const struct uid *uid;
        const struct value *items;
        const struct attr *attrs;
        const uint8_t *ip;
    };
};

struct attr {
    str name;
    struct value value;
};

uint64_t uid_hash(str type, str id);

/* A uid in the arena with copies of both parts, or NULL. */
const struct uid *uid_new(struct arena *mem, str type, str id);

static inline bool uid_eq(const struct uid *a, const struct uid *b)
{
    return a == b || (a->hash == b->hash && str_eq(a->id, b->id) && str_eq(a->type, b->type));
}

/* Order by type, then id. */
int uid_cmp(const struct uid *a, const struct uid *b);

/* Whether the type's last name is "Action". */
bool uid_is_action(const struct uid *u);

static inline struct value value_bool(bool b)
{
    return (struct value){.kind = VALUE_BOOL, .boolean = b};
}

static inline struct value value_long(int64_t i)
{
    return (struct value){.kind = VALUE_LONG, .integer = i};
}

/* s must be shorter than 4 GiB. */
static inline struct value value_string(str s)
{
    return (struct value){.kind = VALUE_STRING, .n = (uint32_t)s.n, .text = s.p};
}

static inline struct value value_entity(const struct uid *u)
{
    return (struct value){.kind = VALUE_ENTITY, .uid = u};
}

static inline str value_text(const struct value *v)
{
    return (str){v->text, v->n};
}

/* A total order over all values; 0 means equal. */
int value_cmp(const struct value *a, const struct value *b);

static inline bool value_eq(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind || a->n != b->n) return false;
    if (a->kind == VALUE_ENTITY) return uid_eq(a->uid, b->uid);
    return value_cmp(a, b) == 0;
}

/* Sorts n values in place, drops duplicates, and makes the set of them. */
struct value value_set(struct value *items, uint32_t n);

/* Sorts n attributes in place by name and makes the record; false if a name is there twice. */
bool value_record(struct attr *attrs, uint32_t n, struct value *out);

/* The attribute of a record, or NULL. */
const struct value *value_attr(const struct attr *attrs, uint32_t n, str name);

bool value_set_has(const struct value *set, const struct value *item);

/* Whether every item of `small` is in `big`; whether they share one. */
bool value_set_within(const struct value *small, const struct value *big);
bool value_sets_meet(const struct value *a, const struct value *b);

/* A deep copy into the arena; ERR_NO_MEMORY. */
MUST_USE enum err value_copy(const struct value *v, struct arena *mem, struct value *out);

/* "a set", "an IP address": for messages. */
const char *value_kind_name(enum value_kind k);

/* As Cedar text: {name: [1, User::"a"]}; extension values as calls. */
void value_print(const struct value *v, struct buf *out);

/* As the JSON that entities and requests use ({"__entity": …}, {"__extn": …}). */
void value_print_json(const struct value *v, struct buf *out);

/* type::"escaped id" */
void uid_print(const struct uid *u, struct buf *out);

/* The inside of a Cedar string literal, with its quotes. */
void cedar_quote(str s, struct buf *out);

/* Whether s can be written as a bare name in Cedar text (an identifier that is no keyword). */
bool cedar_is_ident(str s);
/* Whether s is a path of such identifiers: "A::B". */
bool cedar_is_name(str s);

#endif
