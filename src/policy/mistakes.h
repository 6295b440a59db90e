/* What is wrong with a text: all mistakes at once, each with its place, and how to show them.
 *
 * Owner: whoever embeds the struct; texts live in the arena given. Bounded: after MISTAKES_MAX only the count
 * grows. Knows nothing of the languages it reports on. */
#ifndef SALLYPORT_POLICY_MISTAKES_H
#define SALLYPORT_POLICY_MISTAKES_H

#include "base/arena.h"
#include "base/buf.h"

#define MISTAKES_MAX 100

enum policy_fault {
    POLICY_FAULT_NONE = 0,
    POLICY_FAULT_UTF8,       /* the text is not UTF-8 */
    POLICY_FAULT_TOKEN,      /* a character or string no token begins with */
    POLICY_FAULT_ESCAPE,     /* a backslash sequence that is none */
    POLICY_FAULT_NUMBER,     /* an integer outside 64 bits */
    POLICY_FAULT_SYNTAX,     /* something else was expected */
    POLICY_FAULT_RESERVED,   /* a keyword where a name belongs */
    POLICY_FAULT_SCOPE,      /* principal, action, resource: missing, doubled, or with something they cannot have */
    POLICY_FAULT_SLOT,       /* a template slot where none may be */
    POLICY_FAULT_FUNCTION,   /* no function or method of that name, or called the other way */
    POLICY_FAULT_DUPLICATE,  /* annotation, record key, id, declaration: twice */
    POLICY_FAULT_JSON,       /* not the JSON that was expected */
    POLICY_FAULT_UNKNOWN,    /* a type, attribute, action or entity that the schema does not know */
    POLICY_FAULT_TYPE,       /* types that do not fit */
    POLICY_FAULT_IMPOSSIBLE, /* a policy that can never apply */
    POLICY_FAULT_CYCLE,      /* something that contains itself */
    POLICY_FAULT_LIMIT,      /* a bound of ours */
    POLICY_FAULT_MEMORY
};

struct mistake {
    enum policy_fault fault;
    bool warning;     /* worth saying, no reason to refuse */
    uint32_t at, end; /* bytes of the text */
    str message;      /* without full stop */
    str help;         /* may be empty */
    str policy;       /* id, if it is about a policy as a whole */
    struct mistake *next;
};

struct mistakes {
    struct arena *mem;
    struct mistake *first; /* in the order of the text */
    uint32_t n;            /* all errors, also those not kept; warnings are not counted */
    uint32_t kept;
    str policy; /* copied into each mistake added */
};

void mistakes_init(struct mistakes *m, struct arena *mem);

/* Adds one. Never fails: without memory the count alone grows. */
void mistake(struct mistakes *m, enum policy_fault fault, uint32_t at, uint32_t end, str help, const char *fmt, ...)
    PRINTF_LIKE(6, 7);
void mistake_warn(struct mistakes *m, enum policy_fault fault, uint32_t at, uint32_t end, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

/* The first fault, or POLICY_FAULT_NONE. */
enum policy_fault mistakes_fault(const struct mistakes *m);

/* ERR_OK, ERR_NO_MEMORY, ERR_LIMIT or ERR_MALFORMED by what is in it. */
enum err mistakes_err(const struct mistakes *m);

/* Every mistake as "file:line:column: message", the line, a caret, and the help. `text` is what at/end count in;
 * without text (p == NULL) only the messages. */
void mistakes_print(const struct mistakes *m, str file, str text, struct buf *out);

/* "did you mean `x`?" in the arena if one of the n candidates is near enough, or an empty slice. */
str mistake_did_you_mean(struct arena *mem, str given, const str *candidates, size_t n);

/* How many insertions, deletions and substitutions make a of b; at most `limit` + 1 is told. */
unsigned text_distance(str a, str b, unsigned limit);

/* A stable word for logs and tests: "syntax". */
const char *policy_fault_name(enum policy_fault f);

#endif
