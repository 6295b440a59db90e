/* A request head: what is accepted has the form it claims, arrives at the same verdict in pieces, and is the same
 * request when written anew and read again. */
#include "codec/url.h"
#include "http/h1.h"

#include <stdlib.h>

#define FIELDS 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) abort();
}

struct parsed {
    enum err err;
    enum http_fault fault;
    struct h1_head head;
    struct request r;
    struct field room[FIELDS];
};

static void parse(struct parsed *p, str in, struct h1_scan *scan)
{
    p->r.fields = (struct fields){p->room, 0, FIELDS};
    p->err = h1_parse_request(in, scan, &h1_limits_default, &p->r, &p->head, &p->fault);
}

static bool inside(str s, str in)
{
    return s.n == 0 || (s.p >= in.p && s.p + s.n <= in.p + in.n);
}

static void has_its_form(const struct parsed *p, str in)
{
    const struct request *r = &p->r;
    struct authority a;
    check(p->head.size <= in.n && p->head.size <= h1_limits_default.max_head);
    check(memcmp(in.p + p->head.size - 4, "\r\n\r\n", 4) == 0);
    check(method_known(r->method) && r->method_id == method_of(r->method) && r->method_id != METHOD_CONNECT);
    check(r->path.n && (r->path.p[0] == '/' || (str_eq(r->path, STR("*")) && r->method_id == METHOD_OPTIONS)));
    check(url_query_ok(r->path) && url_query_ok(r->query) && !str_has(r->path, '?'));
    check(r->authority.n ? url_authority(r->authority, &a) == ERR_OK : r->minor == 0);
    check(inside(r->authority, in) && inside(r->method, in) && inside(r->query, in));
    uint32_t lengths = fields_count(&r->fields, FIELD_CONTENT_LENGTH);
    uint32_t codings = fields_count(&r->fields, FIELD_TRANSFER_ENCODING);
    check(lengths + codings <= 1 && fields_count(&r->fields, FIELD_HOST) <= 1);
    check((p->head.framing == H1_CHUNKED) == (codings == 1) && p->head.framing != H1_UNTIL_CLOSE);
    check(p->head.framing != H1_LENGTH || (lengths == 1 && r->body > 0 && r->body <= INT64_MAX));
    check(p->head.framing != H1_NO_BODY || r->body == 0);
    for (uint32_t i = 0; i < r->fields.n; i++) {
        const struct field *f = &r->fields.v[i];
        bool twin;
        check(inside(f->name, in) && inside(f->value, in));
        check(http_token_ok(f->name) && field_value_ok(f->value));
        check(field_intern(f->name, &twin) == (enum field_id)f->id && twin == f->twin && !f->drop);
    }
}

static void same_in_pieces(const struct parsed *want, str in, size_t step)
{
    static struct parsed p;
    struct h1_scan scan = {0};
    size_t n = 0;
    do {
        n = in.n - n < step ? in.n : n + step;
        parse(&p, str_first(in, n), &scan);
    } while (p.err == ERR_AGAIN && n < in.n);
    /* what shows a fault before the end of the head may still be waited for */
    if (p.err == ERR_AGAIN && want->err != ERR_OK) return;
    check(p.err == want->err);
    if (p.err == ERR_OK)
        check(p.head.size == want->head.size && p.head.framing == want->head.framing);
    else
        check(p.fault == want->fault);
}

/* As a proxy would send it on. */
static void same_when_written(const struct parsed *want)
{
    static char room[2 * 16384 + 100];
    static struct parsed p;
    struct h1_out o = {room, 0, sizeof room, true};
    const struct request *r = &want->r;
    h1_out_request_line(&o, r->method, r->path, r->query, r->has_query);
    for (uint32_t i = 0; i < r->fields.n; i++) h1_out_field(&o, r->fields.v[i].name, r->fields.v[i].value);
    if (!fields_count(&r->fields, FIELD_HOST)) h1_out_field(&o, STR("Host"), STR("a"));
    h1_out_end(&o);
    check(o.ok);
    struct h1_scan scan = {0};
    parse(&p, str_make(room, o.n), &scan);
    if (p.err == ERR_LIMIT) return; /* a blank behind each colon may make it longer than the head may be */
    check(p.err == ERR_OK && p.head.size == o.n && p.head.framing == want->head.framing);
    check(p.r.method_id == r->method_id && str_eq(p.r.path, r->path) && str_eq(p.r.query, r->query));
    check(p.r.has_query == r->has_query && p.r.body == r->body && p.r.upgrade == r->upgrade);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct parsed p;
    struct h1_scan scan = {0};
    char *copy = malloc(size + !size);
    check(copy != NULL);
    if (size) memcpy(copy, data, size);
    str in = str_make(copy, size);
    parse(&p, in, &scan);
    if (p.err == ERR_OK) {
        has_its_form(&p, in);
        fields_drop_nominated(&p.r.fields);
        same_when_written(&p);
    }
    same_in_pieces(&p, in, 1 + size % 13);
    free(copy);
    return 0;
}
