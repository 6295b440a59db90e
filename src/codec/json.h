/* A strict, bounded JSON reader (RFC 8259) into an arena.
 *
 * Refuses: duplicate members at any depth (names compared as decoded), anything behind the value, a byte order
 * mark, bad UTF-8, lone surrogates, raw controls in strings, and whatever exceeds the limits. Numbers keep their
 * text: whoever needs a value asks for it with its own exactness. Never recurses; linear in the input. Texts and
 * names may hold any character, U+0000 included: they are slices, never C strings.
 *
 * Values and their slices live as long as the arena and, for strings without escapes, the input. */
#ifndef SALLYPORT_CODEC_JSON_H
#define SALLYPORT_CODEC_JSON_H

#include "base/arena.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

enum json_fault {
    JSON_FAULT_NONE = 0,
    JSON_FAULT_SYNTAX,
    JSON_FAULT_TRAILING,  /* bytes behind the value, or an empty input */
    JSON_FAULT_UTF8,      /* bad UTF-8, byte order mark, lone surrogate */
    JSON_FAULT_DUPLICATE, /* a member name twice in one object */
    JSON_FAULT_DEPTH,
    JSON_FAULT_SIZE,    /* input longer than max_bytes */
    JSON_FAULT_MEMBERS, /* more values than max_values, or more members in one object than max_members */
    JSON_FAULT_NUMBER,  /* a number longer than max_number */
    JSON_FAULT_MEMORY
};

#define JSON_DEPTH_MAX 1100 /* deep enough for an expression of policy as JSON */

struct json_limits {
    uint32_t max_bytes;   /* of the input */
    uint32_t max_depth;   /* arrays and objects inside each other; more than JSON_DEPTH_MAX counts as that */
    uint32_t max_values;  /* values in all */
    uint32_t max_members; /* members of one object, elements of one array */
    uint32_t max_number;  /* characters of one number */
};

/* The token profile: 16 kB, depth 32, 4,096 values, 256 members, 30 characters a number. */
extern const struct json_limits json_limits_token;
/* Documents we keep ourselves (JWKS, discovery): 256 kB, depth 32, 65,536 values, 4,096 members, 30. */
extern const struct json_limits json_limits_document;

struct json {
    enum json_type type;
    uint32_t count;           /* members or elements */
    uint32_t offset;          /* where the value begins in the input, for messages */
    str name;                 /* decoded member name if the parent is an object */
    str text;                 /* string: decoded; number: as written; otherwise empty */
    const struct json *first; /* first child */
    const struct json *next;  /* next sibling */
};

/* Reads all of `in`. *out is written on ERR_OK only. `fault` and `at` (byte offset) may be NULL.
 * ERR_MALFORMED, ERR_LIMIT (DEPTH, SIZE, MEMBERS, NUMBER), ERR_NO_MEMORY. */
MUST_USE enum err json_parse(str in, const struct json_limits *limits, struct arena *mem, const struct json **out,
                             enum json_fault *fault, size_t *at);

/* A stable word for messages: "duplicate_member". */
const char *json_fault_name(enum json_fault f);

/* The member of that name, or NULL (also if v is NULL or no object). */
const struct json *json_get(const struct json *v, str name);

/* The text of a string, or STR_NONE (p == NULL) for anything else, NULL included. */
str json_text(const struct json *v);

/* An integer as written (no fraction, no exponent, "-0" is 0), exact in 64 bits. ERR_MALFORMED, ERR_LIMIT. */
MUST_USE enum err json_int(const struct json *v, int64_t *out);

/* A NumericDate (RFC 7519 §2): seconds, a fraction allowed; *out is rounded towards minus infinity and
 * *fraction says whether something was cut off. Finite, |value| < 2^53. ERR_MALFORMED, ERR_LIMIT. */
MUST_USE enum err json_date(const struct json *v, int64_t *out, bool *fraction);

#endif
