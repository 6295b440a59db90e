/* A strict, bounded YAML 1.2 reader for configuration: one document into a tree that knows where it came from.
 *
 * Refuses: anchors, aliases, tags, directives, merge keys, duplicate keys, keys that are not plain text, several
 * documents, bad UTF-8, a byte order mark, and whatever exceeds the limits. Plain scalars get their type by the
 * YAML 1.2 core schema (§10.3.2): `yes`, `on`, `012` with its leading zero as decimal 12, `1:30` as text.
 * Libyaml does the scanning; it is used while a file is read and never afterwards. Knows no key by name.
 *
 * The tree lives in the caller's arena and borrows nothing from the input. Lines and columns count from 1, columns
 * in characters. */
#ifndef SALLYPORT_CODEC_YAML_H
#define SALLYPORT_CODEC_YAML_H

#include "base/arena.h"

enum yaml_type { YAML_NULL, YAML_BOOL, YAML_INT, YAML_FLOAT, YAML_STRING, YAML_LIST, YAML_MAP };

enum yaml_fault {
    YAML_FAULT_NONE = 0,
    YAML_FAULT_SYNTAX,
    YAML_FAULT_UTF8,
    YAML_FAULT_EMPTY,     /* no document */
    YAML_FAULT_DOCUMENTS, /* more than one document */
    YAML_FAULT_DIRECTIVE, /* %YAML, %TAG */
    YAML_FAULT_ANCHOR,
    YAML_FAULT_ALIAS,
    YAML_FAULT_TAG,
    YAML_FAULT_KEY, /* a key that is no scalar */
    YAML_FAULT_MERGE,
    YAML_FAULT_DUPLICATE,
    YAML_FAULT_DEPTH,
    YAML_FAULT_SIZE,
    YAML_FAULT_VALUES, /* more values than max_values */
    YAML_FAULT_MEMORY
};

struct yaml_limits {
    uint32_t max_bytes;  /* of the input */
    uint32_t max_depth;  /* maps and lists inside each other */
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

/* What was wrong and where; `other` is the first use of a duplicate key. */
struct yaml_error {
    enum yaml_fault fault;
    struct yaml_mark at, other;
    char text[160]; /* a sentence without full stop */
};

/* Reads all of `in`. *out is written on ERR_OK only, *error otherwise (may not be NULL).
 * ERR_MALFORMED, ERR_LIMIT (DEPTH, SIZE, VALUES), ERR_NO_MEMORY. */
MUST_USE enum err yaml_parse(str in, const struct yaml_limits *limits, struct arena *mem, const struct yaml **out,
                             struct yaml_error *error);

/* A stable word for messages: "duplicate". */
const char *yaml_fault_name(enum yaml_fault f);
/* "a list", "a map", "text", "a number" … for messages. */
const char *yaml_type_name(enum yaml_type t);

/* The value of that key, or NULL (also if v is NULL or no map). */
const struct yaml *yaml_get(const struct yaml *v, str key);

/* A YAML_INT as the core schema writes it (decimal, 0o…, 0x…), exact in 64 bits. ERR_MALFORMED, ERR_LIMIT. */
MUST_USE enum err yaml_int(const struct yaml *v, int64_t *out);

#endif
