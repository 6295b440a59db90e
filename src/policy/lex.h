/* Text to tokens, for Cedar policies and for schemas: one table of tokens, comments kept for the formatter.
 *
 * Knows no grammar. Bounded by the caller's limits; a text that is not UTF-8 is refused whole. */
#ifndef SALLYPORT_POLICY_LEX_H
#define SALLYPORT_POLICY_LEX_H

#include "policy/mistakes.h"

enum token_kind {
    TOKEN_END,
    TOKEN_IDENT,
    TOKEN_NUMBER,
    TOKEN_STRING,  /* with its quotes, escapes not yet undone */
    TOKEN_SLOT,    /* ?principal */
    TOKEN_COMMENT, /* only with LEX_COMMENTS */
    TOKEN_AT,      /* @ */
    TOKEN_DOT,
    TOKEN_COMMA,
    TOKEN_SEMICOLON,
    TOKEN_COLON,
    TOKEN_PATH, /* :: */
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    TOKEN_LBRACE,
    TOKEN_RBRACE,
    TOKEN_LBRACKET,
    TOKEN_RBRACKET,
    TOKEN_EQ, /* == */
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_OR,
    TOKEN_AND,
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_STAR,
    TOKEN_SLASH,
    TOKEN_PERCENT,
    TOKEN_NOT,
    TOKEN_ASSIGN,  /* = */
    TOKEN_QUESTION /* ? in a schema */
};

struct token {
    uint8_t kind;
    bool newline;    /* a line ended between the token before and this one */
    bool blank_line; /* an empty line did */
    uint32_t at, len;
};

struct tokens {
    str text;
    const struct token *list; /* ends with TOKEN_END */
    uint32_t n;               /* without TOKEN_END */
};

#define LEX_COMMENTS 1u /* keep comments as tokens */

/* Cuts text (at most max_bytes, ERR_LIMIT) into tokens in the arena. Mistakes (UTF8, TOKEN) are added to m and
 * skipped over, so that a parser can find more. ERR_MALFORMED if the text is not UTF-8, ERR_NO_MEMORY. */
MUST_USE enum err lex(str text, uint32_t max_bytes, unsigned flags, struct arena *mem, struct mistakes *m,
                      struct tokens *out);

static inline str token_text(const struct tokens *t, const struct token *k)
{
    return str_make(t->text.p + k->at, k->len);
}

/* Undoes the escapes of a string token's inside. Cedar's are Rust's: \n \r \t \\ \0 \' \" \x7F \u{10FFFF}. In a
 * pattern \* is a star and a bare * a wildcard, which `star` is told of (byte offset in the result); NULL if this
 * is no pattern. `at` is where the inside begins, for mistakes. False if a mistake was added. */
struct star_sink {
    void (*add)(void *arg, size_t at);
    void *arg;
};
bool lex_unescape(str inside, uint32_t at, const struct star_sink *star, struct arena *mem, struct mistakes *m,
                  str *out);

/* "`when`" or "the end of the text", for messages; at most 40 bytes of it. */
str token_describe(const struct tokens *t, const struct token *k, char room[64]);

#endif
