/* Shared by parse.c and parse_expr.c only: the parser's state and its small steps. */
#ifndef SALLYPORT_POLICY_PARSE_INTERNAL_H
#define SALLYPORT_POLICY_PARSE_INTERNAL_H

#include "policy/parse.h"

struct parser {
    struct tokens tokens;
    const struct token *at; /* the token to read next */
    struct arena *mem;
    struct mistakes *m;
    unsigned depth;
};

static inline bool parser_is(const struct parser *p, enum token_kind k)
{
    return p->at->kind == k;
}

static inline bool parser_is_word(const struct parser *p, str word)
{
    return p->at->kind == TOKEN_IDENT && str_eq(token_text(&p->tokens, p->at), word);
}

/* Never moves behind TOKEN_END. */
static inline const struct token *parser_take(struct parser *p)
{
    const struct token *t = p->at;
    if (t->kind != TOKEN_END) p->at++;
    return t;
}

/* End of the token before. */
static inline uint32_t parser_end(const struct parser *p)
{
    return p->at == p->tokens.list ? 0 : p->at[-1].at + p->at[-1].len;
}

/* Takes the token, or adds a mistake "expected …, found …" and returns false. */
bool parser_expect(struct parser *p, enum token_kind k, const char *what);
void parser_unexpected(struct parser *p, const char *what);
void parser_no_memory(struct parser *p);

/* The text of an identifier that is no keyword; a mistake otherwise. */
bool parser_name_part(struct parser *p, const char *what, str *out);

/* A::B::C in normal form, in the arena. */
bool parser_name(struct parser *p, const char *what, str *out);

/* A string token's value. */
bool parser_string(struct parser *p, const char *what, str *out);

/* An entity literal A::"b". */
const struct uid *parser_uid(struct parser *p, const char *what);

/* Whether what follows begins an entity literal: name :: string. */
bool parser_at_uid(const struct parser *p);

/* NULL after a mistake. */
const struct expr *parser_expr(struct parser *p);

#endif
