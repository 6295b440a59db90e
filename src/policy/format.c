#include "policy/format.h"

#include "policy/parse.h"

#define WIDTH     80
#define STEP      2
#define NO_BREAK  (-1)
#define DEPTH_MAX (EXPR_DEPTH_MAX * 2 + 16)

struct layout {
    struct tokens t;
    int32_t *before; /* by token: break the line before it and indent so far, or NO_BREAK */
    uint32_t *close; /* by opening bracket: the token that closes it */
    unsigned depth;
};

static bool is(const struct layout *l, uint32_t i, enum token_kind k)
{
    return l->t.list[i].kind == k;
}

static bool is_word(const struct layout *l, uint32_t i, str word)
{
    return is(l, i, TOKEN_IDENT) && str_eq(token_text(&l->t, &l->t.list[i]), word);
}

/* Words that an operand follows: a bracket or a minus behind them begins something new. */
static bool is_operator_word(const struct layout *l, uint32_t i)
{
    static const str words[] = {STR_INIT("if"),  STR_INIT("then"), STR_INIT("else"), STR_INIT("in"),
                                STR_INIT("has"), STR_INIT("like"), STR_INIT("is")};
    for (size_t k = 0; k < ARRAY_LEN(words); k++)
        if (is_word(l, i, words[k])) return i == 0 || !is(l, i - 1, TOKEN_DOT);
    return false;
}

/* Whether something that yields a value ends with token i. */
static bool ends_operand(const struct layout *l, uint32_t i)
{
    switch (l->t.list[i].kind) {
    case TOKEN_NUMBER:
    case TOKEN_STRING:
    case TOKEN_SLOT:
    case TOKEN_RPAREN:
    case TOKEN_RBRACKET:
    case TOKEN_RBRACE: return true;
    case TOKEN_IDENT: return !is_operator_word(l, i);
    default: return false;
    }
}

static bool is_unary(const struct layout *l, uint32_t i)
{
    return is(l, i, TOKEN_NOT) || (is(l, i, TOKEN_MINUS) && (i == 0 || !ends_operand(l, i - 1)));
}

/* Whether a blank stands between token i - 1 and token i on one line. */
static bool blank_before(const struct layout *l, uint32_t i)
{
    enum token_kind a = (enum token_kind)l->t.list[i - 1].kind, b = (enum token_kind)l->t.list[i].kind;
    if (b == TOKEN_COMMENT || a == TOKEN_COMMENT) return true;
    if (a == TOKEN_LPAREN || a == TOKEN_LBRACKET || a == TOKEN_DOT || a == TOKEN_PATH || a == TOKEN_AT) return false;
    if (b == TOKEN_RPAREN || b == TOKEN_RBRACKET || b == TOKEN_COMMA || b == TOKEN_SEMICOLON || b == TOKEN_DOT ||
        b == TOKEN_PATH || b == TOKEN_COLON)
        return false;
    if (a == TOKEN_LBRACE && b == TOKEN_RBRACE) return false;
    if (is_unary(l, i - 1)) return false;
    if (b == TOKEN_LBRACKET) return !ends_operand(l, i - 1);
    if (b == TOKEN_LPAREN) {
        bool effect = is_word(l, i - 1, STR("permit")) || is_word(l, i - 1, STR("forbid"));
        bool annotation = i >= 2 && is(l, i - 2, TOKEN_AT);
        return !ends_operand(l, i - 1) || (effect && !annotation && !(i >= 2 && is(l, i - 2, TOKEN_DOT)));
    }
    return true;
}

static uint32_t width(const struct layout *l, uint32_t i)
{
    str s = token_text(&l->t, &l->t.list[i]);
    uint32_t n = 0;
    for (size_t k = 0; k < s.n; k++) n += ((unsigned char)s.p[k] & 0xc0) != 0x80;
    return n;
}

/* Columns of tokens from..to-1 on one line; very many if there is a comment or a line end among them. */
static uint32_t flat(const struct layout *l, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < to && n < 10000; i++) {
        str s = token_text(&l->t, &l->t.list[i]);
        if (is(l, i, TOKEN_COMMENT) || (is(l, i, TOKEN_STRING) && str_has(s, '\n'))) return 10000;
        n += width(l, i) + (i > from && blank_before(l, i));
    }
    return n;
}

static bool opens(const struct layout *l, uint32_t i)
{
    return is(l, i, TOKEN_LPAREN) || is(l, i, TOKEN_LBRACKET) || is(l, i, TOKEN_LBRACE);
}

static void match_brackets(struct layout *l, uint32_t *stack)
{
    uint32_t depth = 0;
    for (uint32_t i = 0; i < l->t.n; i++) {
        l->close[i] = i;
        if (opens(l, i))
            stack[depth++] = i;
        else if ((is(l, i, TOKEN_RPAREN) || is(l, i, TOKEN_RBRACKET) || is(l, i, TOKEN_RBRACE)) && depth)
            l->close[stack[--depth]] = i;
    }
}

/* Comments do not count as the first token of anything. */
static uint32_t behind_comments(const struct layout *l, uint32_t i, uint32_t to)
{
    while (i < to && is(l, i, TOKEN_COMMENT)) i++;
    return i;
}

static void expression(struct layout *l, uint32_t from, uint32_t to, int32_t indent, int32_t column);

static void group(struct layout *l, uint32_t open, int32_t indent)
{
    uint32_t close = l->close[open], from = open + 1;
    if (from >= close) return;
    l->before[from] = indent + STEP;
    l->before[close] = indent;
    for (uint32_t i = from; i <= close; i++) {
        if (opens(l, i)) i = l->close[i];
        if (i != close && !is(l, i, TOKEN_COMMA)) continue;
        if (i > from) expression(l, from, i, indent + STEP, indent + STEP);
        from = i + 1;
        if (from < close) l->before[from] = indent + STEP;
    }
}

/* Splits at every operator of that kind outside brackets; false if there is none. */
static bool split(struct layout *l, uint32_t from, uint32_t to, enum token_kind op, int32_t indent, int32_t column)
{
    uint32_t start = from;
    bool any = false;
    for (uint32_t i = from; i < to; i++) {
        if (opens(l, i)) i = l->close[i];
        if (!is(l, i, op)) continue;
        expression(l, start, i, indent, any ? indent : column);
        any = true;
        start = behind_comments(l, i + 1, to);
        if (start < to) l->before[start] = indent;
    }
    if (any && start < to) expression(l, start, to, indent, indent);
    return any;
}

static bool choice(struct layout *l, uint32_t from, uint32_t to, int32_t indent)
{
    uint32_t first = behind_comments(l, from, to), then = 0, otherwise = 0;
    unsigned nested = 0;
    if (first >= to || !is_word(l, first, STR("if"))) return false;
    for (uint32_t i = first + 1; i < to && !otherwise; i++) {
        if (opens(l, i)) i = l->close[i];
        if (i > 0 && is(l, i - 1, TOKEN_DOT)) continue;
        if (is_word(l, i, STR("if"))) nested++;
        if (is_word(l, i, STR("then")) && nested == 0) then = i;
        if (is_word(l, i, STR("else")) && nested-- == 0) otherwise = i;
    }
    if (!then || !otherwise) return false;
    l->before[then] = indent;
    l->before[otherwise] = indent;
    expression(l, first + 1, then, indent + STEP, indent + 3);
    expression(l, then + 1, otherwise, indent + STEP, indent + 5);
    expression(l, otherwise + 1, to, indent + STEP, indent + 5);
    return true;
}

static void expression(struct layout *l, uint32_t from, uint32_t to, int32_t indent, int32_t column)
{
    if (from >= to || (uint32_t)column + flat(l, from, to) <= WIDTH || l->depth >= DEPTH_MAX) return;
    l->depth++;
    if (!choice(l, from, to, indent) && !split(l, from, to, TOKEN_OR, indent, column) &&
        !split(l, from, to, TOKEN_AND, indent, column)) {
        for (uint32_t i = from; i < to; i++) {
            if (!opens(l, i)) continue;
            if ((uint32_t)column + flat(l, from, l->close[i] + 1) > WIDTH) group(l, i, indent);
            i = l->close[i];
        }
    }
    l->depth--;
}

/* One policy: tokens from..to-1, the last of them its semicolon. */
static void policy(struct layout *l, uint32_t from, uint32_t to)
{
    uint32_t i = from;
    while (i < to && (is(l, i, TOKEN_AT) || is(l, i, TOKEN_COMMENT))) {
        l->before[i] = 0;
        i += is(l, i, TOKEN_AT) ? 2 : 1;
        if (i < to && is(l, i, TOKEN_LPAREN)) i = l->close[i] + 1;
    }
    if (i >= to) return;
    l->before[i] = 0; /* permit or forbid */
    uint32_t open = i + 1;
    while (open < to && !is(l, open, TOKEN_LPAREN)) open++;
    if (open >= to) return;
    if (flat(l, i, l->close[open] + 1) > WIDTH) group(l, open, 0);
    for (i = l->close[open] + 1; i + 1 < to; i++) {
        if (is(l, i, TOKEN_COMMENT)) continue;
        l->before[i] = 0; /* when or unless */
        uint32_t brace = i;
        while (brace < to && !is(l, brace, TOKEN_LBRACE)) brace++;
        if (brace >= to) return;
        if (flat(l, i, l->close[brace] + 1) > WIDTH) group(l, brace, 0);
        i = l->close[brace];
    }
}

static void indent(struct buf *out, int32_t n)
{
    for (int32_t i = 0; i < n; i++) buf_putc(out, ' ');
}

/* Whether token i begins the first line behind a policy: all that stands between is a comment on its last line. */
static bool behind_policy(const struct layout *l, uint32_t i)
{
    if (is(l, i, TOKEN_COMMENT) && !l->t.list[i].newline) return false;
    while (i > 0 && is(l, i - 1, TOKEN_COMMENT) && !l->t.list[i - 1].newline) i--;
    return i > 0 && is(l, i - 1, TOKEN_SEMICOLON);
}

static void emit(const struct layout *l, struct buf *out)
{
    int32_t at = 0;
    for (uint32_t i = 0; i < l->t.n; i++) {
        const struct token *k = &l->t.list[i];
        bool own_line = is(l, i, TOKEN_COMMENT) && k->newline, after_comment = i && is(l, i - 1, TOKEN_COMMENT);
        bool first = i == 0, top = !first && behind_policy(l, i);
        if (l->before[i] != NO_BREAK) at = l->before[i];
        if (first) {
        } else if (top || (after_comment && at == 0 && k->blank_line && l->before[i] == 0)) {
            at = 0;
            buf_puts(out, "\n\n");
        } else if (is(l, i, TOKEN_COMMENT) && !k->newline) {
            buf_putc(out, ' ');
        } else if (l->before[i] != NO_BREAK || own_line || after_comment) {
            buf_putc(out, '\n');
            indent(out, at);
        } else if (blank_before(l, i)) {
            buf_putc(out, ' ');
        }
        str s = token_text(&l->t, k);
        if (is(l, i, TOKEN_COMMENT))
            while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
        buf_put(out, s);
    }
    if (l->t.n) buf_putc(out, '\n');
}

enum err policies_format(str text, struct arena *mem, struct mistakes *m, struct buf *out)
{
    struct policy_set set;
    struct layout l = {0};
    enum err e = policies_parse(text, 0, mem, m, &set);
    if (e != ERR_OK) return e;
    e = lex(text, POLICY_TEXT_MAX, LEX_COMMENTS, mem, m, &l.t);
    if (e != ERR_OK) return e;
    l.before = arena_array(mem, l.t.n + 1, sizeof *l.before);
    l.close = arena_array(mem, l.t.n + 1, sizeof *l.close);
    uint32_t *stack = arena_array(mem, l.t.n + 1, sizeof *stack);
    if (!l.before || !l.close || !stack) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < l.t.n; i++) l.before[i] = NO_BREAK;
    match_brackets(&l, stack);
    for (uint32_t i = 0, from = 0; i < l.t.n; i++) {
        if (!is(&l, i, TOKEN_SEMICOLON)) continue;
        policy(&l, from, i + 1);
        from = i + 1;
        while (from < l.t.n && is(&l, from, TOKEN_COMMENT) && !l.t.list[from].newline) from++;
    }
    emit(&l, out);
    return out->bad ? ERR_NO_MEMORY : ERR_OK;
}
