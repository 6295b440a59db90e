/* Which product asks, and what it must prove: nothing, its apisecret by HTTP Basic (RFC 7617), or a signature of the
 * request with it (RFC 9421). The gateway has checked the API key; the apisecret never leaves a confidential client, so
 * that a key that leaked is not enough. */
#include "codec/base64url.h"
#include "crypto/secret.h"
#include "services/authentication_private.h"

#define BASIC_MAX 512

static void refuse(struct flow *f, enum reason reason, const char *fault)
{
    counter_add(&f->a->counts.proofs, 1);
    throttle_address_failed(f->a->throttle, f->address, flow_now_ms(f));
    flow_audit(f, AUDIT_LOGIN_REFUSED, AUDIT_NO, STR_NONE, reason_code(reason), str_of(fault));
    f->call->fault = str_of(fault);
    flow_refuse(f, reason, 0, str_of(fault));
}

/* --- Basic --- */

/* RFC 4648 §4 with its padding, by way of our strict §5. */
static bool base64_decode(str in, unsigned char out[BASIC_MAX], size_t *n)
{
    char coded[BASIC_MAX];
    if (in.n < 4 || in.n > 4 * ((BASIC_MAX - 3) / 4) || in.n % 4) return false;
    size_t m = in.n;
    if (in.p[m - 1] == '=') m--;
    if (in.p[m - 1] == '=') m--;
    for (size_t i = 0; i < m; i++) {
        char c = in.p[i];
        if (c == '-' || c == '_' || c == '=') return false;
        coded[i] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    bool good = base64url_decode(str_make(coded, m), out, n) == ERR_OK;
    secret_wipe(coded, sizeof coded);
    return good;
}

/* "product:secret"; the secret is compared by its hash, in constant time. */
static bool basic_holds(const struct flow *f, str coded, const struct product_secret_record *secret)
{
    unsigned char text[BASIC_MAX], digest[SHA256_LEN];
    size_t n = 0;
    bool good = false;
    if (base64_decode(coded, text, &n)) {
        str password = str_make((const char *)text, n), user = str_cut(&password, ':');
        sha256(password, digest);
        good = secret_equal(digest, secret->sha256, sizeof digest) && str_eq(user, f->product.name);
    }
    secret_wipe(text, sizeof text);
    return good;
}

static void prove_basic(struct flow *f, const struct product_secret_record *secret)
{
    str value = service_field(f->call, FIELD_AUTHORIZATION), scheme = str_cut(&value, ' ');
    if (!str_ieq(scheme, STR("Basic")))
        refuse(f, REASON_PRODUCT_PROOF_MISSING, "no_basic");
    else if (!basic_holds(f, str_trim(value), secret))
        refuse(f, REASON_PRODUCT_PROOF_WRONG, "secret");
    else
        f->proved(f);
}

/* --- signature --- */

static struct http_signature_message message_of(struct flow *f, struct http_signature_field *fields)
{
    const struct request *r = &f->call->request;
    str proto = service_field(f->call, FIELD_X_FORWARDED_PROTO);
    for (uint32_t i = 0; i < r->fields.n; i++)
        fields[i] = (struct http_signature_field){r->fields.v[i].name, r->fields.v[i].value};
    return (struct http_signature_message){.method = r->method,
                                           .scheme = proto.n ? proto : STR("http"),
                                           .authority = service_field(f->call, FIELD_X_FORWARDED_HOST),
                                           .path = r->path,
                                           .query = r->query,
                                           .has_query = r->has_query,
                                           .fields = fields,
                                           .n_fields = r->fields.n,
                                           .body = f->call->body};
}

/* Remembers the signature: here at once, and by a mark in the store for the other processes. */
static void remember(struct flow *f, const struct http_signature *sig)
{
    static const char hex[] = "0123456789abcdef";
    int64_t now_s = (int64_t)(flow_now_ms(f) / 1000);
    enum err e = http_signature_first(f->a->seen, sig, now_s);
    if (e == ERR_CONFLICT) {
        refuse(f, REASON_SIGNATURE_REPLAYED, http_signature_fault_name(HTTP_SIGNATURE_FAULT_REPLAYED));
        return;
    }
    char *mark = arena_alloc(&f->call->mem, 5 + 2 * sizeof sig->mac);
    if (e != ERR_OK || !mark) {
        flow_refuse(f, REASON_OVERLOADED, 1, STR_NONE);
        return;
    }
    memcpy(mark, "seen/", 5);
    for (size_t i = 0; i < sizeof sig->mac; i++) {
        mark[5 + 2 * i] = hex[sig->mac[i] >> 4];
        mark[5 + 2 * i + 1] = hex[sig->mac[i] & 15];
    }
    f->signature_mark = str_make(mark, 5 + 2 * sizeof sig->mac);
    f->signature_until_s = sig->created_s + HTTP_SIGNATURE_WINDOW_S + 5;
    f->proved(f);
}

static void prove_signature(struct flow *f, const struct product_secret_record *secret)
{
    struct http_signature sig;
    enum http_signature_fault fault = HTTP_SIGNATURE_FAULT_NONE;
    struct record_key room;
    struct secret key;
    struct http_signature_field *fields = arena_array(&f->call->mem, f->call->request.fields.n + 1, sizeof *fields);
    if (!fields) {
        flow_refuse(f, REASON_OVERLOADED, 1, STR_NONE);
        return;
    }
    struct http_signature_message m = message_of(f, fields);
    enum err e = http_signature_read(&m, &f->call->mem, &sig, &fault);
    if (e != ERR_OK) {
        refuse(f, e == ERR_NOT_FOUND ? REASON_PRODUCT_PROOF_MISSING : REASON_PRODUCT_PROOF_WRONG,
               http_signature_fault_name(fault));
        return;
    }
    str place = record_key_join(&room, (const str[]){STR("control"), STR("secret"), f->product.name}, 3);
    e = seal_open(f->a->o.seal, place, secret->mac_key, &key);
    if (e != ERR_OK) {
        log_event(LOG_LEVEL_ERROR, log_msg("an apisecret does not open: sealed with another key"),
                  log_str("product", f->product.name));
        flow_refuse(f, REASON_INTERNAL, 0, STR_NONE);
        return;
    }
    e = http_signature_verify(&sig, f->product.name, secret_view(&key), (int64_t)(flow_now_ms(f) / 1000), &fault);
    secret_free(&key);
    if (e != ERR_OK)
        refuse(f, REASON_PRODUCT_PROOF_WRONG, http_signature_fault_name(fault));
    else
        remember(f, &sig);
}

/* --- the product --- */

static void prove(struct flow *f, const struct store_entry *entry)
{
    struct product_secret_record secret;
    if (f->product.proof == PROOF_NONE) {
        f->proved(f);
        return;
    }
    if (!entry->version) { /* it has to prove a secret that nobody gave it */
        refuse(f, REASON_PRODUCT_PROOF_WRONG, "no_secret");
        return;
    }
    enum err e = product_secret_read(entry->value, &f->call->mem, &secret);
    if (e != ERR_OK)
        flow_refuse(f, REASON_INTERNAL, 0, STR_NONE);
    else if (secret.disabled.n) /* until an administrator confirms it */
        refuse(f, REASON_PRODUCT_PROOF_WRONG, "secret_disabled");
    else if (f->product.proof == PROOF_BASIC)
        prove_basic(f, &secret);
    else
        prove_signature(f, &secret);
}

static void on_secret(struct flow *f)
{
    prove(f, &f->job.entries[0]);
}

static const enum product_login logins[] =
    {[PRODUCT_RECORD_LOGIN_NONE] = LOGIN_NONE, [PRODUCT_RECORD_LOGIN_PASSWORD] = LOGIN_PASSWORD};
static const enum product_proof proofs[] = {[PRODUCT_RECORD_PROOF_NONE] = PROOF_NONE,
                                            [PRODUCT_RECORD_PROOF_BASIC] = PROOF_BASIC,
                                            [PRODUCT_RECORD_PROOF_SIGNATURE] = PROOF_SIGNATURE};

static void on_product(struct flow *f)
{
    struct product_record p;
    const struct store_entry *e = &f->job.entries[1];
    enum err err = e->version ? product_record_read(e->value, &f->call->mem, &p) : ERR_NOT_FOUND;
    if (err != ERR_OK) {
        flow_refuse(f, err == ERR_NOT_FOUND ? REASON_LOGIN_NOT_ALLOWED : REASON_INTERNAL, 0, STR_NONE);
        return;
    }
    f->product.login = logins[p.login];
    f->product.proof = proofs[p.proof];
    f->product.users = p.users;
    if (flow_copy(f, &f->product.users)) prove(f, &f->job.entries[0]);
}

void product_prove(struct flow *f, void (*next)(struct flow *f))
{
    uint64_t retry_ms;
    str name = service_field(f->call, FIELD_X_PRODUCT);
    f->proved = next;
    if (!record_name_ok(name)) {
        flow_refuse(f, REASON_PRODUCT_NOT_GRANTED, 0, STR("no product: this socket is for gateways"));
        return;
    }
    f->product.name = name;
    const struct snapshot_product *p = snapshot_product(f->snapshot, name);
    if (p) f->product = (struct flow_product){name, p->login, p->proof, p->users};
    if (p && p->proof == PROOF_NONE) {
        next(f);
        return;
    }
    if (throttle_address(f->a->throttle, f->address, flow_now_ms(f), &retry_ms) != ERR_OK) {
        counter_add(&f->a->counts.throttled, 1);
        flow_refuse(f, REASON_LOGIN_THROTTLED, (uint32_t)(retry_ms / 1000 + 1), STR_NONE);
        return;
    }
    f->asked[0] = product_secret_key(&f->keys[0], name);
    f->asked[1] = product_record_key(&f->keys[1], name);
    flow_get(f, STORE_CONTROL, p ? 1 : 2, p ? on_secret : on_product);
}
