#include "policy/lex.h"

#include "base/utf8.h"

#include <stdio.h>

static bool ident_start(char c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Bytes of white space s begins with: what Unicode calls White_Space. */
static size_t space(str s)
{
    unsigned char c = s.n ? (unsigned char)s.p[0] : 'x';
    if (c == ' ' || (c >= 9 && c <= 13)) return 1;
    if (c < 0x80) return 0;
    if (str_starts(s, STR("\xc2\x85")) || str_starts(s, STR("\xc2\xa0"))) return 2;
    static const str wide[] = {STR_INIT("\xe1\x9a\x80"), STR_INIT("\xe2\x80\xa8"), STR_INIT("\xe2\x80\xa9"),
                               STR_INIT("\xe2\x80\xaf"), STR_INIT("\xe2\x81\x9f"), STR_INIT("\xe3\x80\x80")};
    for (size_t i = 0; i < ARRAY_LEN(wide); i++)
        if (str_starts(s, wide[i])) return 3;
    if (str_starts(s, STR("\xe2\x80")) && s.n > 2 && (unsigned char)s.p[2] >= 0x80 && (unsigned char)s.p[2] <= 0x8a)
        return 3;
    return 0;
}

/* Length of the string literal s begins with; 0 if it has no end. */
static size_t string_length(str s)
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '"') return i + 1;
        if (s.p[i] == '\\' && ++i < s.n && s.p[i] == '\n') return 0;
    }
    return 0;
}

static enum token_kind punctuation(str s, size_t *len)
{
    static const struct {
        char text[3];
        uint8_t kind;
    } table[] = {{"::", TOKEN_PATH},    {"==", TOKEN_EQ},      {"!=", TOKEN_NE},       {"<=", TOKEN_LE},
                 {">=", TOKEN_GE},      {"||", TOKEN_OR},      {"&&", TOKEN_AND},      {"@", TOKEN_AT},
                 {".", TOKEN_DOT},      {",", TOKEN_COMMA},    {";", TOKEN_SEMICOLON}, {":", TOKEN_COLON},
                 {"(", TOKEN_LPAREN},   {")", TOKEN_RPAREN},   {"{", TOKEN_LBRACE},    {"}", TOKEN_RBRACE},
                 {"[", TOKEN_LBRACKET}, {"]", TOKEN_RBRACKET}, {"<", TOKEN_LT},        {">", TOKEN_GT},
                 {"+", TOKEN_PLUS},     {"-", TOKEN_MINUS},    {"*", TOKEN_STAR},      {"/", TOKEN_SLASH},
                 {"%", TOKEN_PERCENT},  {"!", TOKEN_NOT},      {"=", TOKEN_ASSIGN},    {"?", TOKEN_QUESTION}};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        size_t n = table[i].text[1] ? 2 : 1;
        if (s.n >= n && memcmp(s.p, table[i].text, n) == 0) {
            *len = n;
            return (enum token_kind)table[i].kind;
        }
    }
    *len = 0;
    return TOKEN_END;
}

static enum token_kind next(str s, size_t *len)
{
    size_t i = 1;
    if (ident_start(s.p[0])) {
        while (i < s.n && (ident_start(s.p[i]) || digit(s.p[i]))) i++;
        *len = i;
        return TOKEN_IDENT;
    }
    if (digit(s.p[0])) {
        while (i < s.n && digit(s.p[i])) i++;
        *len = i;
        return TOKEN_NUMBER;
    }
    if (s.p[0] == '"') {
        *len = string_length(s);
        return TOKEN_STRING;
    }
    if (s.p[0] == '?' && s.n > 1 && ident_start(s.p[1])) {
        while (i < s.n && (ident_start(s.p[i]) || digit(s.p[i]))) i++;
        *len = i;
        return TOKEN_SLOT;
    }
    return punctuation(s, len);
}

struct growing {
    struct token *list;
    uint32_t n, cap;
};

static bool push(struct growing *g, struct arena *mem, struct token t)
{
    if (g->n == g->cap) {
        uint32_t cap = g->cap ? g->cap * 2 : 64;
        struct token *list = arena_array(mem, cap, sizeof *list);
        if (!list) return false;
        if (g->n) memcpy(list, g->list, g->n * sizeof *list);
        g->list = list;
        g->cap = cap;
    }
    g->list[g->n++] = t;
    return true;
}

/* Bytes of white space and comments at the beginning of s; stops before a comment if those are wanted. */
static size_t skip(str s, bool keep_comments, unsigned *lines)
{
    size_t i = 0;
    while (i < s.n) {
        size_t w = space(str_from(s, i));
        if (w) {
            *lines += s.p[i] == '\n';
            i += w;
        } else if (s.p[i] == '/' && i + 1 < s.n && s.p[i + 1] == '/' && !keep_comments) {
            while (i < s.n && s.p[i] != '\n' && s.p[i] != '\r') i++;
        } else {
            break;
        }
    }
    return i;
}

enum err lex(str text, uint32_t max_bytes, unsigned flags, struct arena *mem, struct mistakes *m, struct tokens *out)
{
    struct growing g = {0};
    if (!text.p) text = STR("");
    if (text.n > max_bytes) {
        mistake(m, POLICY_FAULT_LIMIT, 0, 0, STR_NONE, "longer than %u bytes", max_bytes);
        return ERR_LIMIT;
    }
    if (!utf8_valid(text)) {
        size_t i = 0;
        for (size_t w; i < text.n && (w = utf8_length(str_from(text, i))); i += w) continue;
        mistake(m, POLICY_FAULT_UTF8, (uint32_t)i, (uint32_t)i + 1, STR_NONE, "this is not UTF-8");
        return ERR_MALFORMED;
    }
    for (size_t i = 0;;) {
        unsigned lines = 0;
        i += skip(str_from(text, i), flags & LEX_COMMENTS, &lines);
        struct token t = {.kind = TOKEN_END, .newline = lines > 0, .blank_line = lines > 1, .at = (uint32_t)i};
        if (i < text.n) {
            str rest = str_from(text, i);
            size_t len = 0;
            if (str_starts(rest, STR("//"))) {
                t.kind = TOKEN_COMMENT;
                while (len < rest.n && rest.p[len] != '\n' && rest.p[len] != '\r') len++;
            } else {
                t.kind = (uint8_t)next(rest, &len);
            }
            if (!len) {
                size_t bad = t.kind == TOKEN_STRING ? str_find(rest, '\n') : utf8_length(rest);
                mistake(m, POLICY_FAULT_TOKEN, t.at, t.at + 1, STR_NONE, "%s",
                        t.kind == TOKEN_STRING ? "this string has no end" : "no token begins with this character");
                i += bad;
                continue;
            }
            t.len = (uint32_t)len;
            i += len;
        }
        if (!push(&g, mem, t)) return ERR_NO_MEMORY;
        if (t.kind == TOKEN_END) break;
    }
    *out = (struct tokens){text, g.list, g.n - 1};
    return ERR_OK;
}

static size_t put_utf8(char *p, uint32_t c)
{
    if (c < 0x80) {
        p[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        p[0] = (char)(0xc0 | c >> 6);
        p[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        p[0] = (char)(0xe0 | c >> 12);
        p[1] = (char)(0x80 | (c >> 6 & 0x3f));
        p[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    p[0] = (char)(0xf0 | c >> 18);
    p[1] = (char)(0x80 | (c >> 12 & 0x3f));
    p[2] = (char)(0x80 | (c >> 6 & 0x3f));
    p[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static int hex_digit(char c)
{
    if (digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* "u{…}" or "x7F" at the beginning of s; how many bytes it is, 0 if it is none. */
static size_t numeric_escape(str s, uint32_t *c)
{
    if (s.p[0] == 'x') {
        if (s.n < 3 || hex_digit(s.p[1]) < 0 || hex_digit(s.p[2]) < 0 || hex_digit(s.p[1]) > 7) return 0;
        *c = (uint32_t)(hex_digit(s.p[1]) * 16 + hex_digit(s.p[2]));
        return 3;
    }
    if (s.n < 4 || s.p[1] != '{' || s.p[2] == '_') return 0;
    uint32_t v = 0, n = 0;
    size_t i = 2;
    for (; i < s.n && s.p[i] != '}'; i++) {
        if (s.p[i] == '_') continue;
        if (hex_digit(s.p[i]) < 0 || ++n > 6) return 0;
        v = v * 16 + (uint32_t)hex_digit(s.p[i]);
    }
    if (i == s.n || n == 0 || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff)) return 0;
    *c = v;
    return i + 1;
}

/* One escape, s begins behind its backslash; how many bytes, 0 if it is none. */
static size_t escape(str s, uint32_t *c)
{
    static const char names[] = "nrt\\0'\"", values[] = "\n\r\t\\\0'\"";
    if (!s.n) return 0;
    const char *which = s.p[0] ? strchr(names, s.p[0]) : NULL;
    if (which) {
        *c = (uint32_t)(unsigned char)values[which - names];
        return 1;
    }
    return s.p[0] == 'x' || s.p[0] == 'u' ? numeric_escape(s, c) : 0;
}

bool lex_unescape(str in, uint32_t at, const struct star_sink *star, struct arena *mem, struct mistakes *m, str *out)
{
    bool ok = true;
    char *p = arena_alloc(mem, in.n + 1);
    if (!p) {
        mistake(m, POLICY_FAULT_MEMORY, at, at, STR_NONE, "out of memory");
        return false;
    }
    size_t n = 0;
    for (size_t i = 0; i < in.n;) {
        if (in.p[i] == '*' && star) {
            star->add(star->arg, n);
            i++;
        } else if (in.p[i] == '\\') {
            uint32_t c = 0;
            size_t len = 1;
            if (star && i + 1 < in.n && in.p[i + 1] == '*')
                c = '*';
            else
                len = escape(str_from(in, i + 1), &c);
            if (!len) {
                ok = false;
                mistake(m, POLICY_FAULT_ESCAPE, at + (uint32_t)i, at + (uint32_t)i + 2,
                        STR("the escapes are \\n \\r \\t \\\\ \\0 \\' \\\" \\x7F \\u{1F600}, and \\* in a pattern"),
                        "this is no escape sequence");
                len = 1;
            } else {
                n += put_utf8(p + n, c);
            }
            i += 1 + len;
        } else if (in.p[i] == '\r') {
            ok = false;
            mistake(m, POLICY_FAULT_ESCAPE, at + (uint32_t)i, at + (uint32_t)i + 1, STR("write it as \\r"),
                    "a bare carriage return in a string");
            i++;
        } else {
            p[n++] = in.p[i++];
        }
    }
    p[n] = 0;
    if (ok) *out = str_make(p, n);
    return ok;
}

str token_describe(const struct tokens *t, const struct token *k, char room[64])
{
    if (k->kind == TOKEN_END) return STR("the end of the text");
    str s = token_text(t, k);
    size_t n = s.n < 40 ? s.n : 40;
    while (n && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--;
    int len = snprintf(room, 64, "`%.*s%s`", (int)n, s.p, n < s.n ? "…" : "");
    return str_make(room, len < 0 ? 0 : (size_t)len);
}
