/* The one door by which refusals leave: an RFC 9457 problem with decision id, gate and reason code. */
#include "proxy/exchange.h"
#include "proxy/facts.h"
#include "serve/problem.h"

#include <stdio.h>

static void add(struct response *r, enum field_id id, str value)
{
    if (fields_append(&r->fields, id, field_name(id), value) != ERR_OK) return;
}

/* RFC 9110 §15.5.6: a 405 tells what is allowed; by then the path was known to us, which a route's caller may learn
 * only after the same would have been told to anybody: methods are no secret of a declared route. */
static str allow_text(const struct exchange *x, char *room, size_t cap)
{
    static const struct {
        enum method m;
        str name;
    } names[] = {{METHOD_GET, STR_INIT("GET")},        {METHOD_HEAD, STR_INIT("HEAD")},
                 {METHOD_POST, STR_INIT("POST")},      {METHOD_PUT, STR_INIT("PUT")},
                 {METHOD_DELETE, STR_INIT("DELETE")},  {METHOD_PATCH, STR_INIT("PATCH")},
                 {METHOD_OPTIONS, STR_INIT("OPTIONS")}};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!(x->route.allow >> names[i].m & 1) || n + names[i].name.n + 2 > cap) continue;
        if (n) {
            memcpy(room + n, ", ", 2);
            n += 2;
        }
        memcpy(room + n, names[i].name.p, names[i].name.n);
        n += names[i].name.n;
    }
    return str_make(room, n);
}

void refuse_respond(struct exchange *x)
{
    const struct reason_info *info = reason_info(x->reason);
    bool dev = str_eq(x->config->snap->environment, STR("dev"));
    char body[PROBLEM_MAX], challenge[CHALLENGE_MAX], allow[64], rule[512], retry[16];
    uint8_t accepted = x->action ? snapshot_action_accepts_any(x->action) : 0;
    struct problem p = {.reason = x->reason,
                        .gate = GATE,
                        .decision_id = str_make(x->id, ULID_LEN),
                        .accepted = accepted,
                        .dev = dev};
    if (dev) {
        p.detail = str_of(info->explain);
        p.rule = facts_rule(x, rule, sizeof rule);
    }
    size_t n = problem_body(&p, body, sizeof body);
    struct response r = {.status = info->status ? info->status : 500,
                         .fields = {x->response_fields, 0, EXCHANGE_FIELDS}};
    add(&r, FIELD_CONTENT_TYPE, STR(PROBLEM_CONTENT_TYPE));
    add(&r, FIELD_X_CORRELATION_ID, x->correlation);
    (void)!fields_append(&r.fields, FIELD_OTHER, STR("Cache-Control"), STR("no-store"));
    size_t c = problem_challenge(x->reason, accepted, challenge, sizeof challenge);
    if (c) add(&r, FIELD_WWW_AUTHENTICATE, str_make(challenge, c));
    if (x->reason == REASON_METHOD_NOT_ALLOWED && x->action)
        (void)!fields_append(&r.fields, FIELD_OTHER, STR("Allow"), allow_text(x, allow, sizeof allow));
    limit_tell(x, &r.fields);
    if (x->retry_s)
        add(&r, FIELD_RETRY_AFTER, str_make(retry, (size_t)snprintf(retry, sizeof retry, "%u", x->retry_s)));
    else if (r.status == 503)
        add(&r, FIELD_RETRY_AFTER, STR("1"));
    r.body = n;
    x->status = r.status;
    x->responding = true;
    bool bodiless = x->down.request.method_id == METHOD_HEAD;
    if (x->down.ops->respond(&x->down, &r, str_make(body, bodiless ? 0 : n), true) != ERR_OK)
        x->status = 0;
    else
        x->answer_ended = true;
}
