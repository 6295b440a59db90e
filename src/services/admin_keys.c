/* API keys, and the keys that sign access tokens. */
#include "services/admin_private.h"

#include "base/rand.h"
#include "crypto/secret.h"
#include "identity/apikey.h"
#include "services/signing_request.h"

enum { REMOVED_FROM_REQUESTS = 16 };

/* --- API keys --- */

enum key_change { KEY_NEW, KEY_DISABLE, KEY_ENABLE, KEY_REMOVE };

struct key_call {
    str id, key, product_key;
    struct record_key room, product_room;
    struct apikey_record record;
    uint64_t version;
    struct store_op op;
    char text[APIKEY_MAX_LEN];
    size_t text_n;
    str env;
    enum key_change what;
    str reason;
};

static void put_key(struct buf *b, str id, const struct apikey_record *k)
{
    record_begin(b);
    record_put_str(b, "id", id);
    record_put_str(b, "product", k->product);
    record_put_str(b, "label", k->label);
    record_put_str(b, "disabled", k->disabled);
    record_put_u64(b, "created_ms", k->created_ms);
    if (k->expires_s) record_put_i64(b, "expires_s", k->expires_s);
}

static void key_answered(struct admin_call *c)
{
    struct key_call *x = c->own;
    put_key(&c->answer, x->id, &x->record);
    if (x->what == KEY_NEW) {
        record_put_str(&c->answer, "key", str_make(x->text, x->text_n));
        record_put_digest(&c->answer, "sha256", x->record.sha256);
        secret_wipe(x->text, sizeof x->text);
    } else {
        admin_put_confirmation(c);
    }
    buf_puts(&c->answer, "}\n");
    admin_done(c, x->what == KEY_NEW ? 201 : 200);
}

static void key_record(struct admin_call *c)
{
    static const enum audit_kind events[] = {AUDIT_KEY_ADDED, AUDIT_KEY_DISABLED, AUDIT_KEY_CONFIRMED,
                                             AUDIT_KEY_REMOVED};
    struct key_call *x = c->own;
    admin_record(c,
                 &(struct audit_record){.event = events[x->what],
                                        .subject = x->id,
                                        .product = x->record.product,
                                        .reason = x->reason,
                                        .detail = x->record.label},
                 key_answered);
}

static void key_read(struct admin_call *c);

static void key_written(struct admin_call *c)
{
    struct key_call *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.err == ERR_CONFLICT) {
        if (x->what != KEY_NEW && ++c->tries < ADMIN_RETRIES)
            admin_get(c, STORE_CONTROL, &x->key, 1, key_read);
        else
            admin_refuse(c, ADMIN_CHANGED, NULL, "ask again", "the key was changed meanwhile");
        return;
    }
    if (x->what == KEY_NEW) {
        key_record(c);
        return;
    }
    c->after = key_record;
    admin_confirm(c, c->job.at);
}

static void key_write(struct admin_call *c)
{
    struct key_call *x = c->own;
    struct buf b;
    buf_init(&b, RECORD_MAX);
    enum err e = apikey_record_put(&b, &x->record);
    x->op = (struct store_op){.verb = STORE_PUT, .condition = STORE_VERSION, .version = x->version, .key = x->key};
    /* It goes out of the store by itself, a while after it is no good any more. */
    if (x->record.expires_s) x->op.expires_s = x->record.expires_s + 86400;
    if (x->what == KEY_REMOVE) x->op.verb = STORE_DELETE;
    if (e == ERR_OK) x->op.value = arena_copy(&c->mem, buf_str(&b));
    buf_free(&b);
    if (x->what == KEY_REMOVE) x->op.value = STR("");
    if (e == ERR_OK && x->op.value.p)
        admin_batch(c, STORE_CONTROL, &x->op, 1, key_written);
    else
        admin_no_memory(c);
}

static void key_read(struct admin_call *c)
{
    struct key_call *x = c->own;
    if (admin_store_failed(c)) return;
    const struct store_entry *e = &c->job.entries[0];
    x->version = e->version;
    if (!e->version) {
        admin_refuse(c, ADMIN_UNKNOWN, "id", "keys of the configuration file are taken out there",
                     "the store has no API key '%.*s'", STR_ARG(x->id));
        return;
    }
    str value;
    if (!admin_copy(c, e->value, &value)) return;
    if (apikey_record_read(value, &c->mem, &x->record) != ERR_OK) {
        admin_refuse(c, ADMIN_FAILED, "id", "remove it", "its record cannot be read");
        return;
    }
    if (x->what == KEY_DISABLE) x->record.disabled = x->reason.n ? x->reason : STR("disabled");
    if (x->what == KEY_ENABLE) x->record.disabled = STR("");
    key_write(c);
}

static bool key_begin(struct admin_call *c, struct key_call **out)
{
    struct key_call *x = arena_zalloc(&c->mem, sizeof *x);
    if (!x) {
        admin_no_memory(c);
        return false;
    }
    c->own = x;
    *out = x;
    return true;
}

static void key_change(struct admin_call *c, enum key_change what)
{
    static const char *const names[] = {"reason", "wait_ms", NULL};
    struct key_call *x;
    if (!key_begin(c, &x) || (c->body && !admin_members(c, names)) || !admin_confirm_options(c)) return;
    if (c->body && !admin_text(c, "reason", false, &x->reason)) return;
    if (!record_text_ok(x->reason)) {
        admin_refuse(c, ADMIN_INPUT, "reason", NULL, "has more than %d bytes, or control characters", RECORD_TEXT_MAX);
        return;
    }
    if (!apikey_record_id_ok(c->path[1])) {
        admin_refuse(c, ADMIN_INPUT, "id", "it is the third part of sp_<environment>_<id>_…", "is no API key's id");
        return;
    }
    x->what = what;
    x->id = c->path[1];
    x->key = apikey_record_key(&x->room, x->id);
    admin_get(c, STORE_CONTROL, &x->key, 1, key_read);
}

/* --- a new one --- */

static void key_make(struct admin_call *c)
{
    struct key_call *x = c->own;
    struct apikey parts;
    if (apikey_generate(x->env, x->text, &x->text_n) != ERR_OK) {
        admin_refuse(c, ADMIN_INPUT, "env", NULL, "is not 1 to %d of a-z and 0-9", APIKEY_ENV_MAX);
        return;
    }
    str text = str_make(x->text, x->text_n);
    if (apikey_parse(text, &parts) != ERR_OK) {
        admin_refuse(c, ADMIN_FAILED, NULL, NULL, "made a key that is none");
        return;
    }
    sha256(text, x->record.sha256);
    x->id = parts.id;
    x->key = apikey_record_key(&x->room, x->id);
    key_write(c);
}

static void key_product_read(struct admin_call *c)
{
    struct key_call *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.entries[0].version)
        key_make(c);
    else
        admin_refuse(c, ADMIN_UNKNOWN, "product", "`sallyport product list` lists them", "there is no product '%.*s'",
                     STR_ARG(x->record.product));
}

static void key_new(struct admin_call *c)
{
    static const char *const names[] = {"product", "label", "env", "expires_s", NULL};
    const struct snapshot *s = admin_snapshot(c);
    struct key_call *x;
    if (!key_begin(c, &x)) return;
    x->env = s && s->environment.n ? s->environment : STR("prod");
    if (!admin_members(c, names) || !admin_text(c, "product", true, &x->record.product) ||
        !admin_text(c, "label", false, &x->record.label) || !admin_text(c, "env", false, &x->env) ||
        !admin_number(c, "expires_s", admin_now_s(c) + 1, (int64_t)1 << 40, &x->record.expires_s))
        return;
    if (!record_name_ok(x->record.product)) {
        admin_refuse(c, ADMIN_INPUT, "product", NULL, "is no product's name");
        return;
    }
    if (!record_text_ok(x->record.label)) {
        admin_refuse(c, ADMIN_INPUT, "label", NULL, "has more than %d bytes, or control characters", RECORD_TEXT_MAX);
        return;
    }
    if (!admin_copy(c, x->env, &x->env)) return;
    x->record.created_ms = c->now_ms;
    x->what = KEY_NEW;
    if (s && snapshot_product(s, x->record.product)) {
        key_make(c);
        return;
    }
    x->product_key = product_record_key(&x->product_room, x->record.product);
    admin_get(c, STORE_CONTROL, &x->product_key, 1, key_product_read);
}

/* --- the list --- */

static void keys_listed(struct admin_call *c)
{
    struct buf *b = &c->answer;
    str product = admin_query(c, "product"), last = STR("");
    bool any = false;
    if (admin_store_failed(c)) return;
    buf_puts(b, "{\"apikeys\":[");
    for (uint32_t i = 0; i < c->job.n_entries; i++) {
        char first[2048];
        struct arena mem;
        struct apikey_record k;
        str id;
        arena_init(&mem, first, sizeof first, RECORD_ARENA);
        if (apikey_record_key_read(c->job.entries[i].key, &id) == ERR_OK) {
            last = id;
            if (apikey_record_read(c->job.entries[i].value, &mem, &k) == ERR_OK &&
                (!product.n || str_eq(product, k.product))) {
                if (any) buf_putc(b, ',');
                any = true;
                put_key(b, id, &k);
                buf_putc(b, '}');
            }
        }
        arena_reset(&mem);
    }
    buf_puts(b, "]");
    if (c->job.more) record_put_str(b, "after", last);
    buf_puts(b, "}\n");
    admin_done(c, 200);
}

static void keys_list(struct admin_call *c)
{
    struct key_call *x;
    uint32_t limit;
    str after = admin_query(c, "after"), behind = STR("");
    if (!key_begin(c, &x) || !admin_limit(c, &limit)) return;
    if (after.n && !apikey_record_id_ok(after)) {
        admin_refuse(c, ADMIN_INPUT, "after", NULL, "is no API key's id");
        return;
    }
    if (after.n) behind = apikey_record_key(&x->room, after);
    admin_page(c, STORE_CONTROL, APIKEY_RECORD_PREFIX, behind, limit, keys_listed);
}

void admin_apikeys(struct admin_call *c)
{
    bool post = c->method == METHOD_POST;
    str verb = c->n_path == 3 ? c->path[2] : STR("");
    if (c->n_path == 1 && c->method == METHOD_GET)
        keys_list(c);
    else if (c->n_path == 1 && post)
        key_new(c);
    else if (c->n_path == 2 && c->method == METHOD_DELETE)
        key_change(c, KEY_REMOVE);
    else if (post && str_eq(verb, STR("disable")))
        key_change(c, KEY_DISABLE);
    else if (post && str_eq(verb, STR("enable")))
        key_change(c, KEY_ENABLE);
    else
        admin_refuse(c, ADMIN_METHOD, NULL, NULL, "there is no such thing to ask of API keys");
}

/* --- signing keys: what is asked for is put into the store, and a process that signs takes it up --- */

struct signing_call {
    char id[ULID_LEN];
    struct record_key room, key_room;
    struct signing_request request;
    struct store_op ops[2];
    uint32_t waits;
};

static void put_signing_key(struct buf *b, str kid, const struct signing_key_record *k)
{
    record_begin(b);
    record_put_str(b, "kid", kid);
    record_put_str(b, "alg", str_of(alg_name(k->alg)));
    record_put_str(b, "state", str_of(signing_key_state_name(k->state)));
    record_put_u64(b, "created_ms", k->created_ms);
    record_put_u64(b, "sign_from_ms", k->sign_from_ms);
    if (k->state == SIGNING_KEY_OLD) {
        record_put_u64(b, "retired_ms", k->retired_ms);
        record_put_i64(b, "verify_until_s", k->verify_until_s);
    }
    buf_putc(b, '}');
}

static void requests_listed(struct admin_call *c)
{
    if (admin_store_failed(c)) return;
    record_put_u64(&c->answer, "waiting", c->job.n_entries);
    buf_puts(&c->answer, "}\n");
    admin_done(c, 200);
}

static void signing_listed(struct admin_call *c)
{
    struct buf *b = &c->answer;
    bool any = false;
    if (admin_store_failed(c)) return;
    buf_puts(b, "{\"keys\":[");
    for (uint32_t i = 0; i < c->job.n_entries; i++) {
        char first[4096];
        struct arena mem;
        struct signing_key_record k;
        str kid;
        arena_init(&mem, first, sizeof first, RECORD_ARENA);
        if (signing_key_record_key_read(c->job.entries[i].key, &kid) == ERR_OK &&
            signing_key_record_read(c->job.entries[i].value, &mem, &k) == ERR_OK) {
            if (any) buf_putc(b, ',');
            any = true;
            put_signing_key(b, kid, &k);
        }
        arena_reset(&mem);
    }
    buf_puts(b, "]");
    admin_page(c, STORE_AUTHENTICATION, SIGNING_REQUEST_PREFIX, STR(""), REMOVED_FROM_REQUESTS, requests_listed);
}

static void signing_list(struct admin_call *c)
{
    admin_page(c, STORE_AUTHENTICATION, SIGNING_KEY_PREFIX, STR(""), ADMIN_PAGE_MAX, signing_listed);
}

/* Asked for and recorded; the answer is what the keys are then. */
static void signing_asked(struct admin_call *c)
{
    struct signing_call *x = c->own;
    if (admin_store_failed(c)) return;
    bool rotate = x->request.kind == SIGNING_REQUEST_ROTATE;
    if (c->job.err == ERR_CONFLICT) { /* nobody shall believe that a key is gone whose id was mistyped */
        admin_refuse(c, ADMIN_UNKNOWN, "kid", "`sallyport keys list` lists them", "there is no signing key '%.*s'",
                     STR_ARG(x->request.kid));
        return;
    }
    str alg = rotate && x->request.alg != ALG_INVALID ? str_of(alg_name(x->request.alg)) : STR("");
    struct audit_record r = {.event = rotate ? AUDIT_SIGNING_KEY_MADE : AUDIT_SIGNING_KEY_REMOVED,
                             .subject = x->request.kid,
                             .object = str_make(x->id, sizeof x->id),
                             .reason = STR("asked_for"),
                             .detail = alg};
    admin_record(c, &r, signing_list);
}

static void signing_ask(struct admin_call *c, enum signing_request_kind kind)
{
    static const char *const rotate_names[] = {"alg", NULL}, *const retire_names[] = {"kid", NULL};
    struct signing_call *x = arena_zalloc(&c->mem, sizeof *x);
    str alg = STR("");
    struct buf b;
    if (!x) {
        admin_no_memory(c);
        return;
    }
    c->own = x;
    bool rotate = kind == SIGNING_REQUEST_ROTATE;
    if ((c->body || !rotate) && !admin_members(c, rotate ? rotate_names : retire_names)) return;
    if (c->body && rotate && !admin_text(c, "alg", false, &alg)) return;
    if (!rotate && !admin_text(c, "kid", true, &x->request.kid)) return;
    x->request.kind = kind;
    x->request.alg = alg.n ? alg_from_name(alg) : ALG_INVALID;
    if (alg.n && !(alg_bit(x->request.alg) & CONFIG_SIGNING_ALGS)) {
        admin_refuse(c, ADMIN_INPUT, "alg", NULL, "is none of ES256, ES384, RS256, PS256, EdDSA");
        return;
    }
    if (!rotate && !signing_kid_ok(x->request.kid)) {
        admin_refuse(c, ADMIN_INPUT, "kid", "`sallyport keys list` lists them", "is no key's id");
        return;
    }
    x->request.by = c->who;
    x->request.at_ms = c->now_ms;
    ulid_make(x->id, c->now_ms);
    buf_init(&b, RECORD_MAX);
    enum err e = signing_request_put(&b, &x->request);
    x->ops[0] = (struct store_op){.verb = STORE_PUT};
    x->ops[0].key = signing_request_key(&x->room, str_make(x->id, sizeof x->id));
    if (e == ERR_OK) x->ops[0].value = arena_copy(&c->mem, buf_str(&b));
    buf_free(&b);
    if (!rotate)
        x->ops[1] = (struct store_op){.verb = STORE_CHECK,
                                      .condition = STORE_PRESENT,
                                      .key = signing_key_record_key(&x->key_room, x->request.kid)};
    if (e == ERR_OK && x->ops[0].value.p)
        admin_batch(c, STORE_AUTHENTICATION, x->ops, rotate ? 1 : 2, signing_asked);
    else
        admin_no_memory(c);
}

void admin_signing_keys(struct admin_call *c)
{
    bool post = c->method == METHOD_POST && c->n_path == 2;
    if (c->n_path == 1 && c->method == METHOD_GET)
        signing_list(c);
    else if (post && str_eq(c->path[1], STR("rotate")))
        signing_ask(c, SIGNING_REQUEST_ROTATE);
    else if (post && str_eq(c->path[1], STR("retire")))
        signing_ask(c, SIGNING_REQUEST_RETIRE);
    else
        admin_refuse(c, ADMIN_METHOD, NULL, NULL, "signing keys are listed, rotated and retired");
}
