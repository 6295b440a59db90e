/* A response head: what is accepted has the form it claims and arrives at the same verdict in pieces. */
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
    struct response r;
    struct field room[FIELDS];
};

static void parse(struct parsed *p, str in, struct h1_scan *scan, enum method to)
{
    p->r.fields = (struct fields){p->room, 0, FIELDS};
    p->err = h1_parse_response(in, scan, &h1_limits_default, to, &p->r, &p->head, &p->fault);
}

static void has_its_form(const struct parsed *p, str in, enum method to)
{
    const struct response *r = &p->r;
    bool bodiless = to == METHOD_HEAD || r->status < 200 || r->status == 204 || r->status == 304;
    check(p->head.size <= in.n && p->head.size <= h1_limits_default.max_head);
    check(memcmp(in.p + p->head.size - 4, "\r\n\r\n", 4) == 0);
    check(r->status >= 100 && r->status <= 599);
    check(!str_has(r->reason, '\r') && !str_has(r->reason, '\n'));
    uint32_t lengths = fields_count(&r->fields, FIELD_CONTENT_LENGTH);
    uint32_t codings = fields_count(&r->fields, FIELD_TRANSFER_ENCODING);
    check(lengths + codings <= 1);
    if (bodiless)
        check(p->head.framing == H1_NO_BODY && r->body == 0);
    else
        check((p->head.framing == H1_CHUNKED) == (codings == 1));
    if (p->head.framing == H1_UNTIL_CLOSE) check(!p->head.keep_alive && lengths == 0 && r->body == BODY_UNKNOWN);
    for (uint32_t i = 0; i < r->fields.n; i++)
        check(http_token_ok(r->fields.v[i].name) && field_value_ok(r->fields.v[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct parsed whole, p;
    if (size == 0) return 0;
    enum method to = data[size - 1] & 1 ? METHOD_HEAD : METHOD_GET;
    char *copy = malloc(size);
    check(copy != NULL);
    memcpy(copy, data, size);
    str in = str_make(copy, size);
    struct h1_scan scan = {0};
    parse(&whole, in, &scan, to);
    if (whole.err == ERR_OK) has_its_form(&whole, in, to);

    scan = (struct h1_scan){0};
    size_t n = 0, step = 1 + size % 13;
    do {
        n = in.n - n < step ? in.n : n + step;
        parse(&p, str_first(in, n), &scan, to);
    } while (p.err == ERR_AGAIN && n < in.n);
    if (p.err != ERR_AGAIN || whole.err == ERR_OK) {
        check(p.err == whole.err);
        if (p.err == ERR_OK)
            check(p.head.size == whole.head.size && p.head.framing == whole.head.framing);
        else
            check(p.fault == whole.fault);
    }
    free(copy);
    return 0;
}
