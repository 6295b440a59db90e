#include "services/signing_keys.h"

#include "audit/audit.h"
#include "base/log.h"
#include "base/rand.h"
#include "codec/json.h"
#include "identity/mint.h"
#include "net/offload.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PREFIX      "signing-"
#define PREFIX_END  "signing."
#define POLL_MS     100   /* while verifiers are waited for */
#define RETRY_MS    1000  /* the store is away */
#define IDLE_MS     60000 /* looks even when nothing is said to have changed */
#define RSA_BITS    2048
#define STRANGE_MAX 30 /* seconds: leases are by clocks that may differ a little */

enum doing {
    DOING_NOTHING = 0,
    DOING_LOAD,
    DOING_ASK_PUBLISHED,
    DOING_PUBLISH,
    DOING_ASK_WATCHERS,
    DOING_GENERATE,
    DOING_CHANGE
};

struct signing_keys {
    struct signing_keys_options o;
    struct store_watch watch;
    char watch_name[STORE_NAME_MAX];
    struct timer timer;
    struct store_job job;
    enum doing doing;
    bool again;   /* something changed while a job was under way */
    bool stopped; /* no new job */
    bool loaded, said_stuck, said_waiting;
    struct arena mem; /* of the plan */
    struct signing_plan plan;
    struct signing_key *keys[SIGNING_KEYS_ROOM]; /* of plan.keys; NULL: not readable */
    struct buf jwks;
    struct signing_action action; /* DOING_ASK_WATCHERS, DOING_CHANGE */
    uint64_t published_turn, published_version, published_at;
    struct signing_wait *waiting; /* for a load that begins after they asked */
    struct signing_wait *loading; /* for the one under way */
    uint64_t made;
    struct offload_job generating;
    struct signer *fresh; /* DOING_GENERATE, DOING_CHANGE: the key to be made */
    enum err fresh_err;
    /* what a job is made of */
    str asked[1];
    struct store_op ops[8];
    unsigned n_ops;
    struct record_key op_keys[8];
    struct buf op_values[8];
};

static void load(struct signing_keys *k);
static void on_job(struct store_job *job);

static str kid_of(const struct signing_plan_key *k)
{
    return str_make(k->kid, k->kid_n);
}

static uint64_t now_ms(const struct signing_keys *k)
{
    return loop_wall_ms(k->o.loop);
}

/* --- jobs --- */

static void submit(struct signing_keys *k, enum doing doing)
{
    k->doing = doing;
    k->job.done = on_job;
    store_submit(k->o.store, &k->job);
}

static void later(struct signing_keys *k, uint64_t ms)
{
    if (!k->stopped) timer_set(k->o.loop, &k->timer, loop_now_ms(k->o.loop) + ms);
}

static void load(struct signing_keys *k)
{
    if (k->stopped) return;
    if (k->doing != DOING_NOTHING) {
        k->again = true;
        return;
    }
    timer_clear(k->o.loop, &k->timer);
    k->again = false;
    k->loading = k->waiting;
    k->waiting = NULL;
    store_job_clear(&k->job);
    k->job = (struct store_job){.kind = STORE_RANGE,
                                .space = STORE_AUTHENTICATION,
                                .from = STR(PREFIX),
                                .to = STR(PREFIX_END),
                                .limit = 2 * SIGNING_KEYS_ROOM};
    submit(k, DOING_LOAD);
}

/* --- reading what there is --- */

/* The key we have opened before, or a fresh one. A kid never names another key. */
static struct signing_key *key_keep(struct signing_keys *k, struct signing_key *const *old, unsigned n_old,
                                    const struct signing_plan_key *p)
{
    for (unsigned i = 0; i < n_old; i++)
        if (old[i] && str_eq(str_make(old[i]->kid, old[i]->kid_n), kid_of(p))) return signing_key_ref(old[i]);
    return signing_key_open(k->o.seal, p);
}

static void put_jwks(struct signing_keys *k)
{
    buf_clear(&k->jwks);
    buf_puts(&k->jwks, "{\"keys\":[");
    bool first = true;
    for (unsigned i = 0; i < k->plan.n; i++) {
        if (!k->keys[i]) continue;
        if (!first) buf_putc(&k->jwks, ',');
        jwk_put(&k->jwks, k->keys[i]->signer, kid_of(&k->plan.keys[i]), false);
        first = false;
    }
    buf_puts(&k->jwks, "]}");
}

static enum err adopt(struct signing_keys *k)
{
    struct signing_key *old[SIGNING_KEYS_ROOM];
    unsigned n_old = k->plan.n;
    struct arena mem;
    struct signing_plan *plan = calloc(1, sizeof *plan);
    if (!plan) return ERR_NO_MEMORY;
    arena_init(&mem, NULL, 0, (size_t)4 * 1024 * 1024);
    enum err e = signing_plan_read(k->job.entries, k->job.n_entries, &mem, plan);
    if (e != ERR_OK) {
        arena_reset(&mem);
        free(plan);
        return e;
    }
    memcpy(old, k->keys, sizeof old);
    memset(k->keys, 0, sizeof k->keys);
    arena_reset(&k->mem);
    k->mem = mem;
    k->plan = *plan;
    free(plan);
    for (unsigned i = 0; i < k->plan.n; i++) {
        k->keys[i] = key_keep(k, old, n_old, &k->plan.keys[i]);
        k->plan.keys[i].readable = k->keys[i] != NULL;
    }
    for (unsigned i = 0; i < n_old; i++) signing_key_unref(&old[i]);
    put_jwks(k);
    k->loaded = true;
    return k->jwks.bad ? ERR_NO_MEMORY : ERR_OK;
}

/* --- telling verifiers --- */

static void ask_published(struct signing_keys *k)
{
    k->asked[0] = ISSUER_KEYS_KEY;
    store_job_clear(&k->job);
    k->job = (struct store_job){.kind = STORE_GET, .space = STORE_CONTROL, .keys = k->asked, .n_keys = 1};
    submit(k, DOING_ASK_PUBLISHED);
}

static void clear_ops(struct signing_keys *k)
{
    for (unsigned i = 0; i < ARRAY_LEN(k->op_values); i++) buf_free(&k->op_values[i]);
    for (unsigned i = 0; i < ARRAY_LEN(k->op_values); i++) buf_init(&k->op_values[i], RECORD_MAX);
    k->n_ops = 0;
}

static void publish(struct signing_keys *k, uint64_t version)
{
    clear_ops(k);
    if (issuer_keys_put(&k->op_values[0], buf_str(&k->jwks), k->plan.turn) != ERR_OK) {
        log_event(LOG_LEVEL_ERROR, log_msg("signing keys cannot be published: too many or out of memory"));
        k->doing = DOING_NOTHING;
        later(k, RETRY_MS);
        return;
    }
    k->ops[0] = (struct store_op){.verb = STORE_PUT,
                                  .condition = STORE_VERSION,
                                  .version = version,
                                  .key = ISSUER_KEYS_KEY,
                                  .value = buf_str(&k->op_values[0])};
    store_job_clear(&k->job);
    k->job = (struct store_job){.kind = STORE_BATCH, .space = STORE_CONTROL, .ops = k->ops, .n_ops = 1};
    submit(k, DOING_PUBLISH);
}

/* --- changing --- */

static struct store_op *add_op(struct signing_keys *k, str key, enum store_verb verb, uint64_t version)
{
    struct store_op *op = &k->ops[k->n_ops++];
    *op = (struct store_op){.verb = verb, .condition = STORE_VERSION, .version = version, .key = key};
    return op;
}

static str own_key(struct signing_keys *k, str kid)
{
    return signing_key_record_key(&k->op_keys[k->n_ops], kid);
}

static enum err put_key(struct signing_keys *k, str kid, const struct signing_key_record *r, uint64_t version)
{
    struct buf *value = &k->op_values[k->n_ops];
    enum err e = signing_key_record_put(value, r);
    if (e != ERR_OK) return e;
    str key = own_key(k, kid);
    add_op(k, key, STORE_PUT, version)->value = buf_str(value);
    return ERR_OK;
}

static enum err put_turn(struct signing_keys *k)
{
    const struct signing_plan *p = &k->plan;
    const struct signing_action *a = &k->action;
    struct buf *value = &k->op_values[k->n_ops];
    enum alg sticky = p->sticky, over = p->sticky_over;
    if (a->takes_request && p->request.kind == SIGNING_REQUEST_ROTATE && p->request.alg != ALG_INVALID) {
        sticky = p->request.alg;
        over = k->o.policy.alg;
    }
    record_begin(value);
    record_put_u64(value, "turn", p->turn + 1);
    record_put_str(value, "alg", str_of(alg_name(sticky)));
    record_put_str(value, "over", str_of(alg_name(over)));
    enum err e = record_end(value, 0);
    if (e == ERR_OK) add_op(k, SIGNING_TURN_KEY, STORE_PUT, p->turn_version)->value = buf_str(value);
    return e;
}

static enum err put_new_key(struct signing_keys *k)
{
    char kid_text[16];
    struct record_key room;
    struct signer *signer = k->fresh;
    struct buf jwk, sealed;
    k->fresh = NULL;
    secret_base62(kid_text, sizeof kid_text);
    str kid = str_make(kid_text, sizeof kid_text);
    buf_init(&jwk, SEAL_PLAIN_MAX);
    buf_init(&sealed, RECORD_MAX);
    enum err e = signer ? ERR_OK : signer_generate(k->action.alg, RSA_BITS, &signer);
    if (e == ERR_OK) {
        jwk_put(&jwk, signer, kid, true);
        e = jwk.bad ? ERR_NO_MEMORY : seal_put(k->o.seal, signing_key_place(&room, kid), buf_str(&jwk), &sealed);
    }
    struct signing_key_record r = {.alg = k->action.alg,
                                   .state = SIGNING_KEY_NEXT,
                                   .jwk = buf_str(&sealed),
                                   .created_ms = now_ms(k),
                                   .sign_from_ms = k->action.at_ms};
    if (e == ERR_OK) e = put_key(k, kid, &r, 0);
    if (jwk.p) secret_wipe(jwk.p, jwk.cap);
    buf_free(&jwk);
    buf_free(&sealed);
    signer_free(&signer);
    return e;
}

static enum err put_promotion(struct signing_keys *k)
{
    struct signing_plan *p = &k->plan;
    struct signing_plan_key *next = &p->keys[k->action.key];
    struct signing_key_record r = next->record;
    r.state = SIGNING_KEY_CURRENT;
    r.sign_from_ms = now_ms(k);
    enum err e = put_key(k, kid_of(next), &r, next->version);
    int current = signing_plan_find(p, SIGNING_KEY_CURRENT);
    if (e != ERR_OK || current < 0) return e;
    struct signing_plan_key *was = &p->keys[current];
    if (was->record.verify_until_s == SIGNING_RETIRE_MARK) {
        str key = own_key(k, kid_of(was));
        (void)add_op(k, key, STORE_DELETE, was->version);
        return ERR_OK;
    }
    r = was->record;
    r.state = SIGNING_KEY_OLD;
    r.retired_ms = now_ms(k);
    r.verify_until_s = signing_plan_until(&k->o.policy, now_ms(k));
    return put_key(k, kid_of(was), &r, was->version);
}

static enum err put_action(struct signing_keys *k)
{
    struct signing_plan_key *key = &k->plan.keys[k->action.key];
    struct signing_key_record r = key->record;
    str name;
    switch (k->action.step) {
    case SIGNING_MAKE: return put_new_key(k);
    case SIGNING_PROMOTE: return put_promotion(k);
    case SIGNING_REMOVE:
        name = own_key(k, kid_of(key));
        (void)add_op(k, name, STORE_DELETE, key->version);
        return ERR_OK;
    case SIGNING_HURRY: r.sign_from_ms = now_ms(k); return put_key(k, kid_of(key), &r, key->version);
    case SIGNING_MARK: r.verify_until_s = SIGNING_RETIRE_MARK; return put_key(k, kid_of(key), &r, key->version);
    case SIGNING_WAIT:
    case SIGNING_DROP:
    case SIGNING_STUCK: break;
    }
    return ERR_OK;
}

static void change(struct signing_keys *k)
{
    clear_ops(k);
    enum err e = put_turn(k);
    if (e == ERR_OK) e = put_action(k);
    if (e == ERR_OK && k->action.takes_request) {
        str key = signing_request_key(&k->op_keys[k->n_ops], str_make(k->plan.request_id, k->plan.request_id_n));
        (void)add_op(k, key, STORE_DELETE, k->plan.request_version);
    }
    if (e != ERR_OK) {
        log_event(LOG_LEVEL_ERROR, log_msg("a signing key cannot be changed"), log_str("error", str_of(err_name(e))));
        k->doing = DOING_NOTHING;
        later(k, RETRY_MS);
        return;
    }
    store_job_clear(&k->job);
    k->job = (struct store_job){.kind = STORE_BATCH, .space = STORE_AUTHENTICATION, .ops = k->ops, .n_ops = k->n_ops};
    submit(k, DOING_CHANGE);
}

/* On a thread of the pool. */
static void generate(struct offload_job *job)
{
    struct signing_keys *k = CONTAINER_OF(job, struct signing_keys, generating);
    k->fresh_err = signer_generate(k->action.alg, RSA_BITS, &k->fresh);
}

static void on_generated(struct offload_job *job)
{
    struct signing_keys *k = CONTAINER_OF(job, struct signing_keys, generating);
    if (k->stopped || k->fresh_err != ERR_OK) {
        signer_free(&k->fresh);
        k->doing = DOING_NOTHING;
        later(k, RETRY_MS);
    } else {
        change(k);
    }
}

static void make(struct signing_keys *k)
{
    if (!(alg_bit(k->action.alg) & ALGS_RSA)) {
        change(k);
        return;
    }
    k->doing = DOING_GENERATE;
    k->generating.run = generate;
    k->generating.done = on_generated;
    if (offload_submit(k->o.pool, k->o.loop, &k->generating) == ERR_OK) return;
    k->doing = DOING_NOTHING;
    later(k, RETRY_MS);
}

static void audit_change(struct signing_keys *k)
{
    static const struct {
        enum signing_step step;
        enum audit_kind event;
    } events[] = {{SIGNING_MAKE, AUDIT_SIGNING_KEY_MADE},
                  {SIGNING_PROMOTE, AUDIT_SIGNING_KEY_SIGNS},
                  {SIGNING_REMOVE, AUDIT_SIGNING_KEY_REMOVED}};
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (events[i].step != k->action.step) continue;
        str kid = kid_of(&k->plan.keys[k->action.key]), name;
        if (k->action.step == SIGNING_MAKE) { /* the second op put it */
            if (signing_key_record_key_read(k->ops[1].key, &name) != ERR_OK) continue;
            kid = name;
            k->made++;
        }
        str by = k->action.takes_request && k->plan.request.by.n ? k->plan.request.by : STR("role authentication");
        audit_event(k->o.audit, &(struct audit_record){.event = events[i].event, .who = by, .subject = kid});
        log_event(LOG_LEVEL_INFO, log_msg("signing key changed"),
                  log_str("event", str_of(audit_kind_name(events[i].event))), log_str("kid", kid));
    }
}

/* --- deciding --- */

static void ask_watchers(struct signing_keys *k)
{
    store_job_clear(&k->job);
    k->job = (struct store_job){.kind = STORE_WATCHERS, .space = STORE_CONTROL};
    submit(k, DOING_ASK_WATCHERS);
}

static void idle(struct signing_keys *k, uint64_t at_ms)
{
    uint64_t now = now_ms(k), in = at_ms > now ? at_ms - now : 1;
    k->doing = DOING_NOTHING;
    if (k->again || k->waiting) {
        load(k);
        return;
    }
    later(k, !at_ms || in > IDLE_MS ? IDLE_MS : in);
}

static void decide(struct signing_keys *k)
{
    struct signing_action a = signing_plan_next(&k->plan, &k->o.policy, now_ms(k));
    k->action = a;
    switch (a.step) {
    case SIGNING_WAIT: idle(k, a.at_ms); return;
    case SIGNING_STUCK:
        if (!k->said_stuck)
            log_event(LOG_LEVEL_ERROR,
                      log_msg("the current signing key does not open: it was sealed with another key; give the right "
                              "one in `seal`, or make a new signing key with `sallyport keys rotate`"),
                      log_str("kid", kid_of(&k->plan.keys[a.key])));
        k->said_stuck = true;
        idle(k, 0);
        return;
    case SIGNING_PROMOTE: ask_watchers(k); return;
    case SIGNING_MAKE: make(k); return;
    case SIGNING_REMOVE:
    case SIGNING_HURRY:
    case SIGNING_MARK:
    case SIGNING_DROP: change(k); return;
    }
}

/* Whether every verifier that still accepts tokens has what was published. */
static bool all_have_it(struct signing_keys *k)
{
    int64_t now_s = (int64_t)(now_ms(k) / 1000);
    for (uint32_t i = 0; i < k->job.n_entries; i++) {
        const struct store_entry *w = &k->job.entries[i];
        if (w->version >= k->published_version || w->expires_s + 1 < now_s || w->expires_s == 0) continue;
        if (!k->said_waiting)
            log_event(LOG_LEVEL_INFO, log_msg("a new signing key waits for a gateway"), log_str("gateway", w->key));
        k->said_waiting = true;
        return false;
    }
    k->said_waiting = false;
    return true;
}

static void tell_loaded(struct signing_keys *k)
{
    struct signing_wait *w = k->loading;
    k->loading = NULL;
    while (w) {
        struct signing_wait *next = w->next;
        w->ready(w);
        w = next;
    }
}

static void on_published(struct signing_keys *k)
{
    const struct store_entry *e = &k->job.entries[0];
    struct arena mem;
    const struct json *jwks;
    uint64_t turn = 0;
    arena_init(&mem, NULL, 0, RECORD_ARENA);
    enum err err = e->version ? issuer_keys_read(e->value, &mem, &jwks, &turn) : ERR_OK;
    arena_reset(&mem);
    uint64_t version = e->version;
    if (err == ERR_NO_MEMORY) {
        idle(k, now_ms(k) + RETRY_MS);
    } else if (err == ERR_OK && version && turn > k->plan.turn) {
        k->doing = DOING_NOTHING; /* another process is ahead of us */
        load(k);
    } else if (err == ERR_OK && version && turn == k->plan.turn) {
        k->published_turn = turn;
        k->published_version = version;
        decide(k);
    } else {
        publish(k, version);
    }
}

static void on_loaded(struct signing_keys *k)
{
    enum err e = adopt(k);
    tell_loaded(k);
    if (e != ERR_OK)
        idle(k, now_ms(k) + RETRY_MS);
    else if (k->plan.n && k->published_turn != k->plan.turn)
        ask_published(k);
    else
        decide(k);
}

static void on_job(struct store_job *job)
{
    struct signing_keys *k = CONTAINER_OF(job, struct signing_keys, job);
    enum doing was = k->doing;
    if (k->stopped) {
        k->doing = DOING_NOTHING;
        tell_loaded(k);
        return;
    }
    if (job->err != ERR_OK && job->err != ERR_CONFLICT) {
        k->doing = DOING_NOTHING;
        tell_loaded(k); /* who waited finds the old key and, if need be, fails by its own condition */
        k->again = false;
        later(k, RETRY_MS);
        return;
    }
    switch (was) {
    case DOING_LOAD: on_loaded(k); return;
    case DOING_ASK_PUBLISHED: on_published(k); return;
    case DOING_ASK_WATCHERS:
        if (all_have_it(k))
            change(k);
        else
            idle(k, now_ms(k) + POLL_MS);
        return;
    case DOING_CHANGE:
        if (job->err == ERR_OK) audit_change(k);
        break;
    case DOING_PUBLISH:
    case DOING_GENERATE:
    case DOING_NOTHING: break;
    }
    k->doing = DOING_NOTHING;
    load(k);
}

static void on_time(struct timer *t)
{
    load(CONTAINER_OF(t, struct signing_keys, timer));
}

static void on_change(struct store_watch *w, const struct store_change *c)
{
    struct signing_keys *k = CONTAINER_OF(w, struct signing_keys, watch);
    store_watch_confirm(k->o.store, w, c->at);
    if (c->kind != STORE_RESYNC_BEGIN) load(k);
}

/* --- life --- */

enum err signing_keys_new(const struct signing_keys_options *o, struct signing_keys **out)
{
    static _Atomic unsigned count;
    struct signing_keys *k = calloc(1, sizeof *k);
    if (!k) return ERR_NO_MEMORY;
    k->o = *o;
    k->timer.on_time = on_time;
    arena_init(&k->mem, NULL, 0, 65536);
    buf_init(&k->jwks, RECORD_MAX);
    clear_ops(k);
    int n = snprintf(k->watch_name, sizeof k->watch_name, "authentication/%ld/%u", (long)getpid(), count++);
    k->watch = (struct store_watch){.space = STORE_AUTHENTICATION,
                                    .prefix = STR(PREFIX),
                                    .name = str_make(k->watch_name, (size_t)n),
                                    .on_change = on_change};
    enum err e = store_watch_start(o->store, &k->watch);
    if (e != ERR_OK) {
        free(k);
        return e;
    }
    *out = k;
    load(k);
    return ERR_OK;
}

void signing_keys_policy(struct signing_keys *k, const struct signing_policy *policy)
{
    k->o.policy = *policy;
    load(k);
}

void signing_keys_stop(struct signing_keys *k)
{
    if (k->stopped) return;
    k->stopped = true;
    timer_clear(k->o.loop, &k->timer);
    store_watch_stop(k->o.store, &k->watch);
}

void signing_keys_free(struct signing_keys **out)
{
    struct signing_keys *k = *out;
    if (!k) return;
    for (unsigned i = 0; i < k->plan.n; i++) signing_key_unref(&k->keys[i]);
    signer_free(&k->fresh);
    store_job_clear(&k->job);
    for (unsigned i = 0; i < ARRAY_LEN(k->op_values); i++) buf_free(&k->op_values[i]);
    buf_free(&k->jwks);
    arena_reset(&k->mem);
    free(k);
    *out = NULL;
}

struct signing_key *signing_keys_current(const struct signing_keys *k)
{
    int i = signing_plan_find(&k->plan, SIGNING_KEY_CURRENT);
    return i < 0 ? NULL : k->keys[i];
}

uint64_t signing_keys_turn_version(const struct signing_keys *k)
{
    return k->plan.turn_version;
}

str signing_keys_jwks(const struct signing_keys *k)
{
    return buf_str(&k->jwks);
}

uint64_t signing_keys_made(const struct signing_keys *k)
{
    return k->made;
}

void signing_keys_again(struct signing_keys *k, struct signing_wait *w)
{
    w->next = k->waiting;
    k->waiting = w;
    load(k);
}
