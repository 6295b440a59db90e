/* Every key of a configuration file: its name, shape, bounds, default and meaning, in one table.
 *
 * The reader (config/read.c) reads by this table, the key list of docs/configuration.md is printed from it, and a
 * test compares it with the JSON Schema. A key that is not here does not exist. Constant data. */
#ifndef SALLYPORT_CONFIG_KEYS_H
#define SALLYPORT_CONFIG_KEYS_H

#include "base/buf.h"

struct reader;
struct yaml;
struct key_def;

enum key_shape {
    SHAPE_FLAG,     /* bool */
    SHAPE_NUMBER,   /* uint32_t */
    SHAPE_NUMBER64, /* uint64_t */
    SHAPE_SIZE,     /* uint32_t, bytes */
    SHAPE_SIZE64,   /* uint64_t, bytes */
    SHAPE_MS,       /* uint32_t, milliseconds */
    SHAPE_SECONDS,  /* uint32_t, whole seconds */
    SHAPE_TEXT,     /* struct config_str, checked by `check` */
    SHAPE_PLAIN,    /* the same into a str, its place forgotten */
    SHAPE_CHOICE,   /* an enum, the place in `choices` */
    SHAPE_MASK,     /* uint8_t: bit i for choices[i]; one or a list */
    SHAPE_LIST,     /* struct config_list: one text or a list of texts, each checked by `check` */
    SHAPE_LIST_ANY, /* the same, or the word `any` */
    SHAPE_MAP,      /* a map of known keys, into the same struct */
    SHAPE_NAMED,    /* a map from names to maps or lists: an array of structs that begin with name and place */
    SHAPE_CUSTOM,   /* `read` does it */
    SHAPE_REFUSED   /* known, not enforced in this version */
};

/* Says what is wrong with a text as a sentence behind "must be ", or NULL. */
typedef const char *text_check(const char *text, size_t n);

struct key_map {
    const struct key_def *keys; /* ends with a NULL name */
    /* SHAPE_NAMED: what one entry is */
    uint32_t elem_size, max;
    text_check *name_check;
    void (*begin)(void *elem);                                       /* its defaults */
    void (*end)(struct reader *r, const struct yaml *v, void *elem); /* what its keys must be together */
};

struct key_def {
    const char *name;
    enum key_shape shape;
    bool required;
    bool nullable;         /* SHAPE_LIST: null is the empty list, and not the default */
    uint16_t offset;       /* in the struct that the map is read into */
    uint16_t count_offset; /* SHAPE_NAMED: of the uint32_t with the number of entries; of others that read a list */
    uint64_t min, max;     /* of a number, size or duration; of the entries of a list */
    const char *const *choices;
    const struct key_map *map; /* SHAPE_MAP, SHAPE_NAMED; SHAPE_CUSTOM: of its entries, for documents */
    text_check *check;
    void (*read)(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
    const char *type;     /* for documents, where the shape does not tell */
    const char *standard; /* the default, for documents */
    const char *about;
    const char *example;
};

/* The whole file. Read into a struct config. */
extern const struct key_map config_keys;

/* Every key as rows of a Markdown table, in the order of the table. */
void config_keys_markdown(struct buf *out);
/* The keys that are known and refused, as a Markdown list. */
void config_keys_refused_markdown(struct buf *out);

/* Calls `each` with every key's path, "issuers.*.keys.file"; refused keys too. */
void config_keys_each(void (*each)(const char *path, const struct key_def *def, void *arg), void *arg);

#endif
