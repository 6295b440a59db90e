/* GET /.well-known/jwks.json and /.well-known/openid-configuration: what verifiers elsewhere read. Only what is true is
 * said: there is no authorization endpoint and no token endpoint yet. */
#include "services/authentication_private.h"

#include <stdio.h>

#define DOCUMENT_MAX 16384

/* A verifier that keeps the document so long still sees a new key before it signs. */
static void cache_for(const struct authentication *a, char out[64])
{
    uint32_t ahead_s = a->snapshot->authentication.publish_ahead_s, rotate_s = a->snapshot->authentication.rotate_s;
    uint32_t s = (ahead_s < rotate_s / 2 ? ahead_s : rotate_s / 2) / 2;
    snprintf(out, 64, "public, max-age=%u", s > 300 ? 300 : s);
}

void jwks_run(struct service_call *call, void *owner)
{
    const struct authentication *a = owner;
    char cache[64];
    cache_for(a, cache);
    str jwks = signing_keys_jwks(a->keys);
    if (!signing_keys_current(a->keys)) /* an empty set would be kept by whoever asked too early */
        service_refuse(call, REASON_SIGNING_KEY_NONE, 1, STR_NONE);
    else
        service_answer(call, 200, jwks, cache);
}

static void put(struct buf *b, const char *name, str value)
{
    record_put_str(b, name, value);
}

/* OpenID Connect Discovery 1.0 §3; jwks_uri stands beside the issuer. */
void discovery_run(struct service_call *call, void *owner)
{
    const struct authentication *a = owner;
    const struct authentication_settings *s = &a->snapshot->authentication;
    struct signing_key *key = signing_keys_current(a->keys);
    char cache[64], uri[1024];
    struct buf b;
    if (!key) {
        service_refuse(call, REASON_SIGNING_KEY_NONE, 1, STR_NONE);
        return;
    }
    cache_for(a, cache);
    str issuer = str_ends(s->issuer, STR("/")) ? str_first(s->issuer, s->issuer.n - 1) : s->issuer;
    int n = snprintf(uri, sizeof uri, "%.*s/.well-known/jwks.json", STR_ARG(issuer));
    buf_init(&b, DOCUMENT_MAX);
    record_begin(&b);
    put(&b, "issuer", s->issuer);
    put(&b, "jwks_uri", str_make(uri, n > 0 && (size_t)n < sizeof uri ? (size_t)n : 0));
    record_put_list(&b, "response_types_supported", NULL, 0);
    record_put_list(&b, "subject_types_supported", (const str[]){STR("public")}, 1);
    str alg = str_of(alg_name(key->alg));
    record_put_list(&b, "id_token_signing_alg_values_supported", &alg, 1);
    buf_putc(&b, '}');
    if (b.bad)
        service_refuse(call, REASON_OVERLOADED, 1, STR_NONE);
    else
        service_answer(call, 200, buf_str(&b), cache);
    buf_free(&b);
}
