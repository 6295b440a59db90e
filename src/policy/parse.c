#include "policy/parse_internal.h"

#include "base/map.h"

void parser_unexpected(struct parser *p, const char *what)
{
    char room[64];
    str found = token_describe(&p->tokens, p->at, room);
    mistake(p->m, POLICY_FAULT_SYNTAX, p->at->at, p->at->at + p->at->len, STR_NONE, "expected %s, found %.*s", what,
            STR_ARG(found));
}

void parser_no_memory(struct parser *p)
{
    mistake(p->m, POLICY_FAULT_MEMORY, p->at->at, p->at->at, STR_NONE, "out of memory");
}

bool parser_expect(struct parser *p, enum token_kind k, const char *what)
{
    if (p->at->kind == k) {
        parser_take(p);
        return true;
    }
    parser_unexpected(p, what);
    return false;
}

bool parser_name_part(struct parser *p, const char *what, str *out)
{
    if (!parser_is(p, TOKEN_IDENT)) {
        parser_unexpected(p, what);
        return false;
    }
    str s = token_text(&p->tokens, p->at);
    if (!cedar_is_ident(s)) {
        mistake(p->m, POLICY_FAULT_RESERVED, p->at->at, p->at->at + p->at->len, STR_NONE,
                "`%.*s` is a word of the language and cannot be a name", STR_ARG(s));
        return false;
    }
    parser_take(p);
    *out = s;
    return true;
}

bool parser_name(struct parser *p, const char *what, str *out)
{
    str part;
    struct buf b;
    bool ok = true;
    buf_init(&b, 4096);
    for (;;) {
        if (!parser_name_part(p, what, &part)) {
            ok = false;
            break;
        }
        buf_put(&b, part);
        if (!parser_is(p, TOKEN_PATH) || p->at[1].kind != TOKEN_IDENT) break;
        parser_take(p);
        buf_puts(&b, "::");
    }
    if (ok) {
        str copy = b.bad ? STR_NONE : arena_copy(p->mem, buf_str(&b));
        ok = copy.p != NULL;
        if (ok)
            *out = copy;
        else
            parser_no_memory(p);
    }
    buf_free(&b);
    return ok;
}

bool parser_string(struct parser *p, const char *what, str *out)
{
    if (!parser_is(p, TOKEN_STRING)) {
        parser_unexpected(p, what);
        return false;
    }
    const struct token *t = parser_take(p);
    str inside = str_make(p->tokens.text.p + t->at + 1, t->len - 2);
    return lex_unescape(inside, t->at + 1, NULL, p->mem, p->m, out);
}

bool parser_at_uid(const struct parser *p)
{
    const struct token *t = p->at;
    if (t->kind != TOKEN_IDENT) return false;
    while (t[1].kind == TOKEN_PATH && t[2].kind == TOKEN_IDENT) t += 2;
    return t[1].kind == TOKEN_PATH && t[2].kind == TOKEN_STRING;
}

const struct uid *parser_uid(struct parser *p, const char *what)
{
    str type, id;
    if (!parser_at_uid(p)) {
        parser_unexpected(p, what);
        return NULL;
    }
    if (!parser_name(p, what, &type)) return NULL;
    parser_take(p);
    if (!parser_string(p, what, &id)) return NULL;
    struct uid *u = arena_alloc(p->mem, sizeof *u);
    if (!u) {
        parser_no_memory(p);
        return NULL;
    }
    *u = (struct uid){type, id, uid_hash(type, id)};
    return u;
}

/* An entity in the scope, with any number of parentheses around it. */
static const struct uid *scope_uid(struct parser *p, const char *what)
{
    unsigned open = 0;
    while (parser_is(p, TOKEN_LPAREN) && open < EXPR_DEPTH_MAX) {
        parser_take(p);
        open++;
    }
    const struct uid *u = parser_uid(p, what);
    for (; u && open; open--)
        if (!parser_expect(p, TOKEN_RPAREN, "`)`")) return NULL;
    return u;
}

/* An entity or the variable's own slot. */
static bool scope_reference(struct parser *p, enum var var, struct scope *s)
{
    const struct token *t = p->at;
    while (t->kind == TOKEN_LPAREN) t++;
    if (t->kind != TOKEN_SLOT) {
        s->uid = scope_uid(p, "an entity like User::\"alice\", or a slot");
        return s->uid != NULL;
    }
    unsigned open = 0;
    for (; parser_is(p, TOKEN_LPAREN); open++) parser_take(p);
    parser_take(p);
    str name = str_from(token_text(&p->tokens, t), 1);
    if (!str_eq(name, var_names[var])) {
        mistake(p->m, POLICY_FAULT_SLOT, t->at, t->at + t->len, STR_NONE, "the slot here can only be ?%s",
                var_names[var].p);
        return false;
    }
    s->slot = true;
    for (; open; open--)
        if (!parser_expect(p, TOKEN_RPAREN, "`)`")) return false;
    return true;
}

static bool scope_entity(struct parser *p, enum var var, struct scope *s)
{
    if (parser_is_word(p, STR("is"))) {
        parser_take(p);
        if (!parser_name(p, "an entity type", &s->type)) return false;
        s->kind = SCOPE_IS;
        if (parser_is(p, TOKEN_EQ)) {
            mistake(p->m, POLICY_FAULT_SCOPE, p->at->at, p->at->at + 2, STR_NONE, "`is` and `==` cannot be combined");
            return false;
        }
        if (!parser_is_word(p, STR("in"))) return true;
        s->kind = SCOPE_IS_IN;
    } else if (parser_is(p, TOKEN_EQ)) {
        s->kind = SCOPE_EQ;
    } else if (parser_is_word(p, STR("in"))) {
        s->kind = SCOPE_IN;
    } else {
        return true;
    }
    parser_take(p);
    return scope_reference(p, var, s);
}

static bool scope_action_list(struct parser *p, struct scope *s)
{
    const struct uid **list = NULL;
    uint32_t n = 0, cap = 0;
    parser_take(p);
    while (!parser_is(p, TOKEN_RBRACKET)) {
        const struct uid *u = scope_uid(p, "an action like Action::\"view\"");
        if (!u) return false;
        if (n == cap) {
            cap = cap ? cap * 2 : 4;
            const struct uid **grown = arena_array(p->mem, cap, sizeof(const struct uid *));
            if (!grown) {
                parser_no_memory(p);
                return false;
            }
            for (uint32_t i = 0; i < n; i++) grown[i] = list[i];
            list = grown;
        }
        list[n++] = u;
        if (!parser_is(p, TOKEN_COMMA)) break;
        parser_take(p);
    }
    s->kind = SCOPE_IN_LIST;
    s->list = list;
    s->n = n;
    return parser_expect(p, TOKEN_RBRACKET, "`]` or `,`");
}

static bool scope_action(struct parser *p, struct scope *s)
{
    uint32_t at = p->at->at;
    if (parser_is_word(p, STR("is"))) {
        mistake(p->m, POLICY_FAULT_SCOPE, at, at + 2, STR_NONE, "`is` cannot be used with the action");
        return false;
    }
    if (parser_is(p, TOKEN_EQ)) {
        s->kind = SCOPE_EQ;
        parser_take(p);
        s->uid = scope_uid(p, "an action like Action::\"view\"");
    } else if (parser_is_word(p, STR("in"))) {
        parser_take(p);
        /* Parentheses around a list are as good as those around one entity. */
        const struct token *t = p->at;
        unsigned open = 0;
        while (t->kind == TOKEN_LPAREN) t++;
        if (t->kind == TOKEN_LBRACKET) {
            for (; parser_is(p, TOKEN_LPAREN); open++) parser_take(p);
            if (!scope_action_list(p, s)) return false;
            for (; open; open--)
                if (!parser_expect(p, TOKEN_RPAREN, "`)`")) return false;
        } else {
            s->kind = SCOPE_IN;
            s->uid = scope_uid(p, "an action, or a list of actions");
        }
    } else {
        return true;
    }
    if (s->kind != SCOPE_IN_LIST && !s->uid) return false;
    uint32_t n = s->kind == SCOPE_IN_LIST ? s->n : 1;
    for (uint32_t i = 0; i < n; i++) {
        const struct uid *u = s->kind == SCOPE_IN_LIST ? s->list[i] : s->uid;
        if (uid_is_action(u)) continue;
        mistake(p->m, POLICY_FAULT_SCOPE, at, parser_end(p), STR_NONE,
                "the action's type must end in Action, not `%.*s`", STR_ARG(u->type));
        return false;
    }
    return true;
}

static bool scope_var(struct parser *p, enum var var, struct scope *s)
{
    s->at = p->at->at;
    if (!parser_is_word(p, var_names[var])) {
        char room[64];
        str found = token_describe(&p->tokens, p->at, room);
        mistake(p->m, POLICY_FAULT_SCOPE, p->at->at, p->at->at + p->at->len,
                STR("the scope is (principal, action, resource), all three in this order"), "expected `%s`, found %.*s",
                var_names[var].p, STR_ARG(found));
        return false;
    }
    parser_take(p);
    if (parser_is(p, TOKEN_COLON)) {
        mistake(p->m, POLICY_FAULT_SCOPE, p->at->at, p->at->at + 1, STR("write `is` instead"),
                "a type is not given with `:`");
        return false;
    }
    if (!(var == VAR_ACTION ? scope_action(p, s) : scope_entity(p, var, s))) return false;
    s->end = parser_end(p);
    switch (p->at->kind) {
    case TOKEN_ASSIGN:
        mistake(p->m, POLICY_FAULT_SCOPE, p->at->at, p->at->at + 1, STR("did you mean `==`?"), "`=` is no operator");
        return false;
    case TOKEN_NE:
    case TOKEN_LT:
    case TOKEN_LE:
    case TOKEN_GT:
    case TOKEN_GE:
        mistake(p->m, POLICY_FAULT_SCOPE, p->at->at, p->at->at + p->at->len, STR("put it into a `when { … }`"),
                "only `==`, `in` and `is` can be used in the scope");
        return false;
    default: return true;
    }
}

static bool scopes(struct parser *p, struct policy *out)
{
    struct scope *all[] = {&out->principal, &out->action, &out->resource};
    if (!parser_expect(p, TOKEN_LPAREN, "`(`")) return false;
    for (int i = 0; i < 3; i++) {
        if (!scope_var(p, (enum var)i, all[i])) return false;
        if (i < 2 && !parser_expect(p, TOKEN_COMMA, i == 0 ? "`,` and the action" : "`,` and the resource"))
            return false;
    }
    if (parser_is(p, TOKEN_COMMA)) parser_take(p);
    return parser_expect(p, TOKEN_RPAREN, "`)`");
}

#define LIST_MAX 1024

static bool annotations(struct parser *p, struct policy *out)
{
    struct annotation *list = NULL;
    uint32_t n = 0;
    for (; parser_is(p, TOKEN_AT); n++) {
        if ((n & (n - 1)) == 0) {
            struct annotation *grown = arena_array(p->mem, n ? (size_t)n * 2 : 1, sizeof *grown);
            if (!grown) return parser_no_memory(p), false;
            if (n) memcpy(grown, list, n * sizeof *grown);
            list = grown;
        }
        parser_take(p);
        const struct token *name = p->at;
        if (!parser_expect(p, TOKEN_IDENT, "the annotation's name")) return false;
        list[n] = (struct annotation){.name = arena_copy(p->mem, token_text(&p->tokens, name)),
                                      .value = STR(""),
                                      .bare = true};
        if (!list[n].name.p) return parser_no_memory(p), false;
        if (parser_is(p, TOKEN_LPAREN)) {
            parser_take(p);
            if (!parser_string(p, "the annotation's value, a string", &list[n].value)) return false;
            if (!parser_expect(p, TOKEN_RPAREN, "`)`")) return false;
            list[n].bare = false;
        }
        for (uint32_t i = 0; i < n; i++)
            if (str_eq(list[i].name, list[n].name)) {
                mistake(p->m, POLICY_FAULT_DUPLICATE, name->at, name->at + name->len, STR_NONE,
                        "the annotation @%.*s is there twice", STR_ARG(list[n].name));
                return false;
            }
        if (n == LIST_MAX) {
            mistake(p->m, POLICY_FAULT_LIMIT, name->at, name->at + name->len, STR_NONE, "more than %d annotations",
                    LIST_MAX);
            return false;
        }
    }
    out->annotations = list;
    out->annotations_n = n;
    return true;
}

static bool conditions(struct parser *p, struct policy *out)
{
    struct condition *list = NULL;
    uint32_t n = 0;
    for (; parser_is(p, TOKEN_IDENT); n++) {
        static const str words[] = {STR_INIT("when"), STR_INIT("unless")};
        const struct token *word = p->at;
        bool unless = parser_is_word(p, words[1]);
        if (!unless && !parser_is_word(p, words[0])) {
            str given = token_text(&p->tokens, word);
            mistake(p->m, POLICY_FAULT_SYNTAX, word->at, word->at + word->len,
                    mistake_did_you_mean(p->mem, given, words, 2), "expected `when`, `unless` or `;`, found `%.*s`",
                    STR_ARG(given));
            return false;
        }
        parser_take(p);
        if ((n & (n - 1)) == 0) {
            struct condition *grown = arena_array(p->mem, n ? (size_t)n * 2 : 1, sizeof *grown);
            if (!grown) return parser_no_memory(p), false;
            if (n) memcpy(grown, list, n * sizeof *grown);
            list = grown;
        }
        if (!parser_expect(p, TOKEN_LBRACE, "`{`")) return false;
        if (parser_is(p, TOKEN_RBRACE)) {
            parser_unexpected(p, "a condition");
            return false;
        }
        const struct expr *body = parser_expr(p);
        if (!body || !parser_expect(p, TOKEN_RBRACE, "an operator or `}`")) return false;
        list[n] = (struct condition){unless, body, word->at, parser_end(p)};
        if (n == LIST_MAX) {
            mistake(p->m, POLICY_FAULT_LIMIT, word->at, word->at + word->len, STR_NONE, "more than %d conditions",
                    LIST_MAX);
            return false;
        }
    }
    out->conditions = list;
    out->conditions_n = n;
    return true;
}

static bool parse_policy(struct parser *p, struct policy *out)
{
    static const str effects[] = {STR_INIT("permit"), STR_INIT("forbid")};
    out->at = p->at->at;
    if (!annotations(p, out)) return false;
    if (parser_is_word(p, effects[0])) {
        out->effect = EFFECT_PERMIT;
    } else if (!parser_is_word(p, effects[1])) {
        char room[64];
        str given = token_text(&p->tokens, p->at), found = token_describe(&p->tokens, p->at, room);
        mistake(p->m, POLICY_FAULT_SYNTAX, p->at->at, p->at->at + p->at->len,
                mistake_did_you_mean(p->mem, given, effects, 2), "expected `permit` or `forbid`, found %.*s",
                STR_ARG(found));
        return false;
    }
    parser_take(p);
    if (!scopes(p, out) || !conditions(p, out)) return false;
    if (!parser_expect(p, TOKEN_SEMICOLON, "`;`, `when` or `unless`")) return false;
    out->end = parser_end(p);
    return true;
}

/* After a mistake: behind the next semicolon, where the next policy begins. */
static void resynchronise(struct parser *p)
{
    while (!parser_is(p, TOKEN_END) && !parser_is(p, TOKEN_SEMICOLON)) parser_take(p);
    parser_take(p);
}

static bool name_policy(struct parser *p, unsigned flags, struct policy *x, uint32_t count, struct map *ids)
{
    str id = flags & PARSE_ID_ANNOTATION ? policy_annotation(x, STR("id")) : STR_NONE;
    x->id = id.n ? id : arena_printf(p->mem, "policy%u", count);
    if (!x->id.p) return parser_no_memory(p), false;
    void *old = NULL;
    if (map_put(ids, x->id, x, &old) != ERR_OK) return parser_no_memory(p), false;
    if (!old) return true;
    mistake(p->m, POLICY_FAULT_DUPLICATE, x->at, x->end, STR_NONE, "another policy has the id %.*s", STR_ARG(x->id));
    return false;
}

enum err policies_parse(str text, unsigned flags, struct arena *mem, struct mistakes *m, struct policy_set *out)
{
    struct parser p = {.mem = mem, .m = m};
    struct policy_set set = {.mem = mem};
    struct map ids = {0};
    uint32_t before = m->n;
    enum err e = lex(text, POLICY_TEXT_MAX, 0, mem, m, &p.tokens);
    if (e != ERR_OK) return e;
    p.at = p.tokens.list;
    for (uint32_t count = 0; e == ERR_OK && !parser_is(&p, TOKEN_END) && m->n < MISTAKES_MAX; count++) {
        struct policy *x = arena_zalloc(mem, sizeof *x);
        if (!x) {
            e = ERR_NO_MEMORY;
            break;
        }
        uint32_t mistakes_before = m->n;
        bool ok = parse_policy(&p, x);
        if (!ok) resynchronise(&p);
        if (m->n != mistakes_before || !ok) continue;
        if (name_policy(&p, flags, x, count, &ids)) e = policy_set_add(&set, x);
    }
    map_free(&ids);
    if (e == ERR_OK && m->n != before) e = mistakes_err(m);
    if (e == ERR_OK) *out = set;
    return e;
}

enum err expr_parse(str text, struct arena *mem, struct mistakes *m, const struct expr **out)
{
    struct parser p = {.mem = mem, .m = m};
    enum err e = lex(text, POLICY_TEXT_MAX, 0, mem, m, &p.tokens);
    if (e != ERR_OK) return e;
    p.at = p.tokens.list;
    const struct expr *x = parser_expr(&p);
    if (x && !parser_is(&p, TOKEN_END)) parser_unexpected(&p, "the end of the expression");
    if (m->n) return mistakes_err(m);
    if (!x) return ERR_NO_MEMORY;
    *out = x;
    return ERR_OK;
}

enum err uid_parse(str text, struct arena *mem, struct mistakes *m, const struct uid **out)
{
    struct parser p = {.mem = mem, .m = m};
    enum err e = lex(text, POLICY_TEXT_MAX, 0, mem, m, &p.tokens);
    if (e != ERR_OK) return e;
    p.at = p.tokens.list;
    const struct uid *u = parser_uid(&p, "an entity like User::\"alice\"");
    if (u && !parser_is(&p, TOKEN_END)) parser_unexpected(&p, "the end of the entity");
    if (m->n) return mistakes_err(m);
    if (!u) return ERR_NO_MEMORY;
    *out = u;
    return ERR_OK;
}
