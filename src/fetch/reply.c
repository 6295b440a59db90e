#include "fetch/reply.h"

#define MAX_FIELDS  100
#define MAX_INTERIM 4
#define ROOM        (64u * 1024) /* of bytes not understood yet: a head and one read behind it */

static const struct h1_limits limits = {.max_head = 16384, .max_target = 8192, .max_fields = MAX_FIELDS};

void reply_init(struct reply *r, size_t max_body)
{
    *r = (struct reply){0};
    buf_init(&r->in, ROOM);
    buf_init(&r->body, max_body);
}

void reply_free(struct reply *r)
{
    buf_free(&r->in);
    buf_free(&r->body);
}

static enum err fail(enum fetch_fault f, enum fetch_fault *fault)
{
    *fault = f;
    return f == FETCH_FAULT_SIZE ? ERR_LIMIT : f == FETCH_FAULT_ANSWER ? ERR_MALFORMED : ERR_DENIED;
}

/* A buffer that took no more is at its bound, or memory is out; the bound is checked before. */
static enum err no_memory(enum fetch_fault *fault)
{
    *fault = FETCH_FAULT_MEMORY;
    return ERR_NO_MEMORY;
}

static enum err keep(struct reply *r, str data, enum fetch_fault *fault)
{
    if (data.n > r->body.max - r->body.n) return fail(FETCH_FAULT_SIZE, fault);
    buf_put(&r->body, data);
    return r->body.bad ? no_memory(fault) : ERR_OK;
}

static bool coded(const struct fields *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (str_ieq(f->v[i].name, STR("Content-Encoding")) && !str_ieq(f->v[i].value, STR("identity"))) return true;
    return false;
}

/* The head, if it is whole; r->status stays 0 if not. */
static enum err take_head(struct reply *r, enum fetch_fault *fault)
{
    struct field room[MAX_FIELDS];
    for (;;) {
        struct response answer = {.fields = {.v = room, .cap = MAX_FIELDS}};
        enum http_fault why;
        enum err e = h1_parse_response(buf_str(&r->in), &r->scan, &limits, METHOD_GET, &answer, &r->head, &why);
        if (e == ERR_AGAIN) return ERR_OK;
        if (e != ERR_OK) return fail(FETCH_FAULT_ANSWER, fault);
        unsigned status = answer.status;
        if (status >= 200) {
            r->status = answer.status;
            if (status >= 300 && status < 400) return fail(FETCH_FAULT_REDIRECT, fault);
            if (status != 200) return fail(FETCH_FAULT_STATUS, fault);
            if (coded(&answer.fields)) return fail(FETCH_FAULT_CODING, fault);
            if (r->head.framing == H1_LENGTH && answer.body > r->body.max) return fail(FETCH_FAULT_SIZE, fault);
            r->left = r->head.framing == H1_LENGTH ? answer.body : 0;
            buf_consume(&r->in, r->head.size);
            return ERR_OK;
        }
        if (status == 101 || ++r->interim > MAX_INTERIM) return fail(FETCH_FAULT_ANSWER, fault);
        buf_consume(&r->in, r->head.size);
        r->scan = (struct h1_scan){0};
    }
}

static enum err take_chunks(struct reply *r, enum fetch_fault *fault)
{
    size_t at = 0;
    enum err e = ERR_OK;
    while (!r->whole) {
        size_t used;
        str data;
        enum http_fault why;
        if (h1_chunked_decode(&r->chunked, str_from(buf_str(&r->in), at), &limits, &used, &data, &r->whole, NULL,
                              &why) != ERR_OK)
            return fail(FETCH_FAULT_ANSWER, fault);
        e = keep(r, data, fault);
        if (e != ERR_OK) return e;
        at += used;
        if (used == 0 && data.n == 0) break;
    }
    buf_consume(&r->in, at);
    return ERR_OK;
}

static enum err take_body(struct reply *r, enum fetch_fault *fault)
{
    enum err e = ERR_OK;
    switch (r->head.framing) {
    case H1_NO_BODY: r->whole = true; break;
    case H1_LENGTH: {
        str now = str_first(buf_str(&r->in), r->left > SIZE_MAX ? SIZE_MAX : (size_t)r->left);
        e = keep(r, now, fault);
        r->left -= now.n;
        r->whole = r->left == 0;
        buf_clear(&r->in);
        break;
    }
    case H1_CHUNKED: return take_chunks(r, fault);
    case H1_UNTIL_CLOSE:
        e = keep(r, buf_str(&r->in), fault);
        buf_clear(&r->in);
        break;
    }
    return e;
}

enum err reply_take(struct reply *r, str bytes, enum fetch_fault *fault)
{
    if (r->whole) return ERR_OK;
    if (bytes.n > r->in.max - r->in.n) return fail(FETCH_FAULT_ANSWER, fault);
    buf_put(&r->in, bytes);
    if (r->in.bad) return no_memory(fault);
    if (!r->status) {
        enum err e = take_head(r, fault);
        if (e != ERR_OK || !r->status) return e;
    }
    return take_body(r, fault);
}

enum err reply_end(struct reply *r, bool clean, enum fetch_fault *fault)
{
    if (!r->whole && r->status && r->head.framing == H1_UNTIL_CLOSE && clean) r->whole = true;
    if (r->whole) return ERR_OK;
    *fault = FETCH_FAULT_CUT;
    return ERR_CLOSED;
}
