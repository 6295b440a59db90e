#include "unit.h"

#include "base/buf.h"
#include "config/route_build.h"

/* --- patterns --- */

static void patterns_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum err want;
        size_t at; /* of the trouble */
        uint8_t segments, params;
    } rows[] = {
        {"GET /", ERR_OK, 0, 1, 0},
        {"GET /orders", ERR_OK, 0, 1, 0},
        {"GET /orders/", ERR_OK, 0, 2, 0},
        {"GET /orders/{id}", ERR_OK, 0, 2, 1},
        {"GET,POST,PURGE /a/{b}/{c*}", ERR_OK, 0, 3, 2},
        {"* /{rest*}", ERR_OK, 0, 1, 1},
        {"M-SEARCH /a.b/c-d/~e", ERR_OK, 0, 3, 0},
        {"", ERR_MALFORMED, 0, 0, 0},
        {"GET", ERR_MALFORMED, 0, 0, 0},
        {"/orders", ERR_MALFORMED, 0, 0, 0},
        {" /orders", ERR_MALFORMED, 0, 0, 0},
        {"get /orders", ERR_MALFORMED, 0, 0, 0},
        {"GET, POST /orders", ERR_MALFORMED, 4, 0, 0},
        {"GET,,POST /orders", ERR_MALFORMED, 4, 0, 0},
        {"GET,* /orders", ERR_MALFORMED, 4, 0, 0},
        {"GET,PURGE,PURGE /a", ERR_MALFORMED, 10, 0, 0},
        {"CONNECT /a", ERR_MALFORMED, 0, 0, 0},
        {"GET,TRACE /a", ERR_MALFORMED, 4, 0, 0},
        {"ACL,BIND,COPY,LINK,LOCK /a", ERR_LIMIT, 19, 0, 0},
        {"GET,PROPFIND /a", ERR_OK, 0, 1, 0},
        {"GET,FROB /a", ERR_MALFORMED, 4, 0, 0}, /* the parser knows no such method: it would never match */
        {"FROBFROBFROBFROBFROBFROBFROBFROB /a", ERR_MALFORMED, 0, 0, 0},
        {"GET  /orders", ERR_MALFORMED, 4, 0, 0},
        {"GET orders", ERR_MALFORMED, 4, 0, 0},
        {"GET /a//b", ERR_MALFORMED, 7, 0, 0},
        {"GET /a/{}", ERR_MALFORMED, 8, 0, 0},
        {"GET /a/{b", ERR_MALFORMED, 7, 0, 0},
        {"GET /a/x{b}", ERR_MALFORMED, 7, 0, 0},
        {"GET /a/{b}{c}", ERR_MALFORMED, 8, 0, 0},
        {"GET /a/{1b}", ERR_MALFORMED, 8, 0, 0},
        {"GET /{a*}/b", ERR_MALFORMED, 5, 0, 0},
        {"GET /{a}/{a}", ERR_MALFORMED, 10, 0, 0},
        {"GET /*", ERR_MALFORMED, 5, 0, 0},
        {"GET /a/../b", ERR_MALFORMED, 7, 0, 0},
        {"GET /a/.", ERR_MALFORMED, 7, 0, 0},
        {"GET /a./b", ERR_MALFORMED, 5, 0, 0},
        {"GET /a%20b", ERR_MALFORMED, 5, 0, 0},
        {"GET /a:b", ERR_MALFORMED, 5, 0, 0},
        {"GET /a;b", ERR_MALFORMED, 5, 0, 0},
        {"GET /a?b=c", ERR_MALFORMED, 5, 0, 0},
        {"GET /\xc3\xa9", ERR_MALFORMED, 5, 0, 0},
        {"GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", ERR_OK, 0, 8, 8},
        {"GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", ERR_LIMIT, 37, 0, 0},
        {"GET /1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g", ERR_OK, 0, 32, 0},
        {"GET /1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h", ERR_LIMIT, 69, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pattern p = {0};
        const char *why = NULL;
        size_t at = 0;
        enum err e = pattern_parse(str_of(rows[i].in), &p, &why, &at);
        if (e != rows[i].want || at != rows[i].at || p.n_segments != rows[i].segments || p.n_params != rows[i].params)
            fail_msg("%s: %s at %zu (%s), %u segments, %u params", rows[i].in, err_name(e), at, why, p.n_segments,
                     p.n_params);
        assert_int_equal(why != NULL, e != ERR_OK);
    }
}

static void prefixes_are_whole_segments(void **state)
{
    (void)state;
    static const struct {
        const char *match, *prefix;
        bool want;
    } rows[] = {
        {"GET /api/orders", "/api", true},     {"GET /api", "/api", true},
        {"GET /apix", "/api", false},          {"GET /{x}/orders", "/api", false},
        {"GET /api/v1/{x*}", "/api/v1", true}, {"GET /api/{x*}", "/api/v1", false},
        {"GET /{x*}", "/api", false},          {"GET /api/", "/api", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pattern p;
        const char *why;
        size_t at;
        assert_err(pattern_parse(str_of(rows[i].match), &p, &why, &at), ERR_OK);
        if (pattern_has_prefix(&p, str_of(rows[i].prefix)) != rows[i].want) fail_msg("%s", rows[i].match);
    }
    assert_true(pattern_prefix_ok(STR("/a")) && pattern_prefix_ok(STR("/a/b.c")));
    static const char *const bad[] = {"", "/", "a", "/a/", "//a", "/a//b", "/{x}", "/a/..", "/a%20", "/a:b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (pattern_prefix_ok(str_of(bad[i]))) fail_msg("%s", bad[i]);
}

/* --- the table --- */

struct routes {
    struct arena mem;
    struct route_table *table;
};

static enum err add(struct route_builder *b, const char *match, uint32_t action, size_t strip, uint32_t *other)
{
    struct pattern p;
    const char *why;
    size_t at;
    enum err e = pattern_parse(str_of(match), &p, &why, &at);
    return e == ERR_OK ? route_add(b, &p, action, strip, other) : e;
}

/* Action i is matches[i]; behind them the services' implicit routes. */
static struct routes make(const char *const *matches, const char *const *services)
{
    struct routes r;
    struct route_builder *b;
    uint32_t n = 0, other;
    arena_init(&r.mem, NULL, 0, 64 << 20);
    assert_err(route_builder_new(&b), ERR_OK);
    for (; matches[n]; n++) assert_err(add(b, matches[n], n, 0, &other), ERR_OK);
    for (; *services; services++) assert_err(route_add_implicit(b, str_of(*services), n++), ERR_OK);
    assert_err(route_build(b, &r.mem, &r.table), ERR_OK);
    route_builder_free(&b);
    return r;
}

static void the_most_specific_route_wins(void **state)
{
    (void)state;
    static const char *const matches[] = {/* 0 */ "GET /",
                                          /* 1 */ "GET /orders",
                                          /* 2 */ "GET /orders/{id}",
                                          /* 3 */ "POST,PUT /orders/{order}",
                                          /* 4 */ "GET /orders/new",
                                          /* 5 */ "POST /orders/{id}/pay",
                                          /* 6 */ "GET /orders/{id}/{rest*}",
                                          /* 7 */ "* /files/{path*}",
                                          /* 8 */ "GET /a/{x}/c",
                                          /* 9 */ "GET /a/b/d",
                                          /* 10 */ "PURGE /cache/{key}",
                                          /* 11 */ "GET /orders/",
                                          /* 12 */ "GET /a/b/{z*}",
                                          NULL};
    static const char *const services[] = {"business", "orders", NULL};
    struct routes r = make(matches, services);
    static const struct {
        const char *method, *path;
        enum route_match want;
        uint32_t action;
        const char *forward, *params;
        unsigned allow;
    } rows[] = {
        {"GET", "/", ROUTE_FOUND, 0, "/", "", 0},
        {"HEAD", "/", ROUTE_FOUND, 0, "/", "", 0},
        {"POST", "/", ROUTE_METHOD, 0, "/", "", 1u << METHOD_GET | 1u << METHOD_HEAD},
        {"GET", "/orders", ROUTE_FOUND, 1, "/orders", "", 0},
        {"GET", "/orders/", ROUTE_FOUND, 11, "/orders/", "", 0},
        {"GET", "/orders/7", ROUTE_FOUND, 2, "/orders/7", "id=7", 0},
        {"PUT", "/orders/7", ROUTE_FOUND, 3, "/orders/7", "order=7", 0},
        {"GET", "/orders/new", ROUTE_FOUND, 4, "/orders/new", "", 0},
        {"POST", "/orders/new", ROUTE_FOUND, 3, "/orders/new", "order=new", 0}, /* the literal does not know POST */
        {"DELETE", "/orders/new", ROUTE_METHOD, 4, "/orders/new", "",
         1u << METHOD_GET | 1u << METHOD_HEAD | 1u << METHOD_POST | 1u << METHOD_PUT},
        {"POST", "/orders/7/pay", ROUTE_FOUND, 5, "/orders/7/pay", "id=7", 0},
        {"GET", "/orders/7/pay", ROUTE_FOUND, 6, "/orders/7/pay", "id=7,rest=pay", 0},
        {"GET", "/orders/7/x/y/", ROUTE_FOUND, 6, "/orders/7/x/y/", "id=7,rest=x/y/", 0},
        {"DELETE", "/files", ROUTE_FOUND, 7, "/files", "path=", 0},
        {"DELETE", "/files/", ROUTE_FOUND, 7, "/files/", "path=", 0},
        {"FROB", "/files/a/b", ROUTE_FOUND, 7, "/files/a/b", "path=a/b", 0},
        {"TRACE", "/files/a", ROUTE_METHOD, 7, "/files/a", "", 0},
        {"CONNECT", "/business/x", ROUTE_METHOD, 13, "/business/x", "", 0},
        {"GET", "/a/b/c", ROUTE_FOUND, 12, "/a/b/c", "z=c", 0}, /* from the left: b is a literal */
        {"GET", "/a/b/d", ROUTE_FOUND, 9, "/a/b/d", "", 0},
        {"GET", "/a/q/c", ROUTE_FOUND, 8, "/a/q/c", "x=q", 0},
        {"GET", "/a/q/d", ROUTE_NONE, 0, "/a/q/d", "", 0},
        {"GET", "/a//c", ROUTE_NONE, 0, "/a//c", "", 0},
        {"PURGE", "/cache/x", ROUTE_FOUND, 10, "/cache/x", "key=x", 0},
        {"PURG", "/cache/x", ROUTE_METHOD, 10, "/cache/x", "", 0},
        {"GET", "/Orders", ROUTE_NONE, 0, "/Orders", "", 0},
        {"GET", "/business", ROUTE_FOUND, 13, "/", "", 0},
        {"GET", "/business/", ROUTE_FOUND, 13, "/", "", 0},
        {"POST", "/business/my/op", ROUTE_FOUND, 13, "/my/op", "", 0},
        {"POST", "/businessx", ROUTE_NONE, 0, "/businessx", "", 0},
        {"DELETE", "/orders/7/pay/q", ROUTE_METHOD, 6, "/orders/7/pay/q", "", 1u << METHOD_GET | 1u << METHOD_HEAD},
        {"DELETE", "/orders", ROUTE_METHOD, 1, "/orders", "", 1u << METHOD_GET | 1u << METHOD_HEAD},
        {"GET", "*", ROUTE_NONE, 0, "*", "", 0},
        {"GET", "", ROUTE_NONE, 0, "", "", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route got;
        struct buf params;
        buf_init(&params, 1000);
        route_find(r.table, method_of(str_of(rows[i].method)), str_of(rows[i].method), str_of(rows[i].path), &got);
        for (size_t k = 0; k < got.n_params; k++)
            buf_printf(&params, "%s%.*s=%.*s", k ? "," : "", STR_ARG(got.params[k].name), STR_ARG(got.params[k].value));
        if (got.match != rows[i].want || got.action != rows[i].action || got.allow != rows[i].allow)
            fail_msg("%s %s: match %d, action %u, allow %x", rows[i].method, rows[i].path, (int)got.match, got.action,
                     (unsigned)got.allow);
        assert_str(got.forward, str_of(rows[i].forward));
        assert_str(buf_str(&params), str_of(rows[i].params));
        buf_free(&params);
    }
    arena_reset(&r.mem);
}

static void the_same_route_twice_is_a_conflict(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        enum err want;
    } rows[] = {
        {"GET /a", "GET /a", ERR_CONFLICT},    {"GET /a", "POST /a", ERR_OK},
        {"GET /a", "HEAD /a", ERR_CONFLICT},   {"GET,POST /a", "PUT,POST /a", ERR_CONFLICT},
        {"* /a", "POST /a", ERR_CONFLICT},     {"POST /a", "* /a", ERR_CONFLICT},
        {"* /a", "PURGE /a", ERR_CONFLICT},    {"PURGE /a", "GET,PURGE /a", ERR_CONFLICT},
        {"PURGE /a", "MERGE /a", ERR_OK},      {"GET /a/{x}", "GET /a/{y}", ERR_CONFLICT},
        {"GET /a/{x}", "GET /a/{y*}", ERR_OK}, {"GET /a/{x*}", "GET /a/{y*}", ERR_CONFLICT},
        {"GET /a/{x*}", "GET /a", ERR_OK},     {"GET /a/", "GET /a", ERR_OK},
        {"GET /a/b", "GET /a/{x}", ERR_OK},    {"GET /{a}/b", "GET /{x}/b", ERR_CONFLICT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route_builder *b;
        uint32_t other = 99;
        assert_err(route_builder_new(&b), ERR_OK);
        assert_err(add(b, "GET /zero", 7, 0, &other), ERR_OK);
        assert_err(add(b, rows[i].first, 8, 0, &other), ERR_OK);
        enum err e = add(b, rows[i].second, 9, 0, &other);
        if (e != rows[i].want) fail_msg("%s, %s: %s", rows[i].first, rows[i].second, err_name(e));
        assert_int_equal(other, e == ERR_CONFLICT ? 1 : 99);
        route_builder_free(&b);
    }
}

static void a_prefix_is_stripped(void **state)
{
    (void)state;
    struct route_builder *b;
    struct arena mem;
    struct route_table *t;
    struct route got;
    uint32_t other;
    arena_init(&mem, NULL, 0, 1 << 20);
    assert_err(route_builder_new(&b), ERR_OK);
    assert_err(add(b, "GET /api/v1/{rest*}", 0, 7, &other), ERR_OK);
    assert_err(route_build(b, &mem, &t), ERR_OK);
    route_builder_free(&b);
    route_find(t, METHOD_GET, STR("GET"), STR("/api/v1/x/y"), &got);
    assert_str(got.forward, STR("/x/y"));
    assert_str(got.params[0].value, STR("x/y"));
    route_find(t, METHOD_GET, STR("GET"), STR("/api/v1"), &got);
    assert_int_equal(got.match, ROUTE_FOUND);
    assert_str(got.forward, STR("/"));
    route_find(t, METHOD_GET, STR("GET"), STR("/api/v1/"), &got);
    assert_str(got.forward, STR("/"));
    arena_reset(&mem);
}

/* --- against a naive scan of all patterns --- */

static uint32_t random_state = 1;

static uint32_t pick(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

/* Whether the pattern matches; *rank orders the matches: smaller is more specific, compared as text. */
static bool naive_match(const struct pattern *p, str path, char rank[40])
{
    str parts[40];
    size_t n = 0, i = 0;
    str rest = str_from(path, 1);
    for (bool more = true; more && n < ARRAY_LEN(parts); n++) {
        more = str_has(rest, '/');
        parts[n] = str_cut(&rest, '/');
    }
    memset(rank, 0, 40);
    for (; i < p->n_segments; i++) {
        const struct segment *s = &p->segments[i];
        if (s->kind == SEGMENT_REST) {
            rank[i] = 'd';
            return true;
        }
        if (i >= n) return false;
        if (s->kind == SEGMENT_LITERAL && !str_eq(s->text, parts[i])) return false;
        if (s->kind == SEGMENT_PARAM && parts[i].n == 0) return false;
        rank[i] = s->kind == SEGMENT_LITERAL ? 'b' : 'c';
    }
    return i == n; /* a path that ends here ranks before {rest*}: '\0' < 'd' */
}

static void random_pattern(char *out, size_t room)
{
    static const char *const methods[] = {"GET", "POST", "GET,POST", "*", "PURGE", "HEAD", "PUT,DELETE"};
    static const char *const segments[] = {"a", "b", "c", "{x}", "{y}", ""};
    size_t n = (size_t)snprintf(out, room, "%s ", methods[pick(ARRAY_LEN(methods))]);
    uint32_t count = 1 + pick(5);
    for (uint32_t i = 0; i < count; i++) {
        bool last = i + 1 == count;
        const char *s = segments[pick(last ? 6 : 5)];
        char with[16];
        snprintf(with, sizeof with, "%s", s);
        if (*s == '{') snprintf(with, sizeof with, "{%c%u%s}", s[1], i, last && pick(2) ? "*" : "");
        n += (size_t)snprintf(out + n, room - n, "/%s", with);
    }
}

static void random_path(char *out, size_t room)
{
    static const char *const segments[] = {"a", "b", "c", "d", ""};
    size_t n = 0;
    uint32_t count = 1 + pick(6);
    for (uint32_t i = 0; i < count; i++)
        n += (size_t)snprintf(out + n, room - n, "/%s", segments[pick(i + 1 == count ? 5 : 4)]);
}

static bool knows_method(const struct pattern *p, const char *method)
{
    enum method m = method_of(str_of(method));
    if (p->any_method) return true;
    if (m != METHOD_OTHER) return p->methods >> m & 1;
    for (size_t i = 0; i < p->n_others; i++)
        if (str_eq(p->others[i], str_of(method))) return true;
    return false;
}

static void the_table_agrees_with_a_naive_scan(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PURGE", "FROB"};
    enum { SETS = 300, ROUTES = 40, ASKED = 200 };
    static char texts[ROUTES][120];
    static struct pattern patterns[ROUTES];
    unsigned found = 0, by_method = 0;
    for (int set = 0; set < SETS; set++) {
        struct route_builder *b;
        struct arena mem;
        struct route_table *t;
        uint32_t n = 0, other;
        arena_init(&mem, NULL, 0, 1 << 20);
        assert_err(route_builder_new(&b), ERR_OK);
        for (int tries = 0; tries < ROUTES; tries++) {
            const char *why;
            size_t at;
            random_pattern(texts[n], sizeof texts[n]);
            assert_err(pattern_parse(str_of(texts[n]), &patterns[n], &why, &at), ERR_OK);
            enum err e = route_add(b, &patterns[n], n, 0, &other);
            if (e == ERR_OK)
                n++;
            else
                assert_err(e, ERR_CONFLICT);
        }
        assert_err(route_build(b, &mem, &t), ERR_OK);
        route_builder_free(&b);
        for (int q = 0; q < ASKED; q++) {
            char path[64], best_rank[40], rank[40];
            const char *method = methods[pick(ARRAY_LEN(methods))];
            uint32_t best = n;
            bool known = false;
            random_path(path, sizeof path);
            for (uint32_t i = 0; i < n; i++) {
                if (!naive_match(&patterns[i], str_of(path), rank)) continue;
                known = true;
                if (!knows_method(&patterns[i], method)) continue;
                if (best < n && memcmp(rank, best_rank, sizeof rank) >= 0) continue;
                best = i;
                memcpy(best_rank, rank, sizeof rank);
            }
            struct route got;
            route_find(t, method_of(str_of(method)), str_of(method), str_of(path), &got);
            enum route_match want = best < n ? ROUTE_FOUND : known ? ROUTE_METHOD : ROUTE_NONE;
            if (got.match != want || (best < n && got.action != best))
                fail_msg("%s %s: match %d, action %s; naive: %d, %s", method, path, (int)got.match, texts[got.action],
                         (int)want, best < n ? texts[best] : "none");
            found += want == ROUTE_FOUND;
            by_method += want == ROUTE_METHOD;
        }
        arena_reset(&mem);
    }
    assert_true(found > 10000 && by_method > 3000); /* the comparison means something */
}

/* --- cost --- */

/* Probes of the edge table that finding `text` behind `parent` takes. */
static unsigned probes(const struct route_table *t, uint32_t parent, str text)
{
    unsigned n = 1;
    for (uint64_t i = route_hash(t->seed, parent, text); t->edges[i & t->mask].child; i++, n++)
        if (t->edges[i & t->mask].parent == parent && str_eq(t->edges[i & t->mask].text, text)) return n;
    return n;
}

static void ten_thousand_routes_cost_what_one_costs(void **state)
{
    (void)state;
    enum { N = 10000 };
    struct route_builder *b;
    struct arena mem;
    struct route_table *t;
    uint32_t other;
    arena_init(&mem, NULL, 0, 64 << 20);
    assert_err(route_builder_new(&b), ERR_OK);
    for (uint32_t i = 0; i < N; i++) {
        char match[64];
        snprintf(match, sizeof match, "GET /service%u/item%u/{id}", i % 100, i);
        assert_err(add(b, match, i, 0, &other), ERR_OK);
    }
    assert_err(route_build(b, &mem, &t), ERR_OK);
    route_builder_free(&b);
    unsigned long sum = 0, worst = 0;
    for (uint32_t i = 0; i <= t->mask; i++) {
        if (!t->edges[i].child) continue;
        unsigned n = probes(t, t->edges[i].parent, t->edges[i].text);
        sum += n;
        if (n > worst) worst = n;
    }
    /* one probe and a bit a segment, never a long run */
    assert_true(sum * 100 < (N + 100) * 125);
    assert_true(worst < 24);
    struct route got;
    for (uint32_t i = 0; i < N; i += 37) {
        char path[64];
        snprintf(path, sizeof path, "/service%u/item%u/x", i % 100, i);
        route_find(t, METHOD_GET, STR("GET"), str_of(path), &got);
        assert_int_equal(got.match, ROUTE_FOUND);
        assert_int_equal(got.action, i);
    }
    /* about a hundred bytes a route */
    assert_true(mem.used < N * 400);
    arena_reset(&mem);
}

static void a_deep_path_ends_the_search_soon(void **state)
{
    (void)state;
    static const char *const matches[] = {"GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/end", "GET /a/{b*}", NULL};
    static const char *const services[] = {NULL};
    struct routes r = make(matches, services);
    static char path[8001];
    for (size_t i = 0; i < 8000; i += 2) memcpy(path + i, "/b", 2);
    struct route got;
    route_find(r.table, METHOD_GET, STR("GET"), str_make(path, 8000), &got);
    assert_int_equal(got.match, ROUTE_NONE);
    path[1] = 'a';
    route_find(r.table, METHOD_GET, STR("GET"), str_make(path, 8000), &got);
    assert_int_equal(got.match, ROUTE_FOUND);
    assert_int_equal(got.params[0].value.n, 8000 - 3);
    arena_reset(&r.mem);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    EACH_ALLOC_FAILING({
        struct route_builder *b = NULL;
        struct arena mem;
        struct route_table *t = NULL;
        uint32_t other;
        arena_init(&mem, NULL, 0, 1 << 20);
        enum err e = route_builder_new(&b);
        for (uint32_t i = 0; i < 60 && e == ERR_OK; i++) {
            char match[64];
            snprintf(match, sizeof match, "GET,PURGE /s%u/{x}/t%u", i % 7, i);
            e = add(b, match, i, 0, &other);
        }
        if (e == ERR_OK) e = route_add_implicit(b, STR("svc"), 60);
        if (e == ERR_OK) e = route_build(b, &mem, &t);
        assert_err(e, alloc_fail_hit() ? ERR_NO_MEMORY : ERR_OK);
        route_builder_free(&b);
        arena_reset(&mem);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_are_read_strictly),
        cmocka_unit_test(prefixes_are_whole_segments),
        cmocka_unit_test(the_most_specific_route_wins),
        cmocka_unit_test(the_same_route_twice_is_a_conflict),
        cmocka_unit_test(a_prefix_is_stripped),
        cmocka_unit_test(the_table_agrees_with_a_naive_scan),
        cmocka_unit_test(ten_thousand_routes_cost_what_one_costs),
        cmocka_unit_test(a_deep_path_ends_the_search_soon),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("config/route", tests, NULL, NULL);
}
