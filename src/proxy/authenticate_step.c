/* Who is calling? The product by its apikey, its signature or its client certificate, or by the token; the user by the
 * token. What is presented must hold, also where less would have been enough, and all of it must speak of one product.
 * Which of it counts, and what kind of caller that makes, callers.h decides. A token whose key is not known yet may
 * wait for a refresh, once. */
#include "base/clock.h"
#include "identity/apikey.h"
#include "proxy/signature.h"

#define KEYS_WAIT_MS 10000 /* longer than any fetch may take: should the answer be lost, nobody waits for ever */

/* --- what the store has fed us --- */

static bool fed_fresh(struct worker *w)
{
    uint64_t now = clock_mono_ns();
    if (now >= w->fed_until_ns) w->fed_until_ns = fed_until_ns(w->fed);
    return now < w->fed_until_ns;
}

bool exchange_fed_fresh(struct exchange *x)
{
    return fed_fresh(x->worker);
}

/* Which of its marks is revoked, or NULL. One token or session is named for good; of users, products and all it counts
 * when the token was issued. */
static const char *revoked(const struct fed *fed, const struct token_entry *e)
{
    if (e->marks[MARK_TOKEN] && fed_before(fed, e->marks[MARK_TOKEN]) != FED_NOT_MARKED) return "token";
    if (e->marks[MARK_SESSION] && fed_before(fed, e->marks[MARK_SESSION]) != FED_NOT_MARKED) return "session";
    if (e->iat_s <= fed_before(fed, e->marks[MARK_USER])) return "user";
    if (e->marks[MARK_PRODUCT] && e->iat_s <= fed_before(fed, e->marks[MARK_PRODUCT])) return "product";
    return e->iat_s <= fed_before(fed, fed_mark(FED_ALL, STR_NONE, STR_NONE)) ? "all" : NULL;
}

/* A token that was not compared with the latest revocations, or at a time that may be behind the lease. */
static enum step compare_token(struct exchange *x)
{
    struct worker *w = x->worker;
    if (!w->fed) return STEP_NEXT;
    if (!fed_fresh(w)) return refuse(x, REASON_FEED_STALE, NULL);
    const char *what = revoked(w->fed, x->token);
    if (what) return refuse(x, REASON_TOKEN_REVOKED, what);
    x->token->checked = w->fed_serial;
    return STEP_NEXT;
}

static enum step product_of_fed_key(struct exchange *x, str key, str id, const struct snapshot_product **out)
{
    struct worker *w = x->worker;
    const struct snapshot *snap = x->config->snap;
    if (!fed_fresh(w)) return refuse(x, REASON_FEED_STALE, NULL);
    const struct fed_key *known = fed_key_find(w->fed, id);
    if (!known || !apikey_matches(key, known->sha256)) return refuse(x, REASON_APIKEY_UNKNOWN, NULL);
    if (known->disabled) return refuse(x, REASON_APIKEY_DISABLED, NULL);
    if (known->expires_s && known->expires_s <= (int64_t)(x->started_ms / 1000))
        return refuse(x, REASON_APIKEY_EXPIRED, NULL);
    const struct snapshot_product *product = snapshot_fed_product(snap, known);
    if (!product || product->auth == PRODUCT_TOKEN) return refuse(x, REASON_APIKEY_UNKNOWN, "product");
    *out = product;
    return STEP_NEXT;
}

/* The product of a key: NULL and a reason when there is a key that does not hold. */
static enum step product_of_key(struct exchange *x, const struct snapshot_product **out)
{
    const struct fields *f = &x->down.request.fields;
    const struct snapshot *snap = x->config->snap;
    const struct field *key = fields_get(f, FIELD_APIKEY);
    struct apikey parts;
    *out = NULL;
    if (!key) return STEP_NEXT;
    if (fields_count(f, FIELD_APIKEY) > 1) return refuse(x, REASON_APIKEY_MALFORMED, "twice");
    if (apikey_parse(key->value, &parts) != ERR_OK) return refuse(x, REASON_APIKEY_MALFORMED, "form");
    const struct snapshot_key *known = snapshot_key(snap, parts.id);
    if (!known && x->worker->fed) return product_of_fed_key(x, key->value, parts.id, out);
    if (!known || !apikey_matches(key->value, known->sha256)) return refuse(x, REASON_APIKEY_UNKNOWN, NULL);
    *out = &snap->products[known->product];
    return STEP_NEXT;
}

static enum step find_token(struct exchange *x)
{
    const struct fields *f = &x->down.request.fields;
    const struct field *a = fields_get(f, FIELD_AUTHORIZATION);
    x->unverified_token = STR_NONE;
    if (!a) return STEP_NEXT;
    if (fields_count(f, FIELD_AUTHORIZATION) > 1) return refuse(x, REASON_TOKEN_MALFORMED, "twice");
    if (UNLIKELY(x->action->proof)) return STEP_NEXT;  /* the product's proof, which its service judges */
    bool usual = str_starts(a->value, STR("Bearer ")); /* nearly all write it so */
    if (a->value.n < 8 || (!usual && !str_ieq(str_first(a->value, 7), STR("Bearer "))))
        return refuse(x, REASON_TOKEN_MALFORMED, "scheme");
    str token = str_from(a->value, 7);
    while (token.n && token.p[0] == ' ') token = str_from(token, 1);
    if (!token.n) return refuse(x, REASON_TOKEN_MALFORMED, "form");
    x->unverified_token = token;
    return STEP_NEXT;
}

static enum reason reason_of_jwt(enum jwt_fault f)
{
    switch (f) {
    case JWT_FAULT_SIZE:
    case JWT_FAULT_FORM:
    case JWT_FAULT_ENCRYPTED:
    case JWT_FAULT_BASE64:
    case JWT_FAULT_HEADER:
    case JWT_FAULT_CRIT:
    case JWT_FAULT_PAYLOAD: return REASON_TOKEN_MALFORMED;
    case JWT_FAULT_ALG:
    case JWT_FAULT_KEY_MISMATCH: return REASON_TOKEN_ALGORITHM;
    case JWT_FAULT_TYP:
    case JWT_FAULT_KIND:
    case JWT_FAULT_BOUND: return REASON_TOKEN_TYPE;
    case JWT_FAULT_ISS:
    case JWT_FAULT_UNKNOWN_ISSUER: return REASON_TOKEN_ISSUER_UNKNOWN;
    case JWT_FAULT_KEYS_UNAVAILABLE: return REASON_KEYS_UNAVAILABLE;
    case JWT_FAULT_UNKNOWN_KID:
    case JWT_FAULT_KEY_AMBIGUOUS: return REASON_TOKEN_KEY_UNKNOWN;
    case JWT_FAULT_SIGNATURE: return REASON_TOKEN_SIGNATURE;
    case JWT_FAULT_EXPIRED: return REASON_TOKEN_EXPIRED;
    case JWT_FAULT_NOT_YET:
    case JWT_FAULT_ISSUED_LATER: return REASON_TOKEN_NOT_YET_VALID;
    case JWT_FAULT_AUD: return REASON_TOKEN_AUDIENCE;
    case JWT_FAULT_EXP:
    case JWT_FAULT_TIME:
    case JWT_FAULT_SUB:
    case JWT_FAULT_CLAIM: return REASON_TOKEN_CLAIMS;
    case JWT_FAULT_PRODUCT: return REASON_TOKEN_PRODUCT;
    case JWT_FAULT_NONE:
    case JWT_FAULT_MEMORY: break;
    }
    return REASON_INTERNAL;
}

static enum step refused_token(struct exchange *x, const struct jwt_refusal *why)
{
    struct worker *w = x->worker;
    bool missing = why->fault == JWT_FAULT_UNKNOWN_KID;
    if (missing && !x->waited_for_keys && worker_want_keys(w, x->config, why->issuer)) {
        struct issuer_keys *k = &x->config->keys[why->issuer];
        x->waited_for_keys = true;
        x->next_waiting = k->first;
        x->waiting_link = &k->first;
        if (k->first) k->first->waiting_link = &x->next_waiting;
        k->first = x;
        exchange_stage(x, STAGE_KEYS, loop_now_ms(w->loop) + KEYS_WAIT_MS);
        return STEP_WAIT;
    }
    return refuse(x, reason_of_jwt(why->fault), jwt_fault_name(why->fault));
}

void authenticate_cancel(struct exchange *x)
{
    if (!x->waiting_link) return;
    *x->waiting_link = x->next_waiting;
    if (x->next_waiting) x->next_waiting->waiting_link = x->waiting_link;
    x->waiting_link = NULL;
    x->stage = STAGE_NONE;
}

void authenticate_wake(struct issuer_keys *k)
{
    /* each runs the whole street from here and may end; none can join again: they wait once */
    while (k->first) {
        struct exchange *x = k->first;
        authenticate_cancel(x);
        exchange_resume(x);
    }
}

static enum step verify_token(struct exchange *x)
{
    struct worker *w = x->worker;
    struct worker_snapshot *c = x->config;
    int64_t now_s = (int64_t)(x->started_ms / 1000);
    x->token = token_cache_find(&w->tokens, x->unverified_token, now_s, c->serial, c->keysets);
    if (LIKELY(x->token != NULL)) {
        bool compared = x->token->checked == w->fed_serial && x->started_ns < w->fed_until_ns;
        return LIKELY(compared && !x->waited_for_keys) ? STEP_NEXT : compare_token(x);
    }
    struct claims claims;
    struct jwt_refusal why = {0};
    w->verifier.of = c->snap;
    w->verifier.keysets = c->keysets;
    w->verifier.n_keysets = c->snap->n_issuers;
    counter_add(&w->numbers.signatures, 1);
    enum err e = access_token_verify(&w->verifier, x->unverified_token, now_s, &w->verify_mem, &claims, &why);
    if (e == ERR_OK) x->token = token_cache_put(&w->tokens, x->unverified_token, &claims, c->snap, c->serial);
    enum step next = STEP_NEXT;
    if (e != ERR_OK)
        next = refused_token(x, &why);
    else if (!x->token)
        next = refuse(x, REASON_INTERNAL, "memory");
    else
        next = compare_token(x);
    arena_reset(&w->verify_mem);
    return next;
}

/* A token that names no product is this one's now: what was revoked of the product counts for it. */
static bool product_revoked(const struct exchange *x)
{
    const struct fed *fed = x->worker->fed;
    return fed && !x->token->marks[MARK_PRODUCT] && x->token->iat_s <= fed_before(fed, x->product->mark);
}

/* Both say something about the product: they must agree. */
static enum step choose_product(struct exchange *x, const struct snapshot_product *own)
{
    const struct snapshot *snap = x->config->snap;
    if (!x->token) {
        x->product = own;
        return STEP_NEXT;
    }
    const struct caller *who = &x->token->caller;
    if (own) {
        bool vouched = name_set_has(&snap->issuers[who->issuer].issuer->products, own->name);
        if (!vouched || (who->product.n && !str_eq(who->product, own->name)))
            return refuse(x, REASON_PRODUCT_MISMATCH, NULL);
        x->product = own;
        return UNLIKELY(product_revoked(x)) ? refuse(x, REASON_TOKEN_REVOKED, "product") : STEP_NEXT;
    }
    x->product = who->known_product;
    if (!x->product) return refuse(x, REASON_TOKEN_PRODUCT, NULL);
    if (x->product->auth == PRODUCT_APIKEY) {
        x->product = NULL;
        return refuse(x, REASON_APIKEY_MISSING, NULL);
    }
    return STEP_NEXT;
}

/* --- what else a product may prove itself by --- */

/* One more credential of a product: of the same as those before. */
static enum step also(struct exchange *x, const struct snapshot_product *p, uint8_t credential,
                      const struct snapshot_product **own, uint8_t *verified)
{
    if (*own && *own != p) return refuse(x, REASON_PRODUCT_MISMATCH, credential_name(credential));
    *own = p;
    *verified |= credential;
    return STEP_NEXT;
}

/* Signature and client certificate. A certificate that is no product's says nothing, so it is in nobody's way; alone,
 * where one is wanted, it is told. */
static enum step other_proofs(struct exchange *x, const struct snapshot_product **own, uint8_t *verified)
{
    const struct snapshot_product *p = NULL;
    uint8_t any = snapshot_action_accepts_any(x->action);
    enum step next = STEP_NEXT;
    const struct tls_peer *tls = x->down.tls;
    bool certificate = tls && tls->certificate;
    if (certificate) p = snapshot_certificate_product(x->config->snap, tls->spki_sha256);
    if (p) next = also(x, p, ACCEPT_CERTIFICATE, own, verified);
    if (next == STEP_NEXT && any & ACCEPT_SIGNATURE && signature_presented(x)) {
        next = signature_verify(x, &p);
        if (next == STEP_NEXT) next = also(x, p, ACCEPT_SIGNATURE, own, verified);
    }
    if (next == STEP_NEXT && certificate && any & ACCEPT_CERTIFICATE && !*verified && !x->token)
        next = refuse(x, REASON_CERTIFICATE_UNKNOWN, NULL);
    return next;
}

/* Which of what holds counts, and for whom. */
static enum step choose_caller(struct exchange *x, const struct snapshot_product *own, uint8_t verified)
{
    struct callers_verified v = {.credentials = verified};
    struct callers_choice choice = {0};
    enum reason why = REASON_INTERNAL;
    const char *fault = NULL;
    if (own) v.of_product = own->caller;
    if (x->token) {
        v.credentials |= ACCEPT_TOKEN;
        v.of_token = x->token->caller.kind;
    }
    if (callers_choose(x->action->accept, &v, &choice, &why, &fault) != ERR_OK) return refuse(x, why, fault);
    x->caller = choice.kind;
    x->credential = choice.credential;
    return STEP_NEXT;
}

/* Whether any kind of caller may sign: all of them in one look. */
static bool takes_signatures(const struct snapshot_action *a)
{
    uint32_t kinds;
    _Static_assert(sizeof a->accept == sizeof kinds, "a byte for each kind of caller");
    memcpy(&kinds, a->accept, sizeof kinds);
    return kinds & ACCEPT_SIGNATURE * 0x01010101u;
}

enum step authenticate_step(struct exchange *x)
{
    const struct snapshot_product *own;
    const struct snapshot_action *a = x->action;
    if (a->is_public) return STEP_NEXT;
    enum step next = find_token(x);
    if (next == STEP_NEXT) next = product_of_key(x, &own);
    if (next == STEP_NEXT && x->unverified_token.n) next = verify_token(x);
    if (next != STEP_NEXT) return next;
    uint8_t verified = own ? ACCEPT_APIKEY : 0;
    if (UNLIKELY(x->down.tls || takes_signatures(a))) {
        next = other_proofs(x, &own, &verified);
        if (next != STEP_NEXT) return next;
    }
    if (LIKELY(x->token && a->accept[x->token->caller.kind] & ACCEPT_TOKEN)) { /* nearly always, so not by way of it */
        x->caller = x->token->caller.kind;
        x->credential = ACCEPT_TOKEN;
    } else {
        next = choose_caller(x, own, verified);
        if (next != STEP_NEXT) return next;
    }
    return choose_product(x, own);
}
