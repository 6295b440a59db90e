/* What the HTTP/1 parser makes of a stream of bytes, one JSON line a stream, for comparison with another parser.
 *
 * stdin: records of [4 bytes length, big-endian][1 byte kind][bytes]. Kind 'Q': requests; 'S': responses to GET;
 * 'H': responses to HEAD. Each stream is read message by message until one is refused, more is wanted, or no
 * further message may follow. `step` (first argument, 0: everything at once) makes the bytes arrive in pieces. */
#include "http/h1.h"

#include <stdio.h>
#include <stdlib.h>

#define FIELDS 100

struct stream {
    char kind;
    str in;
    size_t at, to; /* read up to here; arrived up to here */
    size_t step;
    const char *then; /* why it stops */
};

static void hex(str s)
{
    putchar('"');
    for (size_t i = 0; i < s.n; i++) printf("%02x", (unsigned char)s.p[i]);
    putchar('"');
}

static void dump_fields(const char *name, const struct fields *f)
{
    printf(",\"%s\":[", name);
    for (uint32_t i = 0; i < f->n; i++) {
        printf("%s[", i ? "," : "");
        hex(f->v[i].name);
        putchar(',');
        hex(f->v[i].value);
        putchar(']');
    }
    putchar(']');
}

/* More of the stream arrives; false when all of it is here. */
static bool arrive(struct stream *s)
{
    if (s->to == s->in.n) return false;
    s->to = s->step && s->in.n - s->to > s->step ? s->to + s->step : s->in.n;
    return true;
}

static str here(const struct stream *s)
{
    return str_make(s->in.p + s->at, s->to - s->at);
}

static enum err read_head(struct stream *s, struct request *q, struct response *r, struct h1_head *head)
{
    struct h1_scan scan = {0};
    enum http_fault fault = HTTP_FAULT_NONE;
    enum err e;
    do {
        e = s->kind == 'Q' ? h1_parse_request(here(s), &scan, &h1_limits_default, q, head, &fault)
                           : h1_parse_response(here(s), &scan, &h1_limits_default,
                                               s->kind == 'H' ? METHOD_HEAD : METHOD_GET, r, head, &fault);
    } while (e == ERR_AGAIN && arrive(s));
    if (e == ERR_AGAIN)
        s->then = "more";
    else if (e != ERR_OK)
        s->then = http_fault_name(fault);
    return e;
}

static void dump_head(const struct stream *s, const struct request *q, const struct response *r,
                      const struct h1_head *head)
{
    if (s->kind == 'Q') {
        printf("{\"method\":");
        hex(q->method);
        printf(",\"target\":");
        printf("\"");
        for (size_t i = 0; i < q->path.n; i++) printf("%02x", (unsigned char)q->path.p[i]);
        if (q->has_query) printf("3f");
        for (size_t i = 0; i < q->query.n; i++) printf("%02x", (unsigned char)q->query.p[i]);
        printf("\",\"minor\":%u,\"upgrade\":%s", q->minor, q->upgrade ? "true" : "false");
        dump_fields("fields", &q->fields);
    } else {
        printf("{\"status\":%u", r->status);
        dump_fields("fields", &r->fields);
    }
    printf(",\"head_end\":%zu,\"keep_alive\":%s", s->at, head->keep_alive ? "true" : "false");
}

/* The body as hex digits inside quotes; true when it is whole. */
static bool body_by_length(struct stream *s, uint64_t length)
{
    while (s->to - s->at < length && arrive(s)) continue;
    str data = str_first(here(s), length > SIZE_MAX ? SIZE_MAX : (size_t)length);
    hex(data);
    s->at += data.n;
    return data.n == length;
}

static bool body_chunked(struct stream *s, struct fields *trailers, const char **fault_name)
{
    struct h1_chunked c = {0};
    bool end = false;
    putchar('"');
    for (;;) {
        size_t used = 0;
        str data = STR_NONE;
        enum http_fault fault = HTTP_FAULT_NONE;
        if (h1_chunked_decode(&c, here(s), &h1_limits_default, &used, &data, &end, trailers, &fault) != ERR_OK) {
            *fault_name = http_fault_name(fault);
            break;
        }
        for (size_t i = 0; i < data.n; i++) printf("%02x", (unsigned char)data.p[i]);
        s->at += used;
        if (end || (used == 0 && !arrive(s))) break;
    }
    putchar('"');
    return end;
}

/* One message; false when the stream is over. */
static bool message(struct stream *s, bool first)
{
    static struct field room[FIELDS], trailer_room[FIELDS];
    struct request q = {.fields = {room, 0, FIELDS}};
    struct response r = {.fields = {room, 0, FIELDS}};
    struct fields trailers = {trailer_room, 0, FIELDS};
    struct h1_head head = {0};
    if (read_head(s, &q, &r, &head) != ERR_OK) return false;
    s->at += head.size;
    if (!first) putchar(',');
    dump_head(s, &q, &r, &head);
    printf(",\"body\":");
    bool whole = true;
    uint64_t body = s->kind == 'Q' ? q.body : r.body;
    if (head.framing == H1_CHUNKED) {
        whole = body_chunked(s, &trailers, &s->then);
        dump_fields("trailers", &trailers);
    } else if (head.framing == H1_UNTIL_CLOSE) {
        (void)body_by_length(s, UINT64_MAX);
    } else {
        whole = body_by_length(s, body);
    }
    printf(",\"whole\":%s,\"until_close\":%s,\"end\":%zu}", whole ? "true" : "false",
           head.framing == H1_UNTIL_CLOSE ? "true" : "false", s->at);
    if (!whole) {
        if (!s->then) s->then = "more";
        return false;
    }
    if (!head.keep_alive || (s->kind == 'Q' && q.upgrade)) s->then = "closed";
    return !s->then;
}

int main(int argc, char **argv)
{
    uint64_t step = 0;
    if (argc > 1 && str_to_u64(str_of(argv[1]), &step) != ERR_OK) return 2;
    unsigned char h[5];
    while (fread(h, 1, sizeof h, stdin) == sizeof h) {
        size_t n = (size_t)h[0] << 24 | (size_t)h[1] << 16 | (size_t)h[2] << 8 | h[3];
        char *p = malloc(n + 1);
        if (!p || fread(p, 1, n, stdin) != n) return 1;
        struct stream s = {.kind = (char)h[4], .in = str_make(p, n), .step = (size_t)step};
        printf("{\"messages\":[");
        bool first = true;
        (void)arrive(&s);
        while (s.at < n && message(&s, first)) first = false;
        printf("],\"then\":\"%s\"}\n", s.then ? s.then : "end");
        free(p);
    }
    return 0;
}
