/* Expressions: one function a level of the grammar, loops for chains, recursion only into brackets and `if`. */
#include "policy/parse_internal.h"

#define RECORD_MAX 4096 /* keeping keys sorted costs their square */

static const struct expr *parse_add(struct parser *p);

/* The node, or NULL after telling why not. */
static const struct expr *made(struct parser *p, const struct expr *e, bool deep, uint32_t at)
{
    if (e) return e;
    if (deep)
        mistake(p->m, POLICY_FAULT_LIMIT, at, parser_end(p), STR_NONE, "nested deeper than %d levels", EXPR_DEPTH_MAX);
    else
        parser_no_memory(p);
    return NULL;
}

static const struct expr *node(struct parser *p, enum expr_kind kind, const struct expr *a, const struct expr *b,
                               const struct expr *c, uint32_t at)
{
    bool deep = false;
    const struct expr *e = expr_make(p->mem, kind, a, b, c, at, parser_end(p), &deep);
    return made(p, e, deep, at);
}

static const struct expr *literal(struct parser *p, struct value v, uint32_t at)
{
    return made(p, expr_literal(p->mem, v, at, parser_end(p)), false, at);
}

/* A list that grows while it is parsed. */
struct list {
    const struct expr **items;
    str *names;
    uint32_t n, cap;
};

static bool list_add(struct parser *p, struct list *l, str name, const struct expr *e)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 4;
        const struct expr **items = arena_array(p->mem, cap, sizeof(const struct expr *));
        str *names = arena_array(p->mem, cap, sizeof *names);
        if (!items || !names) return parser_no_memory(p), false;
        for (uint32_t i = 0; i < l->n; i++) {
            items[i] = l->items[i];
            names[i] = l->names[i];
        }
        l->items = items;
        l->names = names;
        l->cap = cap;
    }
    l->items[l->n] = e;
    l->names[l->n++] = name;
    return true;
}

static const struct expr *list_node(struct parser *p, enum expr_kind kind, const struct list *l, uint32_t at)
{
    struct expr *e = expr_new(p->mem, kind, 0, at, parser_end(p));
    if (!e) return made(p, NULL, false, at);
    e->n = l->n;
    e->args = l->items;
    if (kind == EXPR_RECORD) {
        e->names = l->names;
        e->names_n = l->n;
    }
    return made(p, expr_done(e) ? e : NULL, true, at);
}

/* Expressions separated by commas up to the closing token, which is taken. */
static bool arguments(struct parser *p, enum token_kind close, const char *what, struct list *l)
{
    while (!parser_is(p, close)) {
        const struct expr *e = parser_expr(p);
        if (!e || !list_add(p, l, STR_NONE, e)) return false;
        if (!parser_is(p, TOKEN_COMMA)) break;
        parser_take(p);
    }
    return parser_expect(p, close, what);
}

static bool record_key(struct parser *p, str *out)
{
    if (parser_is(p, TOKEN_STRING)) return parser_string(p, "a key", out);
    str name;
    if (!parser_name_part(p, "a key: a name or a string", &name)) return false;
    *out = arena_copy(p->mem, name);
    return out->p ? true : (parser_no_memory(p), false);
}

static int key_cmp(const struct list *l, uint32_t a, uint32_t b)
{
    return str_cmp(l->names[a], l->names[b]);
}

static const struct expr *parse_record(struct parser *p)
{
    uint32_t at = parser_take(p)->at;
    struct list l = {0};
    while (!parser_is(p, TOKEN_RBRACE)) {
        str key;
        const struct token *where = p->at;
        if (l.n == RECORD_MAX) {
            mistake(p->m, POLICY_FAULT_LIMIT, at, parser_end(p), STR_NONE, "a record with more than %d keys",
                    RECORD_MAX);
            return NULL;
        }
        if (!record_key(p, &key) || !parser_expect(p, TOKEN_COLON, "`:`")) return NULL;
        const struct expr *e = parser_expr(p);
        if (!e || !list_add(p, &l, key, e)) return NULL;
        /* Keys are kept sorted: the place is found from behind, a double is met on the way. */
        uint32_t i = l.n - 1;
        for (; i > 0 && key_cmp(&l, i - 1, i) > 0; i--) {
            str s = l.names[i];
            const struct expr *x = l.items[i];
            l.names[i] = l.names[i - 1];
            l.items[i] = l.items[i - 1];
            l.names[i - 1] = s;
            l.items[i - 1] = x;
        }
        if (i > 0 && key_cmp(&l, i - 1, i) == 0) {
            mistake(p->m, POLICY_FAULT_DUPLICATE, where->at, where->at + where->len, STR_NONE,
                    "the key `%.*s` is there twice", STR_ARG(key));
            return NULL;
        }
        if (!parser_is(p, TOKEN_COMMA)) break;
        parser_take(p);
    }
    if (!parser_expect(p, TOKEN_RBRACE, "`,` or `}`")) return NULL;
    return list_node(p, EXPR_RECORD, &l, at);
}

static const struct expr *call(struct parser *p, enum ext_fn fn, const struct list *l, uint32_t at)
{
    struct expr *e = expr_new(p->mem, EXPR_CALL, 0, at, parser_end(p));
    if (!e) return made(p, NULL, false, at);
    e->sub = (uint8_t)fn;
    e->n = l->n;
    e->args = l->items;
    return made(p, expr_done(e) ? e : NULL, true, at);
}

static const struct {
    str name;
    uint8_t kind, arity;
} methods[] = {{STR_INIT("contains"), EXPR_CONTAINS, 1},        {STR_INIT("containsAll"), EXPR_CONTAINS_ALL, 1},
               {STR_INIT("containsAny"), EXPR_CONTAINS_ANY, 1}, {STR_INIT("isEmpty"), EXPR_IS_EMPTY, 0},
               {STR_INIT("getTag"), EXPR_GET_TAG, 1},           {STR_INIT("hasTag"), EXPR_HAS_TAG, 1}};

static void unknown_function(struct parser *p, str name, bool method, uint32_t at)
{
    str names[EXT_COUNT + ARRAY_LEN(methods)];
    size_t n = 0;
    bool exists = false;
    for (int i = 0; i < EXT_COUNT; i++) {
        if (ext_table[i].method == method) names[n++] = ext_table[i].name;
        exists |= str_eq(name, ext_table[i].name);
    }
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (method) names[n++] = methods[i].name;
        exists |= str_eq(name, methods[i].name);
    }
    if (exists)
        mistake(p->m, POLICY_FAULT_FUNCTION, at, at + (uint32_t)name.n, STR_NONE, "`%.*s` is a %s: write %s%.*s(…)",
                STR_ARG(name), method ? "function" : "method", method ? "" : "x.", STR_ARG(name));
    else
        mistake(p->m, POLICY_FAULT_FUNCTION, at, at + (uint32_t)name.n, mistake_did_you_mean(p->mem, name, names, n),
                "there is no %s `%.*s`", method ? "method" : "function", STR_ARG(name));
}

static const struct expr *parse_call(struct parser *p, str name, uint32_t at)
{
    enum ext_fn fn = ext_find(name);
    if (fn == EXT_COUNT || ext_table[fn].method) {
        unknown_function(p, name, false, at);
        return NULL;
    }
    struct list l = {0};
    parser_take(p);
    return arguments(p, TOKEN_RPAREN, "`,` or `)`", &l) ? call(p, fn, &l, at) : NULL;
}

static const struct expr *parse_method(struct parser *p, const struct expr *object, const struct token *name)
{
    str s = token_text(&p->tokens, name);
    struct list l = {0};
    enum ext_fn fn = ext_find(s);
    size_t i = 0;
    while (i < ARRAY_LEN(methods) && !str_eq(s, methods[i].name)) i++;
    if (i == ARRAY_LEN(methods) && (fn == EXT_COUNT || !ext_table[fn].method)) {
        unknown_function(p, s, true, name->at);
        return NULL;
    }
    parser_take(p);
    if (i == ARRAY_LEN(methods)) {
        if (!list_add(p, &l, STR_NONE, object) || !arguments(p, TOKEN_RPAREN, "`,` or `)`", &l)) return NULL;
        return call(p, fn, &l, object->at);
    }
    if (!arguments(p, TOKEN_RPAREN, "`,` or `)`", &l)) return NULL;
    if (l.n != methods[i].arity) {
        mistake(p->m, POLICY_FAULT_FUNCTION, name->at, parser_end(p), STR_NONE, "`%.*s` takes %u argument%s, not %u",
                STR_ARG(s), methods[i].arity, methods[i].arity == 1 ? "" : "s", l.n);
        return NULL;
    }
    return node(p, (enum expr_kind)methods[i].kind, object, l.n ? l.items[0] : NULL, NULL, object->at);
}

static const struct expr *parse_name_or_ref(struct parser *p)
{
    const struct token *t = p->at;
    if (parser_at_uid(p)) {
        const struct uid *u = parser_uid(p, "an entity");
        return u ? literal(p, value_entity(u), t->at) : NULL;
    }
    for (int v = 0; v < 4; v++)
        if (t[1].kind != TOKEN_PATH && parser_is_word(p, var_names[v])) {
            parser_take(p);
            struct expr *e = expr_new(p->mem, EXPR_VAR, 0, t->at, parser_end(p));
            if (e) e->sub = (uint8_t)v;
            return made(p, e, false, t->at);
        }
    str name;
    if (!parser_name(p, "an expression", &name)) return NULL;
    if (parser_is(p, TOKEN_LPAREN)) return parse_call(p, name, t->at);
    if (parser_is(p, TOKEN_PATH)) {
        parser_unexpected(p, "an entity like User::\"alice\"");
        return NULL;
    }
    str help = mistake_did_you_mean(p->mem, name, var_names, 4);
    mistake(p->m, POLICY_FAULT_SYNTAX, t->at, parser_end(p),
            help.n ? help : STR("the variables are principal, action, resource and context; a string needs quotes"),
            "there is no variable `%.*s`", STR_ARG(name));
    return NULL;
}

/* `negative` allows the one magnitude that only -9223372036854775808 has. */
static const struct expr *parse_number(struct parser *p, bool negative, uint32_t at)
{
    const struct token *t = parser_take(p);
    uint64_t v;
    enum err e = str_to_u64(token_text(&p->tokens, t), &v);
    if (e != ERR_OK || v > (uint64_t)INT64_MAX + negative) {
        mistake(p->m, POLICY_FAULT_NUMBER, t->at, t->at + t->len,
                STR("a long is between -9223372036854775808 and 9223372036854775807"),
                "this number does not fit 64 bits");
        return NULL;
    }
    return literal(p, value_long(negative ? (int64_t)(0 - v) : (int64_t)v), at);
}

static const struct expr *parse_primary(struct parser *p)
{
    const struct token *t = p->at;
    struct list l = {0};
    str s;
    switch (t->kind) {
    case TOKEN_NUMBER: return parse_number(p, false, t->at);
    case TOKEN_STRING:
        if (!parser_string(p, "a string", &s)) return NULL;
        return literal(p, value_string(s), t->at);
    case TOKEN_IDENT: {
        bool yes = parser_is_word(p, STR("true"));
        if ((yes || parser_is_word(p, STR("false"))) && t[1].kind != TOKEN_PATH) {
            parser_take(p);
            return literal(p, value_bool(yes), t->at);
        }
        return parse_name_or_ref(p);
    }
    case TOKEN_LPAREN: {
        parser_take(p);
        const struct expr *e = parser_expr(p);
        return e && parser_expect(p, TOKEN_RPAREN, "an operator or `)`") ? e : NULL;
    }
    case TOKEN_LBRACKET:
        parser_take(p);
        return arguments(p, TOKEN_RBRACKET, "`,` or `]`", &l) ? list_node(p, EXPR_SET, &l, t->at) : NULL;
    case TOKEN_LBRACE: return parse_record(p);
    case TOKEN_SLOT:
        mistake(p->m, POLICY_FAULT_SLOT, t->at, t->at + t->len,
                STR("slots belong into the scope: principal == ?principal"), "a slot cannot be used in a condition");
        return NULL;
    default: parser_unexpected(p, "an expression"); return NULL;
    }
}

static const struct expr *attribute(struct parser *p, const struct expr *e, str name)
{
    struct expr *a = expr_new(p->mem, EXPR_ATTR, 1, e->at, parser_end(p));
    if (!a) return made(p, NULL, false, e->at);
    a->args[0] = e;
    a->text = name;
    return made(p, expr_done(a) ? a : NULL, true, e->at);
}

static const struct expr *parse_member(struct parser *p)
{
    const struct expr *e = parse_primary(p);
    while (e) {
        if (parser_is(p, TOKEN_DOT)) {
            parser_take(p);
            const struct token *t = p->at;
            str name;
            if (!parser_name_part(p, "the name of an attribute or method", &name)) return NULL;
            if (parser_is(p, TOKEN_LPAREN)) {
                e = parse_method(p, e, t);
                continue;
            }
            name = arena_copy(p->mem, name);
            e = name.p ? attribute(p, e, name) : made(p, NULL, false, t->at);
        } else if (parser_is(p, TOKEN_LBRACKET)) {
            parser_take(p);
            str name;
            if (!parser_string(p, "the attribute's name, a string", &name)) return NULL;
            if (!parser_expect(p, TOKEN_RBRACKET, "`]`")) return NULL;
            e = attribute(p, e, name);
        } else if (parser_is(p, TOKEN_LPAREN)) {
            mistake(p->m, POLICY_FAULT_FUNCTION, p->at->at, p->at->at + 1, STR_NONE, "this cannot be called");
            return NULL;
        } else {
            break;
        }
    }
    return e;
}

static const struct expr *parse_unary(struct parser *p)
{
    enum token_kind op = (enum token_kind)p->at->kind;
    const struct token *first = p->at;
    if (op != TOKEN_NOT && op != TOKEN_MINUS) return parse_member(p);
    unsigned n = 0;
    for (; parser_is(p, op); n++) parser_take(p);
    if (n > 4) {
        mistake(p->m, POLICY_FAULT_SYNTAX, first->at, parser_end(p), STR("use parentheses"),
                "more than four `%c` in a row", op == TOKEN_NOT ? '!' : '-');
        return NULL;
    }
    const struct expr *e;
    enum token_kind behind = p->at->kind == TOKEN_END ? TOKEN_END : (enum token_kind)p->at[1].kind;
    if (op == TOKEN_MINUS && parser_is(p, TOKEN_NUMBER) && behind != TOKEN_DOT && behind != TOKEN_LBRACKET &&
        behind != TOKEN_LPAREN) {
        e = parse_number(p, true, p->at[-1].at);
        n--;
    } else {
        e = parse_member(p);
    }
    for (; e && n; n--) e = node(p, op == TOKEN_NOT ? EXPR_NOT : EXPR_NEG, e, NULL, NULL, first[n - 1].at);
    return e;
}

static const struct expr *parse_mult(struct parser *p)
{
    const struct expr *e = parse_unary(p);
    for (;;) {
        if (!e) return NULL;
        if (parser_is(p, TOKEN_SLASH) || parser_is(p, TOKEN_PERCENT)) {
            mistake(p->m, POLICY_FAULT_SYNTAX, p->at->at, p->at->at + 1, STR_NONE,
                    "there is no division and no remainder");
            return NULL;
        }
        if (!parser_is(p, TOKEN_STAR)) return e;
        parser_take(p);
        const struct expr *b = parse_unary(p);
        e = b ? node(p, EXPR_MUL, e, b, NULL, e->at) : NULL;
    }
}

static const struct expr *parse_add(struct parser *p)
{
    const struct expr *e = parse_mult(p);
    while (e && (parser_is(p, TOKEN_PLUS) || parser_is(p, TOKEN_MINUS))) {
        enum expr_kind kind = parser_take(p)->kind == TOKEN_PLUS ? EXPR_ADD : EXPR_SUB;
        const struct expr *b = parse_mult(p);
        e = b ? node(p, kind, e, b, NULL, e->at) : NULL;
    }
    return e;
}

static const struct expr *parse_has(struct parser *p, const struct expr *object)
{
    struct list l = {0};
    str name;
    if (parser_is(p, TOKEN_STRING)) {
        if (!parser_string(p, "an attribute", &name) || !list_add(p, &l, name, NULL)) return NULL;
    } else {
        do {
            if (l.n) parser_take(p);
            if (!parser_name_part(p, "an attribute: a name, a path of names, or a string", &name)) return NULL;
            name = arena_copy(p->mem, name);
            if (!name.p) return made(p, NULL, false, object->at);
            if (!list_add(p, &l, name, NULL)) return NULL;
        } while (parser_is(p, TOKEN_DOT));
    }
    if (l.n + object->depth >= EXPR_DEPTH_MAX) return made(p, NULL, true, object->at);
    struct expr *e = expr_new(p->mem, EXPR_HAS, 1, object->at, parser_end(p));
    if (!e) return made(p, NULL, false, object->at);
    e->args[0] = object;
    e->names = l.names;
    e->names_n = l.n;
    return made(p, expr_done(e) ? e : NULL, true, object->at);
}

struct star_list {
    struct parser *p;
    struct list stars; /* n counts */
    size_t *at;
    uint32_t cap;
    bool failed;
};

static void add_star(void *arg, size_t at)
{
    struct star_list *s = arg;
    if (s->failed) return;
    if (s->stars.n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 8;
        size_t *grown = arena_array(s->p->mem, cap, sizeof *grown);
        if (!grown) {
            s->failed = true;
            return;
        }
        if (s->stars.n) memcpy(grown, s->at, s->stars.n * sizeof *grown);
        s->at = grown;
        s->cap = cap;
    }
    s->at[s->stars.n++] = at;
}

static const struct expr *parse_like(struct parser *p, const struct expr *object)
{
    const struct token *t = p->at;
    struct star_list stars = {.p = p};
    struct star_sink sink = {add_star, &stars};
    str text;
    if (!parser_is(p, TOKEN_STRING)) {
        parser_unexpected(p, "a pattern, a string");
        return NULL;
    }
    parser_take(p);
    if (!lex_unescape(str_make(p->tokens.text.p + t->at + 1, t->len - 2), t->at + 1, &sink, p->mem, p->m, &text))
        return NULL;
    struct expr *e = expr_new(p->mem, EXPR_LIKE, 1, object->at, parser_end(p));
    str *pieces = arena_array(p->mem, stars.stars.n + 1, sizeof *pieces);
    if (!e || !pieces || stars.failed) return made(p, NULL, false, object->at);
    size_t from = 0;
    for (uint32_t i = 0; i < stars.stars.n; i++) {
        pieces[i] = str_make(text.p + from, stars.at[i] - from);
        from = stars.at[i];
    }
    pieces[stars.stars.n] = str_from(text, from);
    e->args[0] = object;
    e->names = pieces;
    e->names_n = stars.stars.n + 1;
    return made(p, expr_done(e) ? e : NULL, true, object->at);
}

static const struct expr *parse_is(struct parser *p, const struct expr *object)
{
    str type;
    const struct expr *in = NULL;
    if (!parser_name(p, "an entity type", &type)) return NULL;
    if (parser_is_word(p, STR("in"))) {
        parser_take(p);
        in = parse_add(p);
        if (!in) return NULL;
    }
    struct expr *e = expr_new(p->mem, EXPR_IS, in ? 2 : 1, object->at, parser_end(p));
    if (!e) return made(p, NULL, false, object->at);
    e->text = type;
    e->args[0] = object;
    if (in) e->args[1] = in;
    return made(p, expr_done(e) ? e : NULL, true, object->at);
}

static enum expr_kind relation_of(const struct parser *p)
{
    switch (p->at->kind) {
    case TOKEN_EQ: return EXPR_EQ;
    case TOKEN_NE: return EXPR_NE;
    case TOKEN_LT: return EXPR_LT;
    case TOKEN_LE: return EXPR_LE;
    case TOKEN_GT: return EXPR_GT;
    case TOKEN_GE: return EXPR_GE;
    case TOKEN_IDENT: return parser_is_word(p, STR("in")) ? EXPR_IN : EXPR_LITERAL;
    default: return EXPR_LITERAL;
    }
}

static const struct expr *parse_relation(struct parser *p)
{
    const struct expr *e = parse_add(p);
    if (!e) return NULL;
    enum expr_kind kind = relation_of(p);
    if (kind != EXPR_LITERAL) {
        parser_take(p);
        const struct expr *b = parse_add(p);
        e = b ? node(p, kind, e, b, NULL, e->at) : NULL;
    } else if (parser_is_word(p, STR("has"))) {
        parser_take(p);
        e = parse_has(p, e);
    } else if (parser_is_word(p, STR("like"))) {
        parser_take(p);
        e = parse_like(p, e);
    } else if (parser_is_word(p, STR("is"))) {
        parser_take(p);
        e = parse_is(p, e);
    } else if (parser_is(p, TOKEN_ASSIGN)) {
        mistake(p->m, POLICY_FAULT_SYNTAX, p->at->at, p->at->at + 1, STR("did you mean `==`?"), "`=` is no operator");
        return NULL;
    }
    if (e && relation_of(p) != EXPR_LITERAL) {
        mistake(p->m, POLICY_FAULT_SYNTAX, p->at->at, p->at->at + p->at->len, STR("use parentheses"),
                "comparisons cannot be chained");
        return NULL;
    }
    return e;
}

static const struct expr *parse_and(struct parser *p)
{
    const struct expr *e = parse_relation(p);
    while (e && parser_is(p, TOKEN_AND)) {
        parser_take(p);
        const struct expr *b = parse_relation(p);
        e = b ? node(p, EXPR_AND, e, b, NULL, e->at) : NULL;
    }
    return e;
}

static const struct expr *parse_or(struct parser *p)
{
    const struct expr *e = parse_and(p);
    while (e && parser_is(p, TOKEN_OR)) {
        parser_take(p);
        const struct expr *b = parse_and(p);
        e = b ? node(p, EXPR_OR, e, b, NULL, e->at) : NULL;
    }
    return e;
}

static const struct expr *parse_if(struct parser *p)
{
    uint32_t at = parser_take(p)->at;
    const struct expr *test = parser_expr(p);
    if (!test) return NULL;
    if (!parser_is_word(p, STR("then"))) return parser_unexpected(p, "an operator or `then`"), NULL;
    parser_take(p);
    const struct expr *yes = parser_expr(p);
    if (!yes) return NULL;
    if (!parser_is_word(p, STR("else"))) return parser_unexpected(p, "an operator or `else`"), NULL;
    parser_take(p);
    const struct expr *no = parser_expr(p);
    return no ? node(p, EXPR_IF, test, yes, no, at) : NULL;
}

const struct expr *parser_expr(struct parser *p)
{
    if (p->depth >= EXPR_DEPTH_MAX) {
        mistake(p->m, POLICY_FAULT_LIMIT, p->at->at, p->at->at + p->at->len, STR_NONE, "nested deeper than %d levels",
                EXPR_DEPTH_MAX);
        return NULL;
    }
    p->depth++;
    bool is_if = parser_is_word(p, STR("if")) && p->at[1].kind != TOKEN_PATH;
    const struct expr *e = is_if ? parse_if(p) : parse_or(p);
    p->depth--;
    return e;
}
