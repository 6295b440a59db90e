#include "net/tls_upstream.h"

#include "crypto/digest.h"
#include "crypto/secret.h"
#include "crypto/x509.h"
#include "net/tls_private.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct tls_upstream {
    _Atomic uint32_t refs;
    uint64_t serial; /* unlike that of any other of this process */
    SSL_CTX *ctx;
    char name[X509_NAME_MAX + 1];
    unsigned char made_from[SHA256_LEN];
};

/* A session is kept once the server has given a ticket for it; the newest one counts. Only over the instance's own
 * address and the same trust is it offered again. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_stream *s = tls_stream_of(ssl);
    if (!s->session || !SSL_SESSION_is_resumable(session)) return 0;
    SSL_SESSION_free(s->session->session);
    s->session->session = session;
    s->session->of = s->upstream->serial;
    return 1; /* the reference is ours */
}

void tls_session_free(struct tls_session *s)
{
    SSL_SESSION_free(s->session);
    *s = (struct tls_session){0};
}

static bool copy_name(str name, char out[X509_NAME_MAX + 1])
{
    if (str_ends(name, STR("."))) name.n--; /* the root's dot is no part of a certificate's name */
    if (name.n == 0 || name.n > X509_NAME_MAX || str_has(name, '\0')) return false;
    memcpy(out, name.p, name.n);
    out[name.n] = 0;
    return true;
}

static enum err show_ours(SSL_CTX *ctx, const struct tls_upstream_options *o, enum x509_fault *fault)
{
    struct x509_chain *c = NULL;
    struct x509_key *k = NULL;
    enum err e = x509_chain_parse(o->cert_pem, &c, fault);
    if (e == ERR_OK) e = x509_key_parse(o->key_pem, &k, fault);
    if (e == ERR_OK && !x509_key_fits(k, c)) {
        *fault = X509_FAULT_MISMATCH;
        e = ERR_MALFORMED;
    }
    if (e == ERR_OK && !tls_context_show(ctx, c, k)) {
        *fault = X509_FAULT_MEMORY;
        e = ERR_NO_MEMORY;
    }
    x509_key_free(&k);
    x509_chain_free(&c);
    return e;
}

static enum err set_up(SSL_CTX *ctx, const struct tls_upstream_options *o, char why[256])
{
    static const unsigned char alpn[] = "\x08http/1.1";
    enum x509_fault fault = X509_FAULT_MEMORY;
    struct x509_chain *authorities = NULL;
    const char *what = "its authorities";
    enum err e = tls_context_common(ctx, true) && SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn - 1) == 0
                     ? ERR_OK
                     : ERR_NO_MEMORY;
    if (e == ERR_OK && o->ca_pem.n) e = x509_bundle_parse(o->ca_pem, &authorities, &fault);
    if (e == ERR_OK &&
        !(o->ca_pem.n ? tls_context_trust(ctx, authorities) : SSL_CTX_set_default_verify_paths(ctx) == 1))
        e = ERR_NO_MEMORY;
    x509_chain_free(&authorities);
    if (e == ERR_OK && (o->cert_pem.n || o->key_pem.n)) {
        what = "our certificate";
        e = show_ours(ctx, o, &fault);
    }
    if (e != ERR_OK) {
        snprintf(why, 256, "%s: %s", what, x509_fault_text(fault));
        return e == ERR_NO_MEMORY ? e : ERR_MALFORMED;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    /* libssl calls us for each session; it keeps none itself */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    return ERR_OK;
}

static void options_digest(const struct tls_upstream_options *o, unsigned char out[SHA256_LEN])
{
    memset(out, 0, SHA256_LEN);
    tls_mix(out, o->ca_pem);
    tls_mix(out, o->name);
    tls_mix(out, o->cert_pem);
    tls_mix(out, o->key_pem);
}

bool tls_upstream_is(const struct tls_upstream *u, const struct tls_upstream_options *o)
{
    unsigned char digest[SHA256_LEN];
    options_digest(o, digest);
    return secret_equal(digest, u->made_from, sizeof digest);
}

enum err tls_upstream_new(const struct tls_upstream_options *o, struct tls_upstream **out, char why[256])
{
    snprintf(why, 256, "memory is out");
    ERR_clear_error();
    struct tls_upstream *u = calloc(1, sizeof *u);
    if (!u) return ERR_NO_MEMORY;
    static _Atomic uint64_t serials;
    u->refs = 1;
    u->serial = atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed) + 1;
    options_digest(o, u->made_from);
    enum err e = ERR_OK;
    if (o->name.n && !copy_name(o->name, u->name)) {
        snprintf(why, 256, "its name is none that a certificate could be for");
        e = ERR_MALFORMED;
    }
    if (e == ERR_OK) {
        u->ctx = SSL_CTX_new(TLS_client_method());
        e = u->ctx ? set_up(u->ctx, o, why) : ERR_NO_MEMORY;
    }
    ERR_clear_error();
    if (e != ERR_OK) {
        tls_upstream_unref(&u);
        return e;
    }
    why[0] = 0;
    *out = u;
    return ERR_OK;
}

bool tls_upstream_named(const struct tls_upstream *u)
{
    return u && u->name[0];
}

struct tls_upstream *tls_upstream_ref(struct tls_upstream *u)
{
    atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
    return u;
}

void tls_upstream_unref(struct tls_upstream **out)
{
    struct tls_upstream *u = *out;
    *out = NULL;
    if (!u || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) > 1) return;
    SSL_CTX_free(u->ctx);
    free(u);
}

/* Subject alternative names only, a wildcard only as the whole leftmost label (RFC 9525 §6.3). */
static bool expect_name(SSL *ssl, char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    unsigned char ip[sizeof(struct in6_addr)];
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

enum err tls_upstream_stream(struct tls_upstream *u, str name, int fd, struct tls_session *session,
                             struct tls_stream **out)
{
    char own[X509_NAME_MAX + 1];
    char *expected = u->name;
    if (name.n) {
        if (!copy_name(name, own)) return ERR_MALFORMED;
        expected = own;
    }
    if (!expected[0]) return ERR_MALFORMED; /* without a name nothing is verified: not asked at all */
    struct tls_stream *s;
    enum err e = tls_stream_new(u->ctx, fd, &s);
    if (e != ERR_OK) return e;
    s->upstream = tls_upstream_ref(u);
    s->session = session;
    SSL_set_connect_state(s->ssl);
    if (!expect_name(s->ssl, expected)) {
        tls_stream_free(&s, false);
        return ERR_NO_MEMORY;
    }
    if (session && session->session && session->of == u->serial) {
        (void)SSL_set_session(s->ssl, session->session);
        /* a ticket of TLS 1.3 is used once (RFC 8446 §C.4): the next connection has its own */
        if (SSL_SESSION_get_protocol_version(session->session) == TLS1_3_VERSION) tls_session_free(session);
    }
    ERR_clear_error();
    *out = s;
    return ERR_OK;
}

const struct tls_upstream *tls_stream_upstream(const struct tls_stream *s)
{
    return s->upstream;
}

void tls_upstream_forget(struct tls_stream *s)
{
    tls_upstream_unref(&s->upstream);
}
