#include "config/pattern.h"

#include "codec/url.h"

static enum err fail(enum err e, const char *text, size_t offset, const char **why, size_t *at)
{
    *why = text;
    *at = offset;
    return e;
}

static bool method_name_ok(str m)
{
    if (m.n == 0 || m.n > PATTERN_METHOD_MAX) return false;
    for (size_t i = 0; i < m.n; i++) {
        bool upper = m.p[i] >= 'A' && m.p[i] <= 'Z', other = (m.p[i] >= '0' && m.p[i] <= '9') || m.p[i] == '-';
        if (!upper && (i == 0 || !other)) return false;
    }
    return true;
}

static bool has_other(const struct pattern *p, str name)
{
    for (size_t i = 0; i < p->n_others; i++)
        if (str_eq(p->others[i], name)) return true;
    return false;
}

static enum err add_method(struct pattern *p, str name, size_t offset, const char **why, size_t *at)
{
    if (!method_name_ok(name))
        return fail(ERR_MALFORMED, "a method is written in capitals, such as GET, or * for any", offset, why, at);
    enum method m = method_of(name);
    if (m == METHOD_CONNECT || m == METHOD_TRACE)
        return fail(ERR_MALFORMED, "CONNECT and TRACE are never forwarded", offset, why, at);
    if (!method_known(name))
        return fail(ERR_MALFORMED, "this method is not registered for HTTP; requests with it are refused", offset, why,
                    at);
    if (m == METHOD_OTHER) {
        if (has_other(p, name)) return fail(ERR_MALFORMED, "this method is listed twice", offset, why, at);
        if (p->n_others == PATTERN_OTHERS_MAX)
            return fail(ERR_LIMIT, "at most 4 methods outside the usual ones in one match", offset, why, at);
        p->others[p->n_others++] = name;
        return ERR_OK;
    }
    uint16_t bit = (uint16_t)(1u << m);
    if (m == METHOD_GET) bit |= (uint16_t)(1u << METHOD_HEAD);
    p->methods |= bit;
    return ERR_OK;
}

static enum err parse_methods(str list, struct pattern *p, const char **why, size_t *at)
{
    if (str_eq(list, STR("*"))) {
        p->any_method = true;
        return ERR_OK;
    }
    const char *begin = list.p;
    for (bool more = true; more;) {
        more = str_has(list, ',');
        size_t offset = (size_t)(list.p - begin);
        enum err e = add_method(p, str_cut(&list, ','), offset, why, at);
        if (e != ERR_OK) return e;
    }
    return ERR_OK;
}

static bool param_name_ok(str s)
{
    if (s.n == 0 || s.n > 32) return false;
    for (size_t i = 0; i < s.n; i++) {
        char low = (char)(s.p[i] | 0x20);
        bool letter = low >= 'a' && low <= 'z', digit = s.p[i] >= '0' && s.p[i] <= '9';
        if (!letter && s.p[i] != '_' && (i == 0 || !digit)) return false;
    }
    return true;
}

static enum err parse_braces(struct pattern *p, str text, bool last, size_t offset, const char **why, size_t *at)
{
    if (text.n < 2 || text.p[0] != '{' || text.p[text.n - 1] != '}')
        return fail(ERR_MALFORMED, "braces take a whole segment: /{name}", offset, why, at);
    str name = str_make(text.p + 1, text.n - 2);
    bool rest = str_ends(name, STR("*"));
    if (rest) name.n--;
    if (!param_name_ok(name))
        return fail(ERR_MALFORMED, "a name in braces is 1 to 32 letters, digits or '_' and begins with no digit",
                    offset + 1, why, at);
    if (rest && !last) return fail(ERR_MALFORMED, "only the last segment may be {name*}", offset, why, at);
    if (p->n_params == CONFIG_MAX_PARAMS)
        return fail(ERR_LIMIT, "at most 8 segments in braces in one pattern", offset, why, at);
    for (size_t i = 0; i < p->n_segments; i++)
        if (p->segments[i].kind != SEGMENT_LITERAL && str_eq(p->segments[i].text, name))
            return fail(ERR_MALFORMED, "this name is in the pattern twice", offset + 1, why, at);
    p->n_params++;
    p->segments[p->n_segments++] = (struct segment){rest ? SEGMENT_REST : SEGMENT_PARAM, name};
    return ERR_OK;
}

static enum err add_segment(struct pattern *p, str text, bool last, size_t offset, const char **why, size_t *at)
{
    if (p->n_segments == CONFIG_MAX_SEGMENTS)
        return fail(ERR_LIMIT, "at most 32 segments in one pattern", offset, why, at);
    if (str_has(text, '{') || str_has(text, '}')) return parse_braces(p, text, last, offset, why, at);
    if (text.n == 0 && !last) return fail(ERR_MALFORMED, "an empty segment: //", offset, why, at);
    if (str_eq(text, STR("*")) || str_eq(text, STR("**")))
        return fail(ERR_MALFORMED, "a wildcard has a name: /{name} for one segment, /{name*} for all that follow",
                    offset, why, at);
    if (text.n && !path_literal_ok(text))
        return fail(ERR_MALFORMED,
                    "a literal segment has only letters, digits and - . _ ~: anything else has a second spelling",
                    offset, why, at);
    if (text.n && text.p[text.n - 1] == '.')
        return fail(ERR_MALFORMED, "a segment that ends in a dot never arrives: such paths are refused", offset, why,
                    at);
    p->segments[p->n_segments++] = (struct segment){SEGMENT_LITERAL, text};
    return ERR_OK;
}

enum err pattern_parse(str text, struct pattern *out, const char **why, size_t *at)
{
    struct pattern p = {0};
    size_t blank = str_find(text, ' ');
    if (blank == text.n || blank == 0)
        return fail(ERR_MALFORMED, "it is METHOD, one blank, /path: GET /orders/{id}", 0, why, at);
    enum err e = parse_methods(str_first(text, blank), &p, why, at);
    if (e != ERR_OK) return e;
    p.path = str_from(text, blank + 1);
    if (p.path.n == 0 || p.path.p[0] != '/')
        return fail(ERR_MALFORMED, "behind the method and one blank, a path begins with /", blank + 1, why, at);
    str rest = str_from(p.path, 1);
    for (bool last = false; !last;) {
        last = !str_has(rest, '/');
        size_t offset = (size_t)(rest.p - text.p);
        e = add_segment(&p, str_cut(&rest, '/'), last, offset, why, at);
        if (e != ERR_OK) return e;
    }
    *out = p;
    return ERR_OK;
}

bool pattern_has_prefix(const struct pattern *p, str prefix)
{
    str rest = str_from(prefix, 1);
    for (size_t i = 0; rest.n; i++) {
        str want = str_cut(&rest, '/');
        if (i >= p->n_segments || p->segments[i].kind != SEGMENT_LITERAL || !str_eq(p->segments[i].text, want))
            return false;
    }
    return true;
}

bool pattern_methods_meet(const struct pattern *a, const struct pattern *b)
{
    if (a->any_method || b->any_method) return true;
    if (a->methods & b->methods) return true;
    for (size_t i = 0; i < a->n_others; i++)
        if (has_other(b, a->others[i])) return true;
    return false;
}

bool pattern_prefix_ok(str prefix)
{
    if (prefix.n < 2 || prefix.p[0] != '/' || prefix.n > 1024) return false;
    str rest = str_from(prefix, 1);
    if (str_ends(rest, STR("/"))) return false;
    while (rest.n) {
        str segment = str_cut(&rest, '/');
        if (segment.n == 0 || segment.p[segment.n - 1] == '.' || !path_literal_ok(segment)) return false;
    }
    return true;
}
