/* One SSL_CTX for each pair (an ECDSA certificate, an RSA one) that some name needs: a client names a host, gets the
 * pair of that name, and of the pair what it can verify. The first certificate's pair is for those who name nothing we
 * know; with only one pair there is nothing to look up. */
#include "net/tls_server.h"

#include "base/map.h"
#include "crypto/digest.h"
#include "crypto/x509.h"
#include "net/tls_private.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define CERTIFICATES_MAX 256
#define NONE             UINT32_MAX

struct certificate {
    struct x509_chain *chain;
    struct x509_key *key;
    char *label;
    unsigned char *ocsp;
    size_t ocsp_n;
    int64_t ocsp_until_s;
};

struct pair {
    uint32_t ecdsa, rsa; /* certificates, or NONE */
    SSL_CTX *ctx;
};

/* A name that some certificate is for. */
struct name {
    uint32_t ecdsa, rsa, pair;
};

struct tls_server {
    _Atomic uint32_t refs;
    struct certificate *certificates;
    size_t n;
    struct pair *pairs; /* the first is the default */
    size_t n_pairs, cap_pairs;
    struct name *names;
    size_t n_names, cap_names;
    struct map by_name; /* text of the certificates → struct name */
    struct tls_tickets *tickets;
    uint32_t tickets_s;
    bool tls12;
    struct x509_chain *clients;
    unsigned char clients_id[SHA256_LEN]; /* sessions are only good where the same clients are */
    unsigned char made_from[SHA256_LEN];
};

/* --- what libssl asks during a handshake --- */

/* Only http/1.1 is spoken; who offers a list without it is told so (RFC 7301 §3.2). */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                           unsigned in_n, void *arg)
{
    (void)ssl, (void)arg;
    static const unsigned char ours[] = "http/1.1";
    for (unsigned at = 0; at < in_n; at += 1u + in[at]) {
        if (in[at] != sizeof ours - 1 || in_n - at < sizeof ours || memcmp(in + at + 1, ours, sizeof ours - 1) != 0)
            continue;
        *out = in + at + 1;
        *n = in[at];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static struct pair *pair_of(const struct tls_server *t, const char *asked)
{
    char name[X509_NAME_MAX + 1];
    size_t n = 0;
    for (; n < sizeof name && asked[n]; n++)
        name[n] = asked[n] >= 'A' && asked[n] <= 'Z' ? (char)(asked[n] | 0x20) : asked[n];
    if (n && name[n - 1] == '.') n--;
    if (n == 0 || n > X509_NAME_MAX) return &t->pairs[0];
    struct name *found = map_get(&t->by_name, str_make(name, n));
    size_t dot = str_find(str_make(name, n), '.');
    if (!found && dot > 0 && dot < n) { /* "*.example.com": the whole leftmost label (RFC 9525 §6.3) */
        name[dot - 1] = '*';
        found = map_get(&t->by_name, str_make(name + dot - 1, n - dot + 1));
    }
    return &t->pairs[found ? found->pair : 0];
}

static int choose_certificate(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    const struct tls_server *t = arg;
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!asked) return SSL_TLSEXT_ERR_NOACK;
    const struct pair *p = pair_of(t, asked);
    if (p != &t->pairs[0] && !SSL_set_SSL_CTX(ssl, p->ctx)) return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

/* The answer about the certificate in use, as long as it holds. */
static int staple(SSL *ssl, void *arg)
{
    const struct tls_server *t = arg;
    const X509 *shown = SSL_get_certificate(ssl);
    int64_t now_s = (int64_t)tls_stream_of(ssl)->now_s;
    for (size_t i = 0; i < t->n; i++) {
        const struct certificate *c = &t->certificates[i];
        if (x509_chain_handle(c->chain, 0) != shown) continue;
        if (!c->ocsp || (c->ocsp_until_s && now_s >= c->ocsp_until_s)) break;
        unsigned char *copy = OPENSSL_memdup(c->ocsp, c->ocsp_n);
        if (!copy) break;
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)c->ocsp_n);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* -1: no memory; 0: not one of ours; 1: good; 2: good, to be replaced. */
static int ticket_keys(SSL *ssl, unsigned char name[TICKET_NAME_LEN], unsigned char iv[TICKET_IV_LEN],
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    const struct tls_stream *s = tls_stream_of(ssl);
    const struct tls_server *t = s->server;
    struct ticket_key k;
    bool old = false, ok;
    if (sealing) {
        tls_tickets_seal_key(t->tickets, t->tickets_s, s->now_s, &k);
        memcpy(name, k.name, sizeof k.name);
        ok = ticket_key_seal(&k, iv, cipher, mac);
    } else {
        if (!tls_tickets_open_key(t->tickets, t->tickets_s, s->now_s, name, &k, &old)) return 0;
        ok = ticket_key_open(&k, iv, cipher, mac);
    }
    secret_wipe(&k, sizeof k);
    return !ok ? -1 : old ? 2 : 1;
}

/* Who is in a ticket was verified when it was made; that its certificate has not expired is asked again. */
static SSL_TICKET_RETURN ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t n,
                                       SSL_TICKET_STATUS status, void *arg)
{
    (void)name, (void)n, (void)arg;
    bool good = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
    const X509 *x = good ? SSL_SESSION_get0_peer(session) : NULL;
    if (x && x509_handle_not_after_s(x) < (int64_t)tls_stream_of(ssl)->now_s) return SSL_TICKET_RETURN_IGNORE_RENEW;
    switch (status) {
    case SSL_TICKET_SUCCESS: /* with TLS 1.3 a ticket is used once (RFC 8446 §C.4): the next comes with this one */
        return SSL_version(ssl) == TLS1_3_VERSION ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
    case SSL_TICKET_SUCCESS_RENEW: return SSL_TICKET_RETURN_USE_RENEW;
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT: return SSL_TICKET_RETURN_IGNORE_RENEW;
    default: return SSL_TICKET_RETURN_ABORT;
    }
}

static int ticket_made(SSL *ssl, void *arg)
{
    (void)ssl, (void)arg;
    return 1;
}

/* --- making contexts --- */

static bool set_tickets(struct tls_server *t, SSL_CTX *ctx)
{
    if (!t->tickets || !t->tickets_s) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        return SSL_CTX_set_num_tickets(ctx, 0) == 1;
    }
    (void)SSL_CTX_set_timeout(ctx, (long)t->tickets_s);
    return SSL_CTX_set_num_tickets(ctx, 1) == 1 && SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_keys) == 1 &&
           SSL_CTX_set_session_ticket_cb(ctx, ticket_made, ticket_opened, NULL) == 1;
}

static bool set_clients(const struct tls_server *t, SSL_CTX *ctx)
{
    if (SSL_CTX_set_session_id_context(ctx, t->clients_id, sizeof t->clients_id) != 1) return false;
    if (!t->clients) return true;
    for (size_t i = 0; i < x509_chain_count(t->clients); i++)
        if (SSL_CTX_add_client_CA(ctx, x509_chain_handle(t->clients, i)) != 1) return false;
    /* asked for, not demanded; one that is shown and does not verify ends the handshake */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return tls_context_trust(ctx, t->clients) && SSL_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) == 1;
}

static SSL_CTX *make_context(struct tls_server *t, uint32_t ecdsa, uint32_t rsa)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) return NULL;
    const struct certificate *e = ecdsa == NONE ? NULL : &t->certificates[ecdsa];
    const struct certificate *r = rsa == NONE ? NULL : &t->certificates[rsa];
    if (!tls_context_common(ctx, t->tls12) || (r && !tls_context_show(ctx, r->chain, r->key)) ||
        (e && !tls_context_show(ctx, e->chain, e->key)) || !set_tickets(t, ctx) || !set_clients(t, ctx)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    (void)SSL_CTX_set_tlsext_status_cb(ctx, staple);
    (void)SSL_CTX_set_tlsext_status_arg(ctx, t);
    return ctx;
}

static enum err pair_for(struct tls_server *t, uint32_t ecdsa, uint32_t rsa, uint32_t *out)
{
    for (size_t i = 0; i < t->n_pairs; i++)
        if (t->pairs[i].ecdsa == ecdsa && t->pairs[i].rsa == rsa) {
            *out = (uint32_t)i;
            return ERR_OK;
        }
    if (t->n_pairs == t->cap_pairs) {
        size_t cap = t->cap_pairs ? 2 * t->cap_pairs : 2;
        struct pair *more = realloc(t->pairs, cap * sizeof *more);
        if (!more) return ERR_NO_MEMORY;
        t->pairs = more;
        t->cap_pairs = cap;
    }
    SSL_CTX *ctx = make_context(t, ecdsa, rsa);
    if (!ctx) return ERR_NO_MEMORY;
    t->pairs[t->n_pairs] = (struct pair){ecdsa, rsa, ctx};
    *out = (uint32_t)t->n_pairs++;
    return ERR_OK;
}

/* --- names --- */

static void offer(const struct tls_server *t, struct name *n, uint32_t certificate)
{
    uint32_t *place = x509_chain_is_rsa(t->certificates[certificate].chain) ? &n->rsa : &n->ecdsa;
    if (*place == NONE) *place = certificate; /* the first one counts */
}

static enum err add_names(struct tls_server *t, uint32_t certificate)
{
    const struct x509_chain *c = t->certificates[certificate].chain;
    for (size_t i = 0; i < x509_chain_names(c); i++) {
        str text = x509_chain_name(c, i);
        struct name *n = map_get(&t->by_name, text);
        if (!n) {
            n = &t->names[t->n_names];
            *n = (struct name){NONE, NONE, 0};
            enum err e = map_put(&t->by_name, text, n, NULL);
            if (e != ERR_OK) return e;
            t->n_names++;
        }
        offer(t, n, certificate);
    }
    return ERR_OK;
}

/* "a.example.com" of an ECDSA certificate and "*.example.com" of an RSA one are both good for the former. */
static void fill_from_wildcard(struct tls_server *t, str text, struct name *n)
{
    char wild[X509_NAME_MAX + 2];
    size_t dot = str_find(text, '.');
    if (dot == 0 || dot == text.n || text.p[0] == '*') return;
    str rest = str_from(text, dot);
    wild[0] = '*';
    memcpy(wild + 1, rest.p, rest.n);
    const struct name *w = map_get(&t->by_name, str_make(wild, rest.n + 1));
    if (!w) return;
    if (n->ecdsa == NONE) n->ecdsa = w->ecdsa;
    if (n->rsa == NONE) n->rsa = w->rsa;
}

static enum err make_names(struct tls_server *t)
{
    size_t most = 0, at = 0;
    for (size_t i = 0; i < t->n; i++) most += x509_chain_names(t->certificates[i].chain);
    t->names = calloc(most ? most : 1, sizeof *t->names);
    if (!t->names) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < t->n; i++) {
        enum err e = add_names(t, i);
        if (e != ERR_OK) return e;
    }
    for (const struct map_slot *s = map_next(&t->by_name, &at); s; s = map_next(&t->by_name, &at))
        fill_from_wildcard(t, s->key, s->value);
    struct name first = {NONE, NONE, 0};
    offer(t, &first, 0);
    if (x509_chain_names(t->certificates[0].chain)) {
        const struct name *n = map_get(&t->by_name, x509_chain_name(t->certificates[0].chain, 0));
        if (n && first.ecdsa == NONE) first.ecdsa = n->ecdsa;
        if (n && first.rsa == NONE) first.rsa = n->rsa;
    }
    enum err e = pair_for(t, first.ecdsa, first.rsa, &first.pair);
    for (size_t i = 0; e == ERR_OK && i < t->n_names; i++)
        e = pair_for(t, t->names[i].ecdsa, t->names[i].rsa, &t->names[i].pair);
    for (size_t i = 0; e == ERR_OK && t->n_pairs > 1 && i < t->n_pairs; i++) {
        (void)SSL_CTX_set_tlsext_servername_callback(t->pairs[i].ctx, choose_certificate);
        (void)SSL_CTX_set_tlsext_servername_arg(t->pairs[i].ctx, t);
    }
    return e;
}

/* --- reading the files --- */

static enum err wrong(char why[256], str label, const char *what, enum err e)
{
    snprintf(why, 256, "%.*s: %s", STR_ARG(str_first(label, 160)), what);
    return e == ERR_NO_MEMORY ? e : ERR_MALFORMED;
}

static enum err read_certificate(const struct tls_server_certificate *from, struct certificate *c, char why[256])
{
    enum x509_fault fault = X509_FAULT_MEMORY;
    enum err e = x509_chain_parse(from->cert_pem, &c->chain, &fault);
    if (e == ERR_OK) e = x509_key_parse(from->key_pem, &c->key, &fault);
    if (e == ERR_OK && !x509_key_fits(c->key, c->chain)) {
        e = ERR_DENIED;
        fault = X509_FAULT_MISMATCH;
    }
    if (e != ERR_OK) return wrong(why, from->label, x509_fault_text(fault), e);
    c->label = strndup(from->label.p ? from->label.p : "", from->label.n);
    if (!c->label) return wrong(why, from->label, x509_fault_text(X509_FAULT_MEMORY), ERR_NO_MEMORY);
    if (!from->ocsp_der.n) return ERR_OK;
    e = x509_ocsp_check(c->chain, from->ocsp_der, &c->ocsp_until_s, &fault);
    if (e != ERR_OK) return wrong(why, from->label, x509_fault_text(fault), e);
    c->ocsp = malloc(from->ocsp_der.n);
    if (!c->ocsp) return wrong(why, from->label, x509_fault_text(X509_FAULT_MEMORY), ERR_NO_MEMORY);
    memcpy(c->ocsp, from->ocsp_der.p, from->ocsp_der.n);
    c->ocsp_n = from->ocsp_der.n;
    return ERR_OK;
}

static void server_free(struct tls_server *t)
{
    for (size_t i = 0; i < t->n_pairs; i++) SSL_CTX_free(t->pairs[i].ctx);
    map_free(&t->by_name);
    for (size_t i = 0; i < t->n; i++) {
        x509_chain_free(&t->certificates[i].chain);
        x509_key_free(&t->certificates[i].key);
        free(t->certificates[i].label);
        free(t->certificates[i].ocsp);
    }
    x509_chain_free(&t->clients);
    tls_tickets_unref(&t->tickets);
    free(t->certificates);
    free(t->names);
    free(t->pairs);
    free(t);
}

static enum err fill(struct tls_server *t, const struct tls_server_options *o, char why[256])
{
    enum x509_fault fault = X509_FAULT_MEMORY;
    t->certificates = calloc(o->n, sizeof *t->certificates);
    if (!t->certificates) return ERR_NO_MEMORY;
    for (; t->n < o->n; t->n++) { /* what a failed one holds is freed, too */
        enum err e = read_certificate(&o->certificates[t->n], &t->certificates[t->n], why);
        if (e == ERR_OK) continue;
        t->n++;
        return e;
    }
    if (o->clients_ca_pem.n) {
        enum err e = x509_bundle_parse(o->clients_ca_pem, &t->clients, &fault);
        if (e != ERR_OK) return wrong(why, STR("authorities of clients"), x509_fault_text(fault), e);
    }
    sha256(o->clients_ca_pem, t->clients_id);
    return make_names(t);
}

static void options_digest(const struct tls_server_options *o, unsigned char out[SHA256_LEN])
{
    uint32_t numbers[] = {o->tls12, o->tickets_s, o->tickets != NULL, (uint32_t)o->n};
    memset(out, 0, SHA256_LEN);
    tls_mix(out, str_make((const char *)numbers, sizeof numbers));
    tls_mix(out, o->clients_ca_pem);
    for (size_t i = 0; i < o->n; i++) {
        const struct tls_server_certificate *c = &o->certificates[i];
        tls_mix(out, c->cert_pem);
        tls_mix(out, c->key_pem);
        tls_mix(out, c->ocsp_der);
        tls_mix(out, c->label);
    }
}

bool tls_server_is(const struct tls_server *t, const struct tls_server_options *o)
{
    unsigned char digest[SHA256_LEN];
    options_digest(o, digest);
    return secret_equal(digest, t->made_from, sizeof digest);
}

enum err tls_server_new(const struct tls_server_options *o, struct tls_server **out, char why[256])
{
    snprintf(why, 256, "memory is out");
    if (o->n == 0 || o->n > CERTIFICATES_MAX) {
        snprintf(why, 256, o->n ? "too many certificates" : "no certificate");
        return ERR_MALFORMED;
    }
    ERR_clear_error();
    struct tls_server *t = calloc(1, sizeof *t);
    if (!t) return ERR_NO_MEMORY;
    t->refs = 1;
    t->tls12 = o->tls12;
    t->tickets_s = o->tickets_s;
    t->tickets = o->tickets ? tls_tickets_ref(o->tickets) : NULL;
    options_digest(o, t->made_from);
    enum err e = fill(t, o, why);
    ERR_clear_error();
    if (e != ERR_OK) {
        server_free(t);
        return e;
    }
    why[0] = 0;
    *out = t;
    return ERR_OK;
}

struct tls_server *tls_server_ref(struct tls_server *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_server_unref(struct tls_server **out)
{
    struct tls_server *t = *out;
    *out = NULL;
    if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1) server_free(t);
}

/* --- streams --- */

enum err tls_server_stream(struct tls_server *t, int fd, struct tls_stream **out)
{
    struct tls_stream *s;
    enum err e = tls_stream_new(t->pairs[0].ctx, fd, &s);
    if (e != ERR_OK) return e;
    s->server = tls_server_ref(t);
    SSL_set_accept_state(s->ssl);
    *out = s;
    return ERR_OK;
}

void tls_server_forget(struct tls_stream *s)
{
    tls_server_unref(&s->server);
}

/* --- what there is to tell --- */

size_t tls_server_certificates(const struct tls_server *t)
{
    return t->n;
}

struct tls_certificate_facts tls_server_certificate_facts(const struct tls_server *t, size_t i)
{
    const struct certificate *c = &t->certificates[i];
    return (struct tls_certificate_facts){.label = str_of(c->label),
                                          .name = x509_chain_name(c->chain, 0),
                                          .not_after_s = x509_chain_not_after_s(c->chain),
                                          .ocsp = c->ocsp != NULL,
                                          .ocsp_until_s = c->ocsp_until_s};
}
