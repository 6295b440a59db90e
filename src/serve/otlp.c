/* Field numbers: opentelemetry/proto/trace/v1/trace.proto, common/v1/common.proto, resource/v1/resource.proto,
 * collector/trace/v1/trace_service.proto. */
#include "serve/otlp.h"

#include "base/log_line.h"
#include "codec/protobuf.h"

#include <stdio.h>

enum {
    REQUEST_RESOURCE_SPANS = 1,
    RESOURCE_SPANS_RESOURCE = 1,
    RESOURCE_SPANS_SCOPE_SPANS = 2,
    RESOURCE_ATTRIBUTES = 1,
    SCOPE_SPANS_SCOPE = 1,
    SCOPE_SPANS_SPANS = 2,
    SCOPE_NAME = 1,
    SCOPE_VERSION = 2,
    SPAN_TRACE_ID = 1,
    SPAN_SPAN_ID = 2,
    SPAN_PARENT_ID = 4,
    SPAN_NAME = 5,
    SPAN_KIND = 6,
    SPAN_START = 7,
    SPAN_END = 8,
    SPAN_ATTRIBUTES = 9,
    SPAN_STATUS = 15,
    SPAN_FLAGS = 16,
    STATUS_CODE = 3,
    KEY = 1,
    VALUE = 2,
    VALUE_STRING = 1,
    VALUE_BOOL = 2,
    VALUE_INT = 3,
    RESPONSE_PARTIAL = 1,
    PARTIAL_REJECTED = 1
};
enum { KIND_SERVER = 2, KIND_CLIENT = 3, STATUS_ERROR = 2 };
/* The W3C flags in the low byte, then: whether the parent is known to be remote, and whether it is. */
enum { FLAG_SAMPLED = 1, FLAG_REMOTE_KNOWN = 0x100, FLAG_REMOTE = 0x200 };

static void attribute(struct buf *b, uint32_t field, const char *key, str value)
{
    if (!value.n) return;
    size_t pair = protobuf_open(b, field);
    protobuf_bytes(b, KEY, str_of(key));
    size_t any = protobuf_open(b, VALUE);
    protobuf_text(b, VALUE_STRING, value);
    protobuf_close(b, any);
    protobuf_close(b, pair);
}

static void number(struct buf *b, uint32_t field, const char *key, uint64_t value)
{
    size_t pair = protobuf_open(b, field);
    protobuf_bytes(b, KEY, str_of(key));
    size_t any = protobuf_open(b, VALUE);
    protobuf_int(b, VALUE_INT, (int64_t)value);
    protobuf_close(b, any);
    protobuf_close(b, pair);
}

static void flag(struct buf *b, uint32_t field, const char *key, bool value)
{
    size_t pair = protobuf_open(b, field);
    protobuf_bytes(b, KEY, str_of(key));
    size_t any = protobuf_open(b, VALUE);
    protobuf_uint(b, VALUE_BOOL, value);
    protobuf_close(b, any);
    protobuf_close(b, pair);
}

static void name_it(struct buf *b, const struct span *s, bool with_route)
{
    size_t name = protobuf_open(b, SPAN_NAME);
    str method = span_text(s, SPAN_METHOD), route = span_text(s, SPAN_ROUTE);
    buf_put(b, method.n ? method : STR("HTTP"));
    if (with_route && route.n) {
        buf_putc(b, ' ');
        buf_put(b, route);
    }
    protobuf_close(b, name);
}

static void ids(struct buf *b, const struct span *s, const unsigned char id[8], const unsigned char parent[8])
{
    static const unsigned char none[8];
    protobuf_bytes(b, SPAN_TRACE_ID, str_make((const char *)s->trace_id, sizeof s->trace_id));
    protobuf_bytes(b, SPAN_SPAN_ID, str_make((const char *)id, 8));
    if (memcmp(parent, none, sizeof none) != 0) protobuf_bytes(b, SPAN_PARENT_ID, str_make((const char *)parent, 8));
}

static void end(struct buf *b, bool failed, uint32_t flags, size_t span)
{
    if (failed) {
        size_t status = protobuf_open(b, SPAN_STATUS);
        protobuf_uint(b, STATUS_CODE, STATUS_ERROR);
        protobuf_close(b, status);
    }
    protobuf_fixed32(b, SPAN_FLAGS, flags);
    protobuf_close(b, span);
}

/* "host:port", "[::1]:80", "unix:/path": as server.address and server.port. */
static void address(struct buf *b, str a)
{
    uint64_t port = 0;
    size_t colon = a.n;
    while (colon > 0 && a.p[colon - 1] != ':' && a.p[colon - 1] != ']') colon--;
    bool has_port = !str_starts(a, STR("unix:")) && colon > 0 && a.p[colon - 1] == ':' &&
                    str_to_u64(str_from(a, colon), &port) == ERR_OK && port <= UINT16_MAX;
    attribute(b, SPAN_ATTRIBUTES, "server.address", has_port ? str_first(a, colon - 1) : a);
    if (has_port) number(b, SPAN_ATTRIBUTES, "server.port", port);
}

/* RFC 9110 §9: a word that is not a method we know would make a series of its own in every tool behind us. */
static void method(struct buf *b, str m)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!str_eq(m, str_of(known[i]))) continue;
        attribute(b, SPAN_ATTRIBUTES, "http.request.method", m);
        return;
    }
    attribute(b, SPAN_ATTRIBUTES, "http.request.method", STR("_OTHER"));
}

static void common(struct buf *b, const struct span *s)
{
    method(b, span_text(s, SPAN_METHOD));
    if (s->status) number(b, SPAN_ATTRIBUTES, "http.response.status_code", s->status);
    attribute(b, SPAN_ATTRIBUTES, "sallyport.decision_id", str_make(s->decision, sizeof s->decision));
    attribute(b, SPAN_ATTRIBUTES, "sallyport.action", span_text(s, SPAN_ACTION));
}

static void put_server(struct buf *b, const struct span *s)
{
    char room[UINT8_MAX + 1];
    size_t span = protobuf_open(b, SCOPE_SPANS_SPANS);
    bool failed = s->status >= 500 || s->status == 0;
    ids(b, s, s->id, s->parent);
    name_it(b, s, true);
    protobuf_uint(b, SPAN_KIND, KIND_SERVER);
    protobuf_fixed64(b, SPAN_START, s->begin_ns);
    protobuf_fixed64(b, SPAN_END, s->end_ns);
    common(b, s);
    attribute(b, SPAN_ATTRIBUTES, "http.route", span_text(s, SPAN_ROUTE));
    attribute(b, SPAN_ATTRIBUTES, "url.path", log_redact(span_text(s, SPAN_PATH), room, sizeof room));
    attribute(b, SPAN_ATTRIBUTES, "url.scheme", s->tls ? STR("https") : STR("http"));
    attribute(b, SPAN_ATTRIBUTES, "network.protocol.version", s->minor ? STR("1.1") : STR("1.0"));
    address(b, span_text(s, SPAN_AUTHORITY));
    number(b, SPAN_ATTRIBUTES, "http.response.body.size", s->bytes_out);
    attribute(b, SPAN_ATTRIBUTES, "sallyport.product", span_text(s, SPAN_PRODUCT));
    attribute(b, SPAN_ATTRIBUTES, "sallyport.reason", str_of(reason_code((enum reason)s->reason)));
    attribute(b, SPAN_ATTRIBUTES, "sallyport.fault", span_text(s, SPAN_FAULT));
    flag(b, SPAN_ATTRIBUTES, "sallyport.permitted", s->effect == EFFECT_PERMIT);
    number(b, SPAN_ATTRIBUTES, "sallyport.gate", s->gate);
    if (failed) attribute(b, SPAN_ATTRIBUTES, "error.type", str_of(reason_code((enum reason)s->reason)));
    end(b, failed, FLAG_SAMPLED | FLAG_REMOTE_KNOWN | FLAG_REMOTE, span);
}

static void put_client(struct buf *b, const struct span *s)
{
    size_t span = protobuf_open(b, SCOPE_SPANS_SPANS);
    bool failed = s->status >= 400 || s->status == 0;
    ids(b, s, s->upstream_id, s->id);
    name_it(b, s, false);
    protobuf_uint(b, SPAN_KIND, KIND_CLIENT);
    protobuf_fixed64(b, SPAN_START, s->upstream_ns);
    protobuf_fixed64(b, SPAN_END, s->end_ns);
    common(b, s);
    address(b, span_text(s, SPAN_UPSTREAM));
    if (s->attempts > 1) number(b, SPAN_ATTRIBUTES, "http.request.resend_count", s->attempts - 1u);
    if (failed) {
        char digits[8];
        int n = snprintf(digits, sizeof digits, "%u", s->status);
        bool ours = s->status == 0 || !reason_is_permit((enum reason)s->reason);
        attribute(b, SPAN_ATTRIBUTES, "error.type",
                  ours ? str_of(reason_code((enum reason)s->reason)) : str_make(digits, (size_t)n));
    }
    end(b, failed, FLAG_SAMPLED | FLAG_REMOTE_KNOWN, span);
}

unsigned otlp_put(struct buf *out, const struct span *s)
{
    put_server(out, s);
    if (!s->upstream_ns) return 1;
    put_client(out, s);
    return 2;
}

void otlp_request(struct buf *b, const struct otlp_resource *who, str spans)
{
    size_t resource_spans = protobuf_open(b, REQUEST_RESOURCE_SPANS);
    size_t resource = protobuf_open(b, RESOURCE_SPANS_RESOURCE);
    attribute(b, RESOURCE_ATTRIBUTES, "service.name", STR("sallyport"));
    attribute(b, RESOURCE_ATTRIBUTES, "service.version", who->version);
    attribute(b, RESOURCE_ATTRIBUTES, "service.instance.id", who->instance);
    attribute(b, RESOURCE_ATTRIBUTES, "deployment.environment.name", who->environment);
    protobuf_close(b, resource);
    size_t scope_spans = protobuf_open(b, RESOURCE_SPANS_SCOPE_SPANS);
    size_t scope = protobuf_open(b, SCOPE_SPANS_SCOPE);
    protobuf_text(b, SCOPE_NAME, STR("sallyport"));
    protobuf_text(b, SCOPE_VERSION, who->version);
    protobuf_close(b, scope);
    buf_put(b, spans);
    protobuf_close(b, scope_spans);
    protobuf_close(b, resource_spans);
}

enum err otlp_rejected(str body, uint64_t *out)
{
    struct protobuf_field f, g;
    uint64_t rejected = 0;
    enum err e;
    while ((e = protobuf_next(&body, &f)) == ERR_OK) {
        if (f.number != RESPONSE_PARTIAL || f.wire != PROTOBUF_BYTES) continue;
        enum err inner;
        while ((inner = protobuf_next(&f.bytes, &g)) == ERR_OK)
            if (g.number == PARTIAL_REJECTED && g.wire == PROTOBUF_VARINT) rejected = g.value;
        if (inner != ERR_NOT_FOUND) return inner;
    }
    if (e != ERR_NOT_FOUND) return e;
    *out = rejected;
    return ERR_OK;
}
