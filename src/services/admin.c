#include "services/admin_private.h"

#include "crypto/mac.h"
#include "crypto/secret.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

enum { DETAIL_MAX = 512 };

static const struct json_limits body_limits = {.max_bytes = CONTROL_BODY_MAX,
                                               .max_depth = 6,
                                               .max_values = 16384,
                                               .max_members = 1024,
                                               .max_number = 20};

/* --- problems --- */
static const struct problem_kind {
    uint16_t status;
    const char *code, *title;
} kinds[] = {
    [ADMIN_INPUT] = {422, "input_refused", "Something in what was asked is not right"},
    [ADMIN_MALFORMED] = {400, "request_malformed", "Not a request of this interface"},
    [ADMIN_UNKNOWN] = {404, "not_found", "There is no such thing"},
    [ADMIN_METHOD] = {405, "method_not_allowed", "Not to be asked in this way"},
    [ADMIN_EXISTS] = {409, "exists", "It is there already"},
    [ADMIN_CHANGED] = {409, "changed", "Somebody else changed it at the same time"},
    [ADMIN_ELSEWHERE] = {421, "elsewhere", "Another process does that"},
    [ADMIN_STORE] = {503, "store_unavailable", "The store cannot be asked"},
    [ADMIN_AUDIT] = {503, "audit_unavailable", "The audit record cannot be written"},
    [ADMIN_FAILED] = {500, "failed", "It went wrong"},
};

static void put_member(struct buf *b, const char *name, const char *value)
{
    if (!value || !*value) return;
    buf_printf(b, ",\"%s\":\"", name);
    buf_put_json(b, str_of(value));
    buf_putc(b, '"');
}

static bool is_change(const struct admin_call *c)
{
    return c->method != METHOD_GET && c->method != METHOD_HEAD;
}

static void record_refusal(struct admin_call *c, const struct problem_kind *k, const char *detail)
{
    char text[256];
    size_t n = 0;
    for (uint32_t i = 0; i < c->n_path; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "/%.*s", STR_ARG(str_first(c->path[i], 40)));
    audit_event(c->admin->o.audit, &(struct audit_record){.event = AUDIT_ADMIN_REFUSED,
                                                          .outcome = k->status < 500 ? AUDIT_NO : AUDIT_FAILED,
                                                          .who = c->who,
                                                          .reason = str_of(k->code),
                                                          .object = str_make(text, n),
                                                          .detail = str_of(detail)});
}

void admin_refuse(struct admin_call *c, enum admin_problem p, const char *place, const char *remedy, const char *fmt,
                  ...)
{
    char detail[DETAIL_MAX];
    const struct problem_kind *k = &kinds[p];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    if (is_change(c)) record_refusal(c, k, detail);
    buf_clear(&c->answer);
    buf_printf(&c->answer, "{\"type\":\"urn:sallyport:problem:%s\",\"title\":\"%s\",\"status\":%u,\"code\":\"%s\"",
               k->code, k->title, k->status, k->code);
    put_member(&c->answer, "place", place);
    put_member(&c->answer, "detail", detail);
    put_member(&c->answer, "remedy", remedy);
    buf_puts(&c->answer, "}\n");
    admin_done(c, k->status);
}

void admin_no_memory(struct admin_call *c)
{
    admin_refuse(c, ADMIN_FAILED, NULL, "try again", "out of memory");
}

/* --- the life of a call --- */

static void destroy(struct admin_call *c)
{
    if (c->job_used) store_job_clear(&c->job);
    buf_free(&c->answer);
    arena_reset(&c->mem);
    free(c);
}

static void reap(struct task *t)
{
    struct admin *a = CONTAINER_OF(t, struct admin, reap);
    while (a->dead) {
        struct admin_call *c = a->dead;
        a->dead = c->next;
        destroy(c);
    }
}

/* While the administration ends no step runs any more, and perhaps no turn. */
static void end(struct admin_call *c)
{
    struct admin *a = c->admin;
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    timer_clear(a->o.loop, &c->timer);
    if (!a->closing) {
        c->next = a->dead;
        a->dead = c;
        loop_defer(a->o.loop, &a->reap);
        return;
    }
    destroy(c);
    if (!a->calls) free(a);
}

void admin_done(struct admin_call *c, uint16_t status)
{
    struct control_reply *r = c->reply;
    if (r) {
        c->reply = NULL;
        bool whole = !c->answer.bad;
        if (whole) buf_put(&r->body, buf_str(&c->answer));
        if (whole && !r->body.bad)
            control_reply_done(r, status, status < 400 ? STR("application/json") : STR("application/problem+json"));
        else
            control_reply_refuse(r, REASON_INTERNAL);
    }
    end(c);
}

static void go_on(struct admin_call *c)
{
    if (c->admin->closing)
        end(c);
    else
        c->then(c);
}

/* --- steps --- */

static void on_job(struct store_job *job)
{
    go_on(CONTAINER_OF(job, struct admin_call, job));
}

void admin_submit(struct admin_call *c, const struct store_job *job, void (*then)(struct admin_call *c))
{
    if (c->job_used) store_job_clear(&c->job);
    c->job_used = true;
    c->then = then;
    c->job = *job;
    c->job.done = on_job;
    store_submit(c->admin->o.store, &c->job);
}

void admin_get(struct admin_call *c, enum store_space space, const str *keys, uint32_t n,
               void (*then)(struct admin_call *c))
{
    admin_submit(c, &(struct store_job){.kind = STORE_GET, .space = space, .keys = keys, .n_keys = n}, then);
}

void admin_page(struct admin_call *c, enum store_space space, str prefix, str after, uint32_t limit,
                void (*then)(struct admin_call *c))
{
    struct record_key *to = arena_alloc(&c->mem, sizeof *to);
    str from = prefix;
    /* \x01 is below whatever a key goes on with */
    if (after.n) from = arena_printf(&c->mem, "%.*s\x01", STR_ARG(after));
    if (!to || !from.p) {
        admin_no_memory(c);
        return;
    }
    struct store_job job = {.kind = STORE_RANGE,
                            .space = space,
                            .from = from,
                            .to = record_key_end(to, prefix),
                            .limit = limit};
    admin_submit(c, &job, then);
}

void admin_batch(struct admin_call *c, enum store_space space, const struct store_op *ops, uint32_t n,
                 void (*then)(struct admin_call *c))
{
    admin_submit(c, &(struct store_job){.kind = STORE_BATCH, .space = space, .ops = ops, .n_ops = n}, then);
}

/* A conflict is an answer only to who set a condition. */
static bool has_condition(const struct store_job *job)
{
    for (uint32_t i = 0; job->kind == STORE_BATCH && i < job->n_ops; i++)
        if (job->ops[i].condition != STORE_ANY) return true;
    return false;
}

bool admin_store_failed(struct admin_call *c)
{
    switch (c->job.err) {
    case ERR_OK: return false;
    case ERR_CONFLICT:
        if (has_condition(&c->job)) return false;
        break;
    case ERR_NO_MEMORY: admin_no_memory(c); return true;
    case ERR_TIMEOUT:
    case ERR_CLOSED:
        admin_refuse(c, ADMIN_STORE, NULL, "look whether it happened, then ask again", "the store does not answer%s",
                     c->job.kind == STORE_BATCH ? "; the change may have happened or not" : "");
        return true;
    case ERR_IO:
        admin_refuse(c, ADMIN_STORE, NULL, "look at its disk, and at `sallyport data status`",
                     "the store's disk refused; nothing was changed");
        return true;
    case ERR_DENIED:
        admin_refuse(c, ADMIN_ELSEWHERE, NULL,
                     "ask the process that serves it: `sallyport data status` tells which runs",
                     "this process has no way to the space %s", store_space_name(c->job.space));
        return true;
    case ERR_LIMIT:
        admin_refuse(c, ADMIN_STORE, NULL, "ask again", "the store is busy, or it is too much at once");
        return true;
    case ERR_MALFORMED:
    case ERR_NOT_FOUND:
    case ERR_AGAIN:
    case ERR_UNSUPPORTED:
    case ERR_INVARIANT: break;
    }
    admin_refuse(c, ADMIN_FAILED, NULL, NULL, "the store says: %s", err_name(c->job.err));
    return true;
}

static void on_recorded(struct audit_wait *w)
{
    struct admin_call *c = CONTAINER_OF(w, struct admin_call, wait);
    if (w->err != ERR_OK && !c->admin->closing)
        admin_refuse(c, ADMIN_AUDIT, NULL, "look at the disk of the data folder; `sallyport audit verify`",
                     "it was done, but that could not be recorded");
    else
        go_on(c);
}

void admin_record(struct admin_call *c, const struct audit_record *r, void (*then)(struct admin_call *c))
{
    struct audit_record x = *r;
    x.who = c->who;
    c->then = then;
    c->wait = (struct audit_wait){.done = on_recorded};
    audit_event_then(c->admin->o.audit, &x, c->admin->o.loop, &c->wait);
}

static void run_work(struct offload_job *job)
{
    struct admin_call *c = CONTAINER_OF(job, struct admin_call, work);
    c->work_run(c);
}

static void on_worked(struct offload_job *job)
{
    go_on(CONTAINER_OF(job, struct admin_call, work));
}

void admin_work(struct admin_call *c, void (*run)(struct admin_call *c), void (*then)(struct admin_call *c))
{
    c->work_run = run;
    c->then = then;
    c->work = (struct offload_job){.run = run_work, .done = on_worked};
    if (!c->admin->o.pool || offload_submit(c->admin->o.pool, c->admin->o.loop, &c->work) != ERR_OK)
        admin_refuse(c, ADMIN_FAILED, NULL, "ask again", "too much is asked at once");
}

static void on_time(struct timer *t)
{
    go_on(CONTAINER_OF(t, struct admin_call, timer));
}

void admin_sleep(struct admin_call *c, uint32_t ms, void (*then)(struct admin_call *c))
{
    c->then = then;
    c->timer.on_time = on_time;
    timer_set(c->admin->o.loop, &c->timer, loop_now_ms(c->admin->o.loop) + ms);
}

static void on_task(struct keeper_task *t)
{
    go_on(CONTAINER_OF(t, struct admin_call, task));
}

void admin_task(struct admin_call *c, void (*then)(struct admin_call *c))
{
    c->then = then;
    c->task.done = on_task;
    enum err e = keeper_task_submit(c->admin->o.keeper, c->admin->o.loop, &c->task);
    if (e != ERR_OK) admin_refuse(c, ADMIN_STORE, NULL, NULL, "the store does not take it: %s", err_name(e));
}

/* --- letting a request in --- */

static const struct address {
    str first;
    void (*handle)(struct admin_call *c);
    bool needs_store;
} addresses[] = {
    {STR_INIT("users"), admin_users, true},
    {STR_INIT("products"), admin_products, true},
    {STR_INIT("secrets"), admin_secrets, true},
    {STR_INIT("apikeys"), admin_apikeys, true},
    {STR_INIT("sessions"), admin_sessions, true},
    {STR_INIT("keys"), admin_signing_keys, true},
    {STR_INIT("revocations"), admin_revocations, true},
    {STR_INIT("confirmations"), admin_confirmations, true},
    {STR_INIT("usage"), admin_usage, true},
    {STR_INIT("audit"), admin_audit, false},
    {STR_INIT("data"), admin_data, false},
    {STR_INIT("authentication"), admin_authentication, false},
};

static const struct address *address_of(str path)
{
    static const str prefix = STR_INIT("/v1/");
    if (!str_starts(path, prefix)) return NULL;
    str rest = str_from(path, prefix.n), first = str_cut(&rest, '/');
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
        if (str_eq(first, addresses[i].first)) return &addresses[i];
    return NULL;
}

/* Names from the system's list of users, for people; the number is what counts. */
static str who_is(struct arena *mem, const struct control_peer *peer)
{
    char room[1024], name[40];
    struct passwd entry, *found = NULL;
    if (!peer->known) return STR("unknown");
    size_t n = 0;
    if (getpwuid_r(peer->uid, &entry, room, sizeof room, &found) == 0 && found)
        for (; n < sizeof name && found->pw_name[n]; n++)
            name[n] = found->pw_name[n] > ' ' && found->pw_name[n] < 0x7f ? found->pw_name[n] : '?';
    return arena_printf(mem, "uid %u (%.*s), pid %d", peer->uid, n ? (int)n : 1, n ? name : "?", peer->pid);
}

static bool take_path(struct admin_call *c, str path)
{
    str rest = arena_copy(&c->mem, str_from(path, 4));
    if (!rest.p) return false;
    while (rest.n && c->n_path < ADMIN_PATH_MAX) c->path[c->n_path++] = str_cut(&rest, '/');
    return true;
}

/* ERR_MALFORMED: no JSON object. */
static enum err take_body(struct admin_call *c, const struct request *q, str body)
{
    if (!body.n) return ERR_OK;
    if (!control_is_json(q)) return ERR_MALFORMED;
    str copy = arena_copy(&c->mem, body);
    const struct json *v;
    if (!copy.p) return ERR_NO_MEMORY;
    enum err e = json_parse(copy, &body_limits, &c->mem, &v, NULL, NULL);
    if (e != ERR_OK) return e;
    if (v->type != JSON_OBJECT) return ERR_MALFORMED;
    c->body = v;
    return ERR_OK;
}

static struct admin_call *call_new(struct admin *a, const struct control_peer *peer, const struct request *q,
                                   struct control_reply *reply)
{
    struct admin_call *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->admin = a;
    c->reply = reply;
    arena_init(&c->mem, NULL, 0, ADMIN_ARENA_MAX);
    buf_init(&c->answer, CONTROL_REPLY_MAX);
    c->method = q->method_id == METHOD_HEAD ? METHOD_GET : q->method_id;
    c->now_ms = loop_wall_ms(a->o.loop);
    c->next = a->calls;
    c->link = &a->calls;
    if (c->next) c->next->link = &c->next;
    a->calls = c;
    c->who = who_is(&c->mem, peer);
    c->query = q->has_query ? arena_copy(&c->mem, q->query) : STR("");
    if (c->who.p && c->query.p && take_path(c, q->path)) return c;
    c->reply = NULL;
    end(c);
    return NULL;
}

static bool may_change(struct admin_call *c)
{
    if (!is_change(c) || audit_ready(c->admin->o.audit)) return true;
    admin_refuse(c, ADMIN_AUDIT, NULL, "look at the disk of the data folder",
                 "nothing is changed while the audit record cannot be written");
    return false;
}

bool admin_handle(struct admin *a, const struct control_peer *peer, const struct request *q, str body,
                  struct control_reply *reply)
{
    const struct address *to = address_of(q->path);
    if (!to || a->closing) return false;
    struct admin_call *c = call_new(a, peer, q, reply);
    if (!c) {
        control_reply_refuse(reply, REASON_INTERNAL);
        return true;
    }
    control_reply_wait(reply, c);
    enum err e = take_body(c, q, body);
    if (e == ERR_NO_MEMORY)
        admin_no_memory(c);
    else if (e != ERR_OK)
        admin_refuse(c, ADMIN_MALFORMED, NULL, NULL, "the body is no JSON object of type application/json");
    else if (to->needs_store && !a->o.store)
        admin_refuse(c, ADMIN_ELSEWHERE, NULL, "run it with a section `authentication` or `store`",
                     "this process keeps and asks no store");
    else if (may_change(c))
        to->handle(c);
    return true;
}

void admin_cancel(struct admin *a, struct control_reply *reply, void *waiting)
{
    (void)a;
    struct admin_call *c = waiting;
    if (c->reply == reply) c->reply = NULL;
}

/* --- the whole --- */

enum err admin_new(const struct admin_options *o, struct admin **out)
{
    struct admin *a = calloc(1, sizeof *a);
    if (!a) return ERR_NO_MEMORY;
    a->o = *o;
    a->reap.run = reap;
    *out = a;
    return ERR_OK;
}

void admin_free(struct admin **out)
{
    struct admin *a = *out;
    if (!a) return;
    *out = NULL;
    a->closing = true;
    loop_undefer(a->o.loop, &a->reap);
    reap(&a->reap);
    if (!a->calls) {
        free(a);
        return;
    }
    /* What sleeps ends here; what waits for the store, the pool or the record ends when that answers. The last one
     * frees the administration. */
    struct admin_call *next;
    for (struct admin_call *c = a->calls; c; c = next) {
        next = c->next;
        c->reply = NULL;
        if (timer_is_set(&c->timer)) end(c);
    }
}

void admin_audit_key(const struct seal *seal, unsigned char out[ADMIN_AUDIT_KEY_LEN])
{
    (void)!hkdf_sha256(str_make((const char *)seal->key, sizeof seal->key), STR(""), STR("sallyport audit seal"), out,
                       ADMIN_AUDIT_KEY_LEN);
}
