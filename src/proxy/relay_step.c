/* Both bodies, each at the pace of its slower side. Nothing is kept here: bytes stay in the buffer of the connection
 * they came by until the other side has taken them. A function that returns false has ended the exchange. */
#include "proxy/exchange.h"

/* Trailers carry no identity, no framing and nothing that a gate decides by (RFC 9110 §6.5.1). */
static void filter_trailers(struct fields *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->v[i].twin || field_class_of((enum field_id)t->v[i].id) != FIELD_PLAIN) t->v[i].drop = true;
}

static bool end_with(struct exchange *x, enum reason reason, const char *fault)
{
    exchange_refuse(x, reason, fault);
    return false;
}

/* --- request body --- */

/* The time that a service may take to answer counts from the last byte it was given. While the client is the one who
 * keeps it waiting, the least rate and the total deadline hold. */
static void expect_answer(struct exchange *x, bool asked)
{
    if (x->answer_begun) return;
    uint64_t until = loop_now_ms(x->worker->loop) + x->config->snap->services[x->action->service].response_ms;
    exchange_stage(x, asked ? STAGE_ANSWER : STAGE_NONE, asked ? until : 0);
}

static bool pump_up(struct exchange *x)
{
    while (!x->up_done && !x->up_closed) {
        str data = STR_NONE;
        bool end = false;
        enum err e = x->down.ops->peek(&x->down, &data, &end);
        if (e == ERR_AGAIN) {
            expect_answer(x, false);
            return true;
        }
        if (e == ERR_CLOSED) return end_with(x, REASON_CLIENT_CLOSED, NULL);
        if (e == ERR_NO_MEMORY) return end_with(x, REASON_OVERLOADED, "buffers");
        if (e != ERR_OK) return end_with(x, REASON_BODY_MALFORMED, NULL);
        if (data.n > x->action->body_max - x->body_seen) return end_with(x, REASON_BODY_TOO_LARGE, NULL);
        filter_trailers(&x->down.trailers);
        e = x->up.ops->write(&x->up, data, end, end ? &x->down.trailers : NULL);
        if (e == ERR_AGAIN) return true;
        if (e == ERR_LIMIT) return end_with(x, REASON_HEAD_TOO_LARGE, "trailers");
        if (e == ERR_NO_MEMORY) return end_with(x, REASON_OVERLOADED, "buffers");
        if (e != ERR_OK) {
            x->up_closed = true; /* it may have answered early: its events tell */
            return true;
        }
        x->down.ops->consume(&x->down, data.n);
        x->body_seen += data.n;
        x->up_done = end;
        expect_answer(x, true);
    }
    return true;
}

/* --- answer --- */

static void prepare(struct fields *f)
{
    fields_drop_nominated(f);
    for (uint32_t i = 0; i < f->n; i++)
        if (field_class_of((enum field_id)f->v[i].id) == FIELD_IDENTITY) f->v[i].drop = true;
}

/* A response to HEAD and a 304 announce a length that no body follows. */
static uint64_t announced(const struct exchange *x, const struct response *r)
{
    if (x->down.request.method_id != METHOD_HEAD && r->status != 304) return r->body;
    const struct field *length = fields_get(&r->fields, FIELD_CONTENT_LENGTH);
    uint64_t n;
    if (!length || str_to_u64(length->value, &n) != ERR_OK) return r->status == 304 ? 0 : BODY_UNKNOWN;
    return n;
}

static bool respond(struct exchange *x, str data, bool end)
{
    struct response *r = &x->up.response;
    prepare(&r->fields);
    r->fields.cap += EXCHANGE_STAMPS;
    r->body = announced(x, r);
    (void)!fields_append(&r->fields, FIELD_X_CORRELATION_ID, STR_NONE, x->correlation);
    limit_tell(x, &r->fields);
    x->responding = true;
    x->status = r->status;
    if (x->down.ops->respond(&x->down, r, data, end) != ERR_OK) return end_with(x, REASON_CLIENT_CLOSED, NULL);
    return true;
}

static bool pump_down(struct exchange *x)
{
    while (!x->answer_ended) {
        str data = STR_NONE;
        bool end = false;
        enum err e = x->up.ops->peek(&x->up, &data, &end);
        if (e == ERR_AGAIN) return x->responding || respond(x, STR_NONE, false);
        if (e == ERR_CLOSED) return end_with(x, REASON_UPSTREAM_CLOSED, NULL);
        if (e == ERR_NO_MEMORY) return end_with(x, REASON_OVERLOADED, "buffers");
        if (e != ERR_OK) return end_with(x, REASON_UPSTREAM_GARBAGE, "chunked");
        filter_trailers(&x->up.trailers);
        bool trailing = end && x->up.trailers.n > 0;
        if (!x->responding) {
            if (!respond(x, data, end && !trailing)) return false;
        } else {
            e = x->down.ops->write(&x->down, data, end, trailing ? &x->up.trailers : NULL);
            if (e == ERR_AGAIN) return true;
            if (e != ERR_OK) return end_with(x, REASON_CLIENT_CLOSED, NULL);
            trailing = false;
        }
        x->up.ops->consume(&x->up, data.n);
        x->answer_ended = end && !trailing;
    }
    exchange_end(x);
    return false;
}

enum step relay_step(struct exchange *x)
{
    if (x->answer_ended) return STEP_NEXT;
    (void)pump_up(x);
    return STEP_WAIT;
}

void relay_client_readable(struct exchange *x)
{
    if (x->up_started) (void)pump_up(x);
}

void relay_client_writable(struct exchange *x)
{
    if (x->answer_begun) (void)pump_down(x);
}

/* --- what the upstream's connection tells --- */

static struct exchange *of(struct client_stream *c)
{
    return CONTAINER_OF(c, struct exchange, up);
}

static void on_response(struct client_stream *c)
{
    struct exchange *x = of(c);
    x->answer_begun = true;
    x->stage = STAGE_NONE;
    dispatch_answered(x);
    (void)pump_down(x);
}

static void on_interim(struct client_stream *c)
{
    struct exchange *x = of(c);
    prepare(&c->response.fields);
    if (x->down.ops->interim(&x->down, &c->response) == ERR_CLOSED) exchange_refuse(x, REASON_CLIENT_CLOSED, NULL);
}

static void on_readable(struct client_stream *c)
{
    (void)pump_down(of(c));
}

static void on_writable(struct client_stream *c)
{
    (void)pump_up(of(c));
}

static void on_failure(struct client_stream *c, enum client_failure why)
{
    dispatch_failed(of(c), why);
}

const struct client_handler relay_handler = {
    .on_response = on_response,
    .on_interim = on_interim,
    .on_readable = on_readable,
    .on_writable = on_writable,
    .on_failure = on_failure,
};
