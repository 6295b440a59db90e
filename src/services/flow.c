/* A request on its way: its jobs, its answers, its end. */
#include "services/authentication_private.h"

#include "net/socket.h"

#define RETRIES 16

static struct flow *of_job(struct store_job *job)
{
    return CONTAINER_OF(job, struct flow, job);
}

static void on_call_ended(struct service_call *call)
{
    struct flow *f = call->state;
    if (f->ended) f->ended(f);
    timer_clear(call->loop, &f->timer);
    store_job_clear(&f->job);
    *f->link = f->next;
    if (f->next) f->next->link = f->link;
    f->a->n_flows--;
    snapshot_unref(&f->snapshot);
}

/* The last address that is no hop of ours: hops append to the right (docs/configuration.md, trusted hops). */
str flow_address(const struct snapshot *snapshot, str forwarded_for)
{
    str rest = forwarded_for, last = STR_NONE;
    while (rest.n) {
        size_t comma = rest.n;
        while (comma > 0 && rest.p[comma - 1] != ',') comma--;
        last = str_trim(str_from(rest, comma));
        struct net_addr addr;
        char text[NET_TEXT_MAX];
        size_t n = 0;
        bool v6 = str_has(last, ':');
        if (last.n == 0 || last.n > 64) break;
        if (v6) text[n++] = '[';
        memcpy(text + n, last.p, last.n);
        n += last.n;
        if (v6) text[n++] = ']';
        memcpy(text + n, ":1", 2);
        bool unix_hop = str_eq(last, STR("unix"));
        struct sockaddr local = {.sa_family = AF_UNIX};
        if (!unix_hop && net_addr_parse(str_make(text, n + 2), &addr) != ERR_OK) break;
        if (!snapshot_hop_trusted(snapshot, unix_hop ? &local : (const struct sockaddr *)&addr.ss)) break;
        rest = str_first(rest, comma ? comma - 1 : 0);
    }
    return last;
}

struct flow *flow_new(struct authentication *a, struct service_call *call, const char *name, size_t more)
{
    struct flow *f = arena_zalloc(&call->mem, sizeof *f);
    void *own = arena_zalloc(&call->mem, more ? more : 1);
    if (!f || !own || a->closing) {
        service_refuse(call, REASON_OVERLOADED, 1, STR_NONE);
        return NULL;
    }
    f->a = a;
    f->call = call;
    f->name = name;
    f->more = own;
    f->snapshot = snapshot_ref(a->snapshot);
    f->settings = &f->snapshot->authentication;
    f->address = flow_address(f->snapshot, service_field(call, FIELD_X_FORWARDED_FOR));
    f->link = &a->flows;
    f->next = a->flows;
    if (f->next) f->next->link = &f->next;
    a->flows = f;
    a->n_flows++;
    call->state = f;
    call->ended = on_call_ended;
    return f;
}

void flow_refuse(struct flow *f, enum reason reason, uint32_t retry_after_s, str detail)
{
    service_refuse(f->call, reason, retry_after_s, detail);
}

void flow_answer(struct flow *f, uint16_t status, str json)
{
    service_answer(f->call, status, json, NULL);
}

void flow_store_failed(struct flow *f)
{
    enum err e = f->job.err;
    bool ours = e == ERR_MALFORMED || e == ERR_INVARIANT || e == ERR_DENIED;
    log_event(ours ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, log_msg("the store did not answer"),
              log_str("request", str_of(f->name)), log_str("error", str_of(err_name(e))), log_decision(f->call->id));
    flow_refuse(f, ours ? REASON_INTERNAL : REASON_STORE_UNAVAILABLE, ours ? 0 : 1, STR_NONE);
}

static void on_job(struct store_job *job)
{
    struct flow *f = of_job(job);
    if (f->a->closing || (job->err != ERR_OK && job->err != ERR_CONFLICT))
        flow_store_failed(f);
    else
        f->step(f);
}

static void submit(struct flow *f, void (*step)(struct flow *f))
{
    f->step = step;
    f->job.done = on_job;
    store_submit(f->a->o.store, &f->job);
}

void flow_get_keys(struct flow *f, enum store_space space, const str *keys, uint32_t n_keys,
                   void (*step)(struct flow *f))
{
    store_job_clear(&f->job);
    f->job = (struct store_job){.kind = STORE_GET, .space = space, .keys = keys, .n_keys = n_keys};
    submit(f, step);
}

void flow_get(struct flow *f, enum store_space space, uint32_t n_keys, void (*step)(struct flow *f))
{
    flow_get_keys(f, space, f->asked, n_keys, step);
}

void flow_range(struct flow *f, enum store_space space, str from, str to, uint32_t limit, void (*step)(struct flow *f))
{
    store_job_clear(&f->job);
    f->job = (struct store_job){.kind = STORE_RANGE, .space = space, .from = from, .to = to, .limit = limit};
    submit(f, step);
}

void flow_write(struct flow *f, enum store_space space, void (*step)(struct flow *f))
{
    store_job_clear(&f->job);
    f->job = (struct store_job){.kind = STORE_BATCH, .space = space, .ops = f->ops, .n_ops = f->n_ops};
    submit(f, step);
}

struct store_op *flow_op(struct flow *f, enum store_verb verb, enum store_condition condition, str key)
{
    struct store_op *op = &f->ops[f->n_ops++];
    *op = (struct store_op){.verb = verb, .condition = condition, .key = key};
    return op;
}

void flow_session_conditions(struct flow *f)
{
    struct store_op *op = flow_op(f, STORE_CHECK, STORE_VERSION, SIGNING_TURN_KEY);
    op->version = signing_keys_turn_version(f->a->keys);
    if (!f->signature_mark.n) return;
    op = flow_op(f, STORE_PUT, STORE_ABSENT, f->signature_mark);
    op->value = STR("{}");
    op->expires_s = f->signature_until_s;
}

static bool conflict_on(const struct flow *f, str key)
{
    return f->job.err == ERR_CONFLICT && f->job.failed < f->n_ops && str_eq(f->ops[f->job.failed].key, key);
}

bool flow_turn_conflict(const struct flow *f)
{
    return conflict_on(f, SIGNING_TURN_KEY);
}

bool flow_replay_conflict(const struct flow *f)
{
    return f->signature_mark.n && conflict_on(f, f->signature_mark);
}

static void on_again(struct signing_wait *w)
{
    struct flow *f = CONTAINER_OF(w, struct flow, wait);
    if (f->a->closing)
        flow_refuse(f, REASON_STORE_UNAVAILABLE, 1, STR_NONE);
    else
        f->step(f);
}

void flow_retry(struct flow *f, void (*step)(struct flow *f))
{
    if (++f->tries > RETRIES) {
        flow_refuse(f, REASON_STORE_UNAVAILABLE, 1, STR("too many changes at once"));
        return;
    }
    f->step = step;
    f->wait.ready = on_again;
    signing_keys_again(f->a->keys, &f->wait);
}

bool flow_copy(struct flow *f, str *s)
{
    str copy = s->n ? arena_copy(&f->call->mem, *s) : STR("");
    if (copy.p) {
        *s = copy;
        return true;
    }
    flow_refuse(f, REASON_OVERLOADED, 1, STR_NONE);
    return false;
}

uint64_t flow_now_ms(const struct flow *f)
{
    return loop_wall_ms(f->call->loop);
}

void flow_audit(struct flow *f, enum audit_kind event, enum audit_outcome outcome, str subject, const char *reason,
                str object)
{
    audit_event(f->a->o.audit, &(struct audit_record){.event = event,
                                                      .outcome = outcome,
                                                      .who = subject,
                                                      .from = f->address,
                                                      .subject = subject,
                                                      .product = f->product.name,
                                                      .action = service_field(f->call, FIELD_X_ACTION),
                                                      .object = object,
                                                      .decision_id = service_field(f->call, FIELD_X_CORRELATION_ID),
                                                      .reason = reason ? str_of(reason) : STR_NONE});
}

bool flow_user_read(struct flow *f, const struct store_entry *e, struct flow_user *out)
{
    str value = e->value;
    *out = (struct flow_user){.version = e->version};
    if (!e->version) return true;
    if (!flow_copy(f, &value)) return false; /* the answer goes with the next job */
    enum err err = user_record_read(value, &f->call->mem, &out->record);
    if (err == ERR_OK) {
        out->there = out->record.deleted_ms == 0;
        return true;
    }
    log_event(LOG_LEVEL_ERROR, log_msg("a user's record cannot be read"), log_str("key", e->key),
              log_str("error", str_of(err_name(err))));
    return true; /* nobody logs in by a record that is none */
}

static void on_session_end(struct session_end *end)
{
    struct flow *f = CONTAINER_OF(end, struct flow, end);
    if (end->err != ERR_OK && end->err != ERR_NOT_FOUND) {
        f->job.err = end->err;
        flow_store_failed(f);
        return;
    }
    counter_add(&f->a->counts.ended, 1);
    f->step(f);
}

void flow_session_end(struct flow *f, str sid, str base, str name, const char *reason, void (*step)(struct flow *f))
{
    f->step = step;
    f->end = (struct session_end){.store = f->a->o.store,
                                  .base = base,
                                  .name = name,
                                  .reason = str_of(reason),
                                  .by = STR("role authentication"),
                                  .now_ms = flow_now_ms(f),
                                  .access_token_s = f->settings->access_s,
                                  .done = on_session_end};
    memcpy(f->end.sid, sid.p, SESSION_ID_LEN);
    session_end(&f->end);
}
