/* The human schema syntax: namespaces, entity, action and type declarations. */
#include "policy/parse_internal.h"
#include "policy/schema_raw.h"

struct reader {
    struct parser p;
    struct raw_schema *raw;
    str space; /* the namespace we are in, empty outside */
};

static void *fresh(struct parser *p, size_t n)
{
    void *x = arena_zalloc(p->mem, n);
    if (!x) parser_no_memory(p);
    return x;
}

/* Annotations are read and dropped. */
static bool skip_annotations(struct parser *p)
{
    while (parser_is(p, TOKEN_AT)) {
        str value;
        parser_take(p);
        if (!parser_expect(p, TOKEN_IDENT, "the annotation's name")) return false;
        if (!parser_is(p, TOKEN_LPAREN)) continue;
        parser_take(p);
        if (!parser_string(p, "the annotation's value, a string", &value) || !parser_expect(p, TOKEN_RPAREN, "`)`"))
            return false;
    }
    return true;
}

/* Schema names may use any identifier the policy language does not reserve. `__cedar` may begin a path. */
static bool ident(struct parser *p, const char *what, str *out)
{
    if (parser_is_word(p, STR("in"))) {
        /* a word of the policy language, but only there */
        parser_unexpected(p, what);
        return false;
    }
    return parser_name_part(p, what, out);
}

static bool path(struct parser *p, const char *what, str *out)
{
    if (parser_is_word(p, STR("__cedar")) && p->at[1].kind == TOKEN_PATH && p->at[2].kind == TOKEN_IDENT) {
        parser_take(p);
        parser_take(p);
        str name;
        if (!ident(p, what, &name)) return false;
        *out = arena_printf(p->mem, "__cedar::%.*s", STR_ARG(name));
        return out->p ? true : (parser_no_memory(p), false);
    }
    return parser_name(p, what, out);
}

static bool name_or_string(struct parser *p, const char *what, str *out)
{
    if (parser_is(p, TOKEN_STRING)) return parser_string(p, what, out);
    str s;
    if (!ident(p, what, &s)) return false;
    *out = arena_copy(p->mem, s);
    return out->p ? true : (parser_no_memory(p), false);
}

static const struct raw_type *parse_type(struct parser *p);

static bool parse_attrs(struct parser *p, struct raw_type *t)
{
    struct raw_attr *first = NULL, **tail = &first;
    while (!parser_is(p, TOKEN_RBRACE)) {
        struct raw_attr *a = fresh(p, sizeof *a);
        if (!a || !skip_annotations(p)) return false;
        a->at = p->at->at;
        if (!name_or_string(p, "an attribute's name or `}`", &a->name)) return false;
        a->end = parser_end(p);
        a->required = !parser_is(p, TOKEN_QUESTION);
        if (!a->required) parser_take(p);
        if (!parser_expect(p, TOKEN_COLON, "`:`")) return false;
        a->type = parse_type(p);
        if (!a->type) return false;
        if (a->type->depth >= t->depth) t->depth = (uint16_t)(a->type->depth + 1);
        RAW_APPEND(tail, a);
        t->n++;
        if (!parser_is(p, TOKEN_COMMA)) break;
        parser_take(p);
    }
    t->attrs = first;
    return parser_expect(p, TOKEN_RBRACE, "`,` or `}`");
}

static const struct raw_type *parse_record(struct parser *p)
{
    struct raw_type *t = fresh(p, sizeof *t);
    if (!t) return NULL;
    t->kind = RAW_RECORD;
    t->depth = 1;
    t->at = p->at->at;
    if (!parser_expect(p, TOKEN_LBRACE, "`{`") || !parse_attrs(p, t)) return NULL;
    t->end = parser_end(p);
    return t;
}

static const struct raw_type *parse_type_inner(struct parser *p)
{
    if (parser_is(p, TOKEN_LBRACE)) return parse_record(p);
    struct raw_type *t = fresh(p, sizeof *t);
    if (!t) return NULL;
    t->at = p->at->at;
    t->depth = 1;
    if (parser_is_word(p, STR("Set")) && p->at[1].kind == TOKEN_LT) {
        parser_take(p);
        parser_take(p);
        t->kind = RAW_SET;
        t->element = parse_type(p);
        if (!t->element || !parser_expect(p, TOKEN_GT, "`>`")) return NULL;
        t->depth = (uint16_t)(t->element->depth + 1);
    } else {
        t->kind = RAW_NAME;
        if (!path(p, "a type", &t->name)) return NULL;
    }
    t->end = parser_end(p);
    return t;
}

static const struct raw_type *parse_type(struct parser *p)
{
    if (p->depth >= TYPE_DEPTH_MAX) {
        mistake(p->m, POLICY_FAULT_LIMIT, p->at->at, p->at->at + 1, STR_NONE, "types nested deeper than %d",
                TYPE_DEPTH_MAX);
        return NULL;
    }
    p->depth++;
    const struct raw_type *t = parse_type_inner(p);
    p->depth--;
    return t;
}

/* T or [T, U]. */
static bool parse_types(struct parser *p, struct raw_name **out)
{
    struct raw_name **tail = out;
    bool list = parser_is(p, TOKEN_LBRACKET);
    *out = NULL;
    if (list) parser_take(p);
    while (!list || !parser_is(p, TOKEN_RBRACKET)) {
        struct raw_name *n = fresh(p, sizeof *n);
        if (!n) return false;
        n->at = p->at->at;
        if (!path(p, "an entity type", &n->path)) return false;
        n->end = parser_end(p);
        RAW_APPEND(tail, n);
        if (!list) return true;
        if (!parser_is(p, TOKEN_COMMA)) break;
        parser_take(p);
    }
    return parser_expect(p, TOKEN_RBRACKET, "`,` or `]`");
}

/* An action named as a parent: view, "view" or NS::Action::"view". */
static bool parse_action_ref(struct parser *p, struct raw_name *n)
{
    n->at = p->at->at;
    if (parser_at_uid(p)) {
        if (!parser_name(p, "an action", &n->path)) return false;
        parser_take(p);
        if (!parser_string(p, "an action", &n->id)) return false;
    } else if (!name_or_string(p, "an action", &n->id)) {
        return false;
    }
    n->end = parser_end(p);
    return true;
}

static bool parse_action_refs(struct parser *p, struct raw_name **out)
{
    struct raw_name **tail = out;
    bool list = parser_is(p, TOKEN_LBRACKET);
    *out = NULL;
    if (list) parser_take(p);
    for (;;) {
        struct raw_name *n = fresh(p, sizeof *n);
        if (!n || !parse_action_ref(p, n)) return false;
        RAW_APPEND(tail, n);
        if (!list) return true;
        if (!parser_is(p, TOKEN_COMMA)) return parser_expect(p, TOKEN_RBRACKET, "`,` or `]`");
        parser_take(p);
    }
}

static bool parse_enum(struct parser *p, struct raw_entity *e)
{
    struct raw_name **tail = &e->choices;
    parser_take(p);
    e->is_enum = true;
    if (!parser_expect(p, TOKEN_LBRACKET, "`[`")) return false;
    for (;;) {
        struct raw_name *n = fresh(p, sizeof *n);
        if (!n) return false;
        n->at = p->at->at;
        if (!parser_string(p, "an entity's id, a string", &n->id)) return false;
        n->end = parser_end(p);
        RAW_APPEND(tail, n);
        if (!parser_is(p, TOKEN_COMMA)) return parser_expect(p, TOKEN_RBRACKET, "`,` or `]`");
        parser_take(p);
    }
}

/* Names separated by commas; their number is bounded by the text. */
static bool parse_names(struct parser *p, bool strings, struct raw_name **out)
{
    struct raw_name **tail = out;
    *out = NULL;
    for (;;) {
        struct raw_name *n = fresh(p, sizeof *n);
        str s;
        if (!n) return false;
        n->at = p->at->at;
        if (strings) {
            if (!name_or_string(p, "the action's name", &n->id)) return false;
        } else {
            if (!ident(p, "the type's name", &s)) return false;
            n->id = arena_copy(p->mem, s);
            if (!n->id.p) return parser_no_memory(p), false;
        }
        n->end = parser_end(p);
        RAW_APPEND(tail, n);
        if (!parser_is(p, TOKEN_COMMA)) return true;
        parser_take(p);
    }
}

static bool parse_entity(struct reader *r)
{
    struct parser *p = &r->p;
    struct raw_name *names;
    struct raw_entity proto = {.space = r->space};
    parser_take(p);
    if (!parse_names(p, false, &names)) return false;
    if (parser_is_word(p, STR("enum"))) {
        if (!parse_enum(p, &proto)) return false;
    } else {
        if (parser_is_word(p, STR("in"))) {
            parser_take(p);
            if (!parse_types(p, &proto.parents)) return false;
        }
        if (parser_is(p, TOKEN_ASSIGN)) parser_take(p);
        if (parser_is(p, TOKEN_LBRACE)) {
            proto.shape = parse_record(p);
            if (!proto.shape) return false;
        }
        if (parser_is_word(p, STR("tags"))) {
            parser_take(p);
            proto.tags = parse_type(p);
            if (!proto.tags) return false;
        }
    }
    if (!parser_expect(p, TOKEN_SEMICOLON, "`;`")) return false;
    for (struct raw_name *n = names; n; n = n->next) {
        struct raw_entity *e = fresh(p, sizeof *e);
        if (!e) return false;
        *e = proto;
        e->name = n->id;
        e->at = n->at;
        e->end = n->end;
        RAW_APPEND(r->raw->entities_tail, e);
    }
    return true;
}

static bool parse_applies(struct parser *p, struct raw_action *a)
{
    bool principal = false, resource = false, context = false;
    const struct token *where = p->at;
    parser_take(p);
    if (!parser_expect(p, TOKEN_LBRACE, "`{`")) return false;
    a->applies = true;
    while (!parser_is(p, TOKEN_RBRACE)) {
        bool is_principal = parser_is_word(p, STR("principal")), is_resource = parser_is_word(p, STR("resource"));
        const struct token *t = p->at;
        if (!is_principal && !is_resource && !parser_is_word(p, STR("context"))) {
            parser_unexpected(p, "`principal`, `resource` or `context`");
            return false;
        }
        bool *seen = is_principal ? &principal : is_resource ? &resource : &context;
        if (*seen) {
            mistake(p->m, POLICY_FAULT_DUPLICATE, t->at, t->at + t->len, STR_NONE, "this is there twice");
            return false;
        }
        *seen = true;
        parser_take(p);
        if (!parser_expect(p, TOKEN_COLON, "`:`")) return false;
        if (is_principal || is_resource) {
            struct raw_name **list = is_principal ? &a->principals : &a->resources;
            if (!parse_types(p, list)) return false;
            if (!*list) {
                mistake(p->m, POLICY_FAULT_SYNTAX, t->at, parser_end(p),
                        STR("leave out appliesTo for an action that applies to nothing"), "an empty list of types");
                return false;
            }
        } else {
            a->context = parse_type(p);
            if (!a->context) return false;
        }
        if (!parser_is(p, TOKEN_COMMA)) break;
        parser_take(p);
    }
    if (!parser_expect(p, TOKEN_RBRACE, "`,` or `}`")) return false;
    if (!principal || !resource) {
        mistake(p->m, POLICY_FAULT_SYNTAX, where->at, parser_end(p), STR_NONE,
                "appliesTo needs a principal and a resource");
        return false;
    }
    return true;
}

static bool parse_action(struct reader *r)
{
    struct parser *p = &r->p;
    struct raw_name *names;
    struct raw_action proto = {.space = r->space};
    parser_take(p);
    if (!parse_names(p, true, &names)) return false;
    if (parser_is_word(p, STR("in"))) {
        parser_take(p);
        if (!parse_action_refs(p, &proto.parents)) return false;
    }
    if (parser_is_word(p, STR("appliesTo")) && !parse_applies(p, &proto)) return false;
    if (parser_is_word(p, STR("attributes"))) {
        parser_take(p);
        if (!parser_expect(p, TOKEN_LBRACE, "`{`") ||
            !parser_expect(p, TOKEN_RBRACE, "`}`: actions have no attributes"))
            return false;
    }
    if (!parser_expect(p, TOKEN_SEMICOLON, "`;`, `in` or `appliesTo`")) return false;
    for (struct raw_name *n = names; n; n = n->next) {
        struct raw_action *a = fresh(p, sizeof *a);
        if (!a) return false;
        *a = proto;
        a->id = n->id;
        a->at = n->at;
        a->end = n->end;
        RAW_APPEND(r->raw->actions_tail, a);
    }
    return true;
}

static bool parse_common(struct reader *r)
{
    struct parser *p = &r->p;
    struct raw_common *c = fresh(p, sizeof *c);
    str name;
    if (!c) return false;
    parser_take(p);
    c->space = r->space;
    c->at = p->at->at;
    if (!ident(p, "the type's name", &name)) return false;
    c->end = parser_end(p);
    c->name = arena_copy(p->mem, name);
    if (!c->name.p) return parser_no_memory(p), false;
    if (!parser_expect(p, TOKEN_ASSIGN, "`=`")) return false;
    c->type = parse_type(p);
    if (!c->type || !parser_expect(p, TOKEN_SEMICOLON, "`;`")) return false;
    RAW_APPEND(r->raw->commons_tail, c);
    return true;
}

static bool parse_decl(struct reader *r)
{
    static const str words[] = {STR_INIT("entity"), STR_INIT("action"), STR_INIT("type"), STR_INIT("namespace")};
    struct parser *p = &r->p;
    if (!skip_annotations(p)) return false;
    if (parser_is_word(p, words[0])) return parse_entity(r);
    if (parser_is_word(p, words[1])) return parse_action(r);
    if (parser_is_word(p, words[2])) return parse_common(r);
    char room[64];
    str found = token_describe(&p->tokens, p->at, room);
    mistake(p->m, POLICY_FAULT_SYNTAX, p->at->at, p->at->at + p->at->len,
            mistake_did_you_mean(p->mem, token_text(&p->tokens, p->at), words, 4),
            "expected `entity`, `action`, `type`%s, found %.*s", r->space.n ? " or `}`" : " or `namespace`",
            STR_ARG(found));
    return false;
}

/* After a mistake: behind the next semicolon. */
static void resynchronise(struct parser *p)
{
    while (!parser_is(p, TOKEN_END) && !parser_is(p, TOKEN_SEMICOLON)) parser_take(p);
    parser_take(p);
    p->depth = 0;
}

static bool parse_namespace(struct reader *r)
{
    struct parser *p = &r->p;
    str name;
    parser_take(p);
    if (!parser_name(p, "the namespace's name", &name)) return false;
    if (!parser_expect(p, TOKEN_LBRACE, "`{`")) return false;
    r->space = name;
    while (!parser_is(p, TOKEN_RBRACE) && !parser_is(p, TOKEN_END) && p->m->n < MISTAKES_MAX)
        if (!parse_decl(r)) resynchronise(p);
    r->space = STR("");
    return parser_expect(p, TOKEN_RBRACE, "`}`");
}

void raw_schema_init(struct raw_schema *r)
{
    *r = (struct raw_schema){0};
    r->commons_tail = &r->commons;
    r->entities_tail = &r->entities;
    r->actions_tail = &r->actions;
}

/* Whether a namespace comes here, annotations aside. */
static bool at_namespace(const struct parser *p)
{
    const struct token *t = p->at;
    while (t->kind == TOKEN_AT && t[1].kind == TOKEN_IDENT) {
        t += 2;
        if (t->kind == TOKEN_LPAREN && t[1].kind == TOKEN_STRING && t[2].kind == TOKEN_RPAREN) t += 3;
    }
    return t->kind == TOKEN_IDENT && str_eq(token_text(&p->tokens, t), STR("namespace"));
}

enum err schema_parse(str text, struct arena *mem, struct mistakes *m, struct schema **out)
{
    struct raw_schema raw;
    struct reader r = {.p = {.mem = mem, .m = m}, .raw = &raw, .space = STR("")};
    uint32_t before = m->n;
    raw_schema_init(&raw);
    enum err e = lex(text, POLICY_TEXT_MAX, 0, mem, m, &r.p.tokens);
    if (e != ERR_OK) return e;
    r.p.at = r.p.tokens.list;
    while (!parser_is(&r.p, TOKEN_END) && m->n < MISTAKES_MAX) {
        bool ok = at_namespace(&r.p) ? skip_annotations(&r.p) && parse_namespace(&r) : parse_decl(&r);
        if (!ok) resynchronise(&r.p);
    }
    if (m->n != before) return mistakes_err(m);
    return schema_build(&raw, mem, m, out);
}
