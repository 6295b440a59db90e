/* A strict, bounded YAML 1.2 reader for configuration: one document into a tree that knows where it came from.
 *
 * Refuses: anchors, aliases, tags, directives, duplicate keys, keys that are no scalar, several documents, bad UTF-8,
 * a byte order mark, and whatever exceeds the limits. Plain scalars get their type by the YAML 1.2 core schema
 * (§10.3.2), less its numbers with a prefix: `yes`, `on`, `0o17`, `0x1f` and `1:30` are text, `012` is twelve.
 * Libyaml does the scanning; it is used while a file is read and never afterwards. Knows no key by name.
 *
 * The tree lives in the caller's arena and borrows nothing from the input. Lines and columns count from 1, columns
 * in characters. Never recurses. */
#ifndef SALLYPORT_CODEC_YAML_H
#define SALLYPORT_CODEC_YAML_H

#include "base/arena.h"

enum yaml_type {
    YAML_NULL,
    YAML_BOOL,
    YAML_INT,
    YAML_FLOAT,
    YAML_STRING,
    YAML_LIST,
    YAML_MAP,
    YAML_REFUSED /* an alias or a tagged value stood here; only beside a fault */
};

enum yaml_fault {
    YAML_FAULT_NONE = 0,
    /* there is no tree */
    YAML_FAULT_SYNTAX,
    YAML_FAULT_UTF8,      /* bad UTF-8, byte order mark */
    YAML_FAULT_EMPTY,     /* no document */
    YAML_FAULT_DOCUMENTS, /* more than one document */
    YAML_FAULT_KEY,       /* a key that is no scalar */
    YAML_FAULT_DEPTH,
    YAML_FAULT_SIZE,   /* input longer than max_bytes */
    YAML_FAULT_VALUES, /* more values than max_values */
    YAML_FAULT_MEMORY,
    /* there is a tree, which is refused all the same */
    YAML_FAULT_DIRECTIVE, /* %YAML, %TAG */
    YAML_FAULT_ANCHOR,
    YAML_FAULT_ALIAS,
    YAML_FAULT_TAG,
    YAML_FAULT_DUPLICATE /* a key twice in one map; the first one is in the tree */
};

struct yaml_limits {
    uint32_t max_bytes;  /* of the input */
    uint32_t max_depth;  /* maps and lists inside each other, at most 64 */
    uint32_t max_values; /* values in all */
};
/* 4 MB, depth 32, 262,144 values. */
extern const struct yaml_limits yaml_limits_default;

struct yaml_mark {
    uint32_t line, column; /* from 1; 0: nowhere */
};

struct yaml {
    enum yaml_type type;
    bool quoted;                     /* a scalar in quotes or a block scalar: always YAML_STRING */
    bool boolean;                    /* YAML_BOOL: its value */
    uint32_t count;                  /* children of a list or map */
    struct yaml_mark at, end;        /* where the value begins; just behind its end */
    struct yaml_mark key_at;         /* where the key begins, if the parent is a map */
    str key;                         /* the key's text, if the parent is a map */
    str text;                        /* a scalar as text, escapes resolved */
    const struct yaml *first, *next; /* children; siblings */
};

struct yaml_error {
    enum yaml_fault fault;
    struct yaml_mark at;
    struct yaml_mark other; /* DUPLICATE: the first use */
    uint32_t width;         /* characters from `at` on that are meant; 0: one */
    char text[200];         /* a sentence without full stop; quotes nothing of the input but keys */
};

#define YAML_ERRORS_MAX 16
struct yaml_errors {
    struct yaml_error v[YAML_ERRORS_MAX];
    uint32_t n;
};

/* Reads all of `in`. *out is written on ERR_OK only; then nothing was refused. `errors` has what was wrong, in the
 * order of the input. ERR_MALFORMED, ERR_LIMIT (DEPTH, SIZE, VALUES), ERR_NO_MEMORY. */
MUST_USE enum err yaml_parse(str in, const struct yaml_limits *limits, struct arena *mem, struct yaml_errors *errors,
                             const struct yaml **out);

/* For a checker that wants to report everything at once: ERR_OK means only that there is a tree; the document is
 * refused unless errors->n is 0. Same errors otherwise. */
MUST_USE enum err yaml_parse_all(str in, const struct yaml_limits *limits, struct arena *mem,
                                 struct yaml_errors *errors, const struct yaml **out);

/* A stable word for messages: "duplicate". */
const char *yaml_fault_name(enum yaml_fault f);
/* "a list", "a map", "text", "a whole number" … for messages. */
const char *yaml_type_name(enum yaml_type t);

/* The value of that key, or NULL (also if v is NULL or no map). */
const struct yaml *yaml_get(const struct yaml *v, str key);

/* A YAML_INT, exact in 64 bits. ERR_MALFORMED (no YAML_INT), ERR_LIMIT. */
MUST_USE enum err yaml_int(const struct yaml *v, int64_t *out);

#endif
