/* Heads of requests and responses (RFC 9112 §3, §4, §6).
 *
 * A head that is all there is parsed in one pass. One that is not there whole is parsed as far as it goes, so that
 * garbage is refused at once; from then on new bytes are only searched for the end of the head (h1_worth_parsing)
 * and the parse starts again when it has come. The verdict on a whole head does not depend on how it arrived. */
#include "http/h1_private.h"

#include "codec/url.h"
#include "http/scan.h"

const struct h1_limits h1_limits_default = {.max_head = 16384, .max_target = 8192, .max_fields = 100};

#define METHOD_MAX 16 /* longer than any method_known */

/* "HTTP/" and what follows up to `behind` (the byte that ends the version). Reads byte by byte what is not exactly
 * what everybody sends; gives minor. */
static enum err version_read(struct h1_cursor *c, enum http_fault line, uint8_t *minor, enum http_fault *fault)
{
    static const char form[] = "HTTP/d.d";
    const char *p = c->p;
    size_t n = (size_t)(c->end - p);
    for (size_t i = 0; i < 8; i++) {
        if (i == n) return ERR_AGAIN;
        bool fits = form[i] == 'd' ? p[i] >= '0' && p[i] <= '9' : p[i] == form[i];
        if (!fits) return h1_refuse(i < 5 ? line : HTTP_FAULT_VERSION, fault);
    }
    if (p[5] > '1') return h1_refuse(HTTP_FAULT_VERSION_MAJOR, fault);
    if (p[5] != '1' || p[7] > '1') return h1_refuse(HTTP_FAULT_VERSION, fault);
    *minor = (uint8_t)(p[7] - '0');
    c->p = p + 8;
    return ERR_OK;
}

static enum err method_read(struct h1_cursor *c, struct request *r, enum http_fault *fault)
{
    const char *p = c->p, *stop = c->end - p > METHOD_MAX ? p + METHOD_MAX : c->end;
    while (p < stop && (http_class[(unsigned char)*p] & HTTP_TCHAR)) p++;
    if (p == c->end) return ERR_AGAIN;
    if (p == stop) return h1_refuse(HTTP_FAULT_METHOD, fault);
    if (*p != ' ' || p == c->p) return h1_refuse(*p == '\n' ? HTTP_FAULT_LINE_END : HTTP_FAULT_REQUEST_LINE, fault);
    r->method = str_make(c->p, (size_t)(p - c->p));
    r->method_id = method_of(r->method);
    if (r->method_id == METHOD_CONNECT || (r->method_id == METHOD_OTHER && !method_known(r->method)))
        return h1_refuse(HTTP_FAULT_METHOD, fault);
    c->p = p + 1;
    return ERR_OK;
}

static void target_split(struct request *r, str target)
{
    size_t mark = str_find(target, '?');
    r->path = str_first(target, mark);
    r->has_query = mark < target.n;
    r->query = str_from(target, mark + 1);
}

/* The forms that are not "/path" (RFC 9112 §3.2): "*" for OPTIONS, and absolute, http and https only. The authority
 * of an absolute target is kept in *authority until Host is known. */
static enum err target_other(struct request *r, str target, str *authority, enum http_fault *fault)
{
    if (str_eq(target, STR("*")) && r->method_id == METHOD_OPTIONS) {
        r->path = target;
        return ERR_OK;
    }
    size_t scheme = str_ieq(str_first(target, 7), STR("http://"))    ? 7
                    : str_ieq(str_first(target, 8), STR("https://")) ? 8
                                                                     : 0;
    if (!scheme) return h1_refuse(HTTP_FAULT_TARGET, fault);
    str rest = str_from(target, scheme);
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?') end++;
    *authority = str_first(rest, end);
    target_split(r, str_from(rest, end));
    if (r->path.n == 0) r->path = r->method_id == METHOD_OPTIONS && !r->has_query ? STR("*") : STR("/");
    return ERR_OK;
}

static enum err target_read(struct h1_cursor *c, uint32_t max, struct request *r, str *authority,
                            enum http_fault *fault)
{
    const char *p = c->p;
    while (p < c->end && (url_class[(unsigned char)*p] & URL_TARGET)) p++;
    str target = str_make(c->p, (size_t)(p - c->p));
    if (target.n > max) return h1_refuse(HTTP_FAULT_TARGET_SIZE, fault);
    if (p == c->end) return ERR_AGAIN;
    if (*p == '\n') return h1_refuse(HTTP_FAULT_LINE_END, fault);
    if (*p == '\r') return h1_refuse(HTTP_FAULT_REQUEST_LINE, fault); /* HTTP/0.9 has no version */
    if (*p != ' ' || target.n == 0) return h1_refuse(HTTP_FAULT_TARGET, fault);
    c->p = p + 1;
    if (UNLIKELY(target.p[0] != '/')) return target_other(r, target, authority, fault);
    target_split(r, target);
    return ERR_OK;
}

static enum err request_line(struct h1_cursor *c, const struct h1_limits *limits, struct request *r, str *authority,
                             enum http_fault *fault)
{
    enum err e = method_read(c, r, fault);
    if (e == ERR_OK) e = target_read(c, limits->max_target, r, authority, fault);
    if (e != ERR_OK) return e;
    if (LIKELY(c->end - c->p >= 10 && memcmp(c->p, "HTTP/1.1\r\n", 10) == 0)) {
        r->minor = 1;
        c->p += 10;
        return ERR_OK;
    }
    e = version_read(c, HTTP_FAULT_REQUEST_LINE, &r->minor, fault);
    return e == ERR_OK ? h1_line_end(c, c->p, HTTP_FAULT_VERSION, fault) : e;
}

/* RFC 9112 §3.2: one Host, not empty; with an absolute target both must say the same. HTTP/1.0 may go without. */
static bool host_settle(const struct h1_facts *x, str authority, struct request *r)
{
    struct authority ignored;
    r->authority = x->hosts ? x->host : authority;
    if (!x->hosts && r->minor == 1) return false;
    if (x->hosts && authority.p && !str_ieq(authority, x->host)) return false;
    if (!x->hosts && !authority.p) return true;
    return url_authority(r->authority, &ignored) == ERR_OK;
}

static bool keeps_alive(const struct h1_facts *x, uint8_t minor)
{
    return !x->close && (minor == 1 || x->keep_alive);
}

/* What Content-Length and Transfer-Encoding say (RFC 9112 §6.3); false: they contradict or may not be there. */
static bool framing_settle(const struct h1_facts *x, uint8_t minor, enum h1_framing otherwise, struct h1_head *head,
                           uint64_t *body, enum http_fault *fault)
{
    *fault = x->lengths && x->codings   ? HTTP_FAULT_FRAMING
             : x->codings && minor == 0 ? HTTP_FAULT_TRANSFER_ENCODING
                                        : HTTP_FAULT_NONE;
    if (*fault) return false;
    head->framing = x->codings ? H1_CHUNKED : !x->lengths ? otherwise : x->length ? H1_LENGTH : H1_NO_BODY;
    *body = head->framing == H1_LENGTH ? x->length : head->framing == H1_NO_BODY ? 0 : BODY_UNKNOWN;
    return true;
}

static enum err request_read(struct h1_cursor *c, const struct h1_limits *limits, struct request *r,
                             struct h1_head *head, enum http_fault *fault)
{
    struct h1_facts x = {.request = true};
    str authority = STR_NONE;
    if (c->p < c->end && *c->p == '\r') { /* RFC 9112 §2.2: one empty line may come before */
        enum err e = h1_line_end(c, c->p, HTTP_FAULT_LINE_END, fault);
        if (e != ERR_OK) return e;
    }
    enum err e = request_line(c, limits, r, &authority, fault);
    if (e == ERR_OK) e = h1_field_lines(c, limits->max_fields, &r->fields, &x, fault);
    if (e != ERR_OK) return e;

    if (!host_settle(&x, authority, r)) return h1_refuse(HTTP_FAULT_HOST, fault);
    enum http_fault f;
    if (!framing_settle(&x, r->minor, H1_NO_BODY, head, &r->body, &f)) return h1_refuse(f, fault);
    head->keep_alive = keeps_alive(&x, r->minor);
    r->upgrade = x.upgrade;
    r->expect_continue = x.expects && r->minor == 1 && r->body != 0; /* RFC 9110 §10.1.1 */
    return ERR_OK;
}

static enum err status_line(struct h1_cursor *c, struct response *r, uint8_t *minor, enum http_fault *fault)
{
    enum err e = version_read(c, HTTP_FAULT_STATUS_LINE, minor, fault);
    if (e != ERR_OK) return e;
    unsigned status = 0;
    for (int i = 0; i < 4; i++, c->p++) {
        if (c->p == c->end) return ERR_AGAIN;
        bool fits = i == 0 ? *c->p == ' ' : *c->p >= '0' && *c->p <= '9';
        if (!fits) return h1_refuse(*c->p == '\n' ? HTTP_FAULT_LINE_END : HTTP_FAULT_STATUS_LINE, fault);
        if (i) status = status * 10 + (unsigned)(*c->p - '0');
    }
    if (status < 100 || status > 599) return h1_refuse(HTTP_FAULT_STATUS_LINE, fault);
    r->status = (uint16_t)status;
    r->reason = STR("");
    if (c->p < c->end && *c->p == ' ') { /* the blank belongs there (RFC 9112 §4), but many leave it out */
        const char *reason = ++c->p;
        c->p += scan_value(reason, (size_t)(c->end - reason));
        r->reason = str_make(reason, (size_t)(c->p - reason));
    }
    return h1_line_end(c, c->p, HTTP_FAULT_STATUS_LINE, fault);
}

/* RFC 9112 §6.3, first rule. 1xx and 204 may not announce a body; one with a coding is refused, one with a length
 * may yet be followed by bytes that would be taken for the next response, so nothing else is read from there. */
static enum err response_bodiless(const struct h1_facts *x, struct response *r, struct h1_head *head,
                                  enum http_fault *fault)
{
    bool never = r->status < 200 || r->status == 204;
    if (never && x->codings) return h1_refuse(HTTP_FAULT_TRANSFER_ENCODING, fault);
    if (never && x->length) head->keep_alive = false;
    if (r->status == 101) head->keep_alive = false;
    head->framing = H1_NO_BODY;
    r->body = 0;
    return ERR_OK;
}

static enum err response_read(struct h1_cursor *c, const struct h1_limits *limits, enum method to, struct response *r,
                              struct h1_head *head, enum http_fault *fault)
{
    struct h1_facts x = {.request = false};
    uint8_t minor = 0;
    enum err e = status_line(c, r, &minor, fault);
    if (e == ERR_OK) e = h1_field_lines(c, limits->max_fields, &r->fields, &x, fault);
    if (e != ERR_OK) return e;

    enum http_fault f;
    head->keep_alive = keeps_alive(&x, minor);
    if (!framing_settle(&x, minor, H1_UNTIL_CLOSE, head, &r->body, &f)) return h1_refuse(f, fault);
    if (to == METHOD_HEAD || r->status < 200 || r->status == 204 || r->status == 304)
        return response_bodiless(&x, r, head, fault);
    if (head->framing == H1_UNTIL_CLOSE) head->keep_alive = false;
    return ERR_OK;
}

/* ERR_AGAIN from a parse of all that may be a head. */
static enum err want_more(str in, struct h1_scan *scan, const struct h1_limits *limits, enum http_fault *fault)
{
    if (in.n >= limits->max_head) return h1_refuse(HTTP_FAULT_HEAD_SIZE, fault);
    scan->seen = in.n;
    return ERR_AGAIN;
}

/* Whether the verdict of the parse before, that more is needed, still holds. */
static bool can_wait(str in, const struct h1_scan *scan, const struct h1_limits *limits)
{
    if (in.n == 0) return true;
    return scan->seen && scan->seen <= in.n && in.n < limits->max_head && !h1_worth_parsing(in, scan);
}

enum err h1_parse_request(str in, struct h1_scan *scan, const struct h1_limits *limits, struct request *out,
                          struct h1_head *head, enum http_fault *fault)
{
    if (can_wait(in, scan, limits)) return want_more(in, scan, limits, fault);
    struct h1_cursor c = {in.p, in.p + (in.n < limits->max_head ? in.n : limits->max_head)};
    struct request r = {.fields = {.v = out->fields.v, .cap = out->fields.cap}};
    struct h1_head h = {0};
    enum err e = request_read(&c, limits, &r, &h, fault);
    if (e == ERR_AGAIN) return want_more(in, scan, limits, fault);
    if (e != ERR_OK) return e;
    h.size = (size_t)(c.p - in.p);
    *head = h;
    *out = r;
    return ERR_OK;
}

enum err h1_parse_response(str in, struct h1_scan *scan, const struct h1_limits *limits, enum method to,
                           struct response *out, struct h1_head *head, enum http_fault *fault)
{
    if (can_wait(in, scan, limits)) return want_more(in, scan, limits, fault);
    struct h1_cursor c = {in.p, in.p + (in.n < limits->max_head ? in.n : limits->max_head)};
    struct response r = {.fields = {.v = out->fields.v, .cap = out->fields.cap}};
    struct h1_head h = {0};
    enum err e = response_read(&c, limits, to, &r, &h, fault);
    if (e == ERR_AGAIN) return want_more(in, scan, limits, fault);
    if (e != ERR_OK) return e;
    h.size = (size_t)(c.p - in.p);
    *head = h;
    *out = r;
    return ERR_OK;
}
