#include "crypto/x509.h"

#include "crypto/digest.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#define BUNDLE_MAX  4096
#define PEM_MAX     (4u << 20)
#define RSA_BITS    2048
#define RSA_BITS_UP 8192

struct x509_chain {
    X509 **v;
    size_t n, cap;
    struct {
        char *text;
        size_t n;
    } names[X509_NAMES_MAX];
    size_t n_names;
    int64_t not_before_s, not_after_s;
    unsigned char spki[X509_SPKI_LEN];
    bool rsa;
};

struct x509_key {
    EVP_PKEY *pkey;
};

const char *x509_fault_text(enum x509_fault f)
{
    switch (f) {
    case X509_FAULT_NONE: return "nothing is wrong";
    case X509_FAULT_NO_CERTIFICATE: return "there is no PEM block CERTIFICATE in it";
    case X509_FAULT_CERTIFICATE: return "a block CERTIFICATE of it is no certificate that can be read";
    case X509_FAULT_MANY: return "it has too many certificates, or one of too many names";
    case X509_FAULT_NO_KEY: return "there is no private key in PEM in it that can be read";
    case X509_FAULT_ENCRYPTED: return "the private key is encrypted: a pass phrase cannot be given";
    case X509_FAULT_KIND: return "its key is neither RSA of 2048 to 8192 bits nor ECDSA on P-256 or P-384";
    case X509_FAULT_MISMATCH: return "the private key does not belong to the certificate";
    case X509_FAULT_OCSP: return "it is no OCSP answer in DER, or one that tells of a failure";
    case X509_FAULT_OCSP_OTHER: return "the OCSP answer is about another certificate, or not signed for its issuer";
    case X509_FAULT_OCSP_REVOKED: return "the OCSP answer does not call the certificate good";
    case X509_FAULT_MEMORY: return "memory is out";
    }
    return "it cannot be read";
}

static enum err failed(enum err e, enum x509_fault f, enum x509_fault *out)
{
    ERR_clear_error();
    if (out) *out = f;
    return e;
}

/* Whether the last thing that libcrypto complained of was a lack of memory. */
static bool out_of_memory(void)
{
    return ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;
}

/* --- certificates --- */

static bool seconds(const ASN1_TIME *t, int64_t *out)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days, rest;
    bool ok = epoch && t && ASN1_TIME_diff(&days, &rest, epoch, t);
    if (ok) *out = (int64_t)days * 86400 + rest;
    ASN1_TIME_free(epoch);
    return ok;
}

/* RSA that is long enough, or ECDSA on a curve that TLS clients know. */
static bool kind_ok(EVP_PKEY *k, bool *rsa)
{
    int bits = EVP_PKEY_get_bits(k);
    *rsa = EVP_PKEY_get_base_id(k) == EVP_PKEY_RSA;
    if (*rsa) return bits >= RSA_BITS && bits <= RSA_BITS_UP;
    char curve[32];
    size_t n;
    if (EVP_PKEY_get_base_id(k) != EVP_PKEY_EC || !EVP_PKEY_get_group_name(k, curve, sizeof curve, &n)) return false;
    return str_eq(str_make(curve, n), STR("prime256v1")) || str_eq(str_make(curve, n), STR("secp384r1"));
}

/* Letters, digits, '-', '.', and "*." before them; folded into `out`. */
static bool host_name(str in, char *out)
{
    if (in.n == 0 || in.n > X509_NAME_MAX) return false;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '_' || (c == '.' && i) || (c == '*' && i == 0 && in.n > 2 && in.p[1] == '.');
        if (!fine) return false;
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    return true;
}

static enum err take_names(struct x509_chain *c)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(c->v[0], NID_subject_alt_name, NULL, NULL);
    enum err e = ERR_OK;
    for (int i = 0; e == ERR_OK && i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        char folded[X509_NAME_MAX];
        if (g->type != GEN_DNS) continue;
        str text =
            str_make((const char *)ASN1_STRING_get0_data(g->d.dNSName), (size_t)ASN1_STRING_length(g->d.dNSName));
        if (!host_name(text, folded)) continue;
        if (c->n_names == X509_NAMES_MAX) {
            e = ERR_LIMIT;
            break;
        }
        char *copy = malloc(text.n);
        if (!copy) {
            e = ERR_NO_MEMORY;
            break;
        }
        memcpy(copy, folded, text.n);
        c->names[c->n_names].text = copy;
        c->names[c->n_names++].n = text.n;
    }
    GENERAL_NAMES_free(all);
    return e;
}

static enum err take_facts(struct x509_chain *c, bool of_ours, enum x509_fault *fault)
{
    X509 *leaf = c->v[0];
    EVP_PKEY *k = X509_get0_pubkey(leaf);
    if (!seconds(X509_get0_notBefore(leaf), &c->not_before_s) || !seconds(X509_get0_notAfter(leaf), &c->not_after_s) ||
        (of_ours && !k))
        return failed(out_of_memory() ? ERR_NO_MEMORY : ERR_MALFORMED,
                      out_of_memory() ? X509_FAULT_MEMORY : X509_FAULT_CERTIFICATE, fault);
    if (of_ours && !kind_ok(k, &c->rsa)) return failed(ERR_UNSUPPORTED, X509_FAULT_KIND, fault);
    x509_handle_spki_sha256(leaf, c->spki);
    enum err e = take_names(c);
    if (e == ERR_OK) return ERR_OK;
    return failed(e, e == ERR_LIMIT ? X509_FAULT_MANY : X509_FAULT_MEMORY, fault);
}

static bool append(struct x509_chain *c, X509 *x)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 4;
        X509 **v = realloc(c->v, cap * sizeof(X509 *));
        if (!v) return false;
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n++] = x;
    return true;
}

/* All blocks CERTIFICATE. */
static enum err read_all(struct x509_chain *c, BIO *in, size_t max, enum x509_fault *fault)
{
    for (;;) {
        X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
        if (!x) break;
        if (c->n == max) {
            X509_free(x);
            return failed(ERR_LIMIT, X509_FAULT_MANY, fault);
        }
        if (!append(c, x)) {
            X509_free(x);
            return failed(ERR_NO_MEMORY, X509_FAULT_MEMORY, fault);
        }
    }
    if (out_of_memory()) return failed(ERR_NO_MEMORY, X509_FAULT_MEMORY, fault);
    /* the end is when no block begins any more; anything else is a block that could not be read */
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return failed(ERR_MALFORMED, X509_FAULT_CERTIFICATE, fault);
    ERR_clear_error();
    return c->n ? ERR_OK : failed(ERR_MALFORMED, X509_FAULT_NO_CERTIFICATE, fault);
}

static enum err parse(str pem, size_t max, bool of_ours, struct x509_chain **out, enum x509_fault *fault)
{
    if (pem.n == 0) return failed(ERR_MALFORMED, X509_FAULT_NO_CERTIFICATE, fault);
    if (pem.n > PEM_MAX) return failed(ERR_LIMIT, X509_FAULT_MANY, fault);
    ERR_clear_error();
    struct x509_chain *c = calloc(1, sizeof *c);
    BIO *in = c ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    enum err e = in ? read_all(c, in, max, fault) : failed(ERR_NO_MEMORY, X509_FAULT_MEMORY, fault);
    if (e == ERR_OK) e = take_facts(c, of_ours, fault);
    BIO_free(in);
    if (e != ERR_OK) {
        x509_chain_free(&c);
        return e;
    }
    ERR_clear_error();
    *out = c;
    return ERR_OK;
}

enum err x509_chain_parse(str pem, struct x509_chain **out, enum x509_fault *fault)
{
    return parse(pem, X509_CHAIN_MAX, true, out, fault);
}

enum err x509_bundle_parse(str pem, struct x509_chain **out, enum x509_fault *fault)
{
    return parse(pem, BUNDLE_MAX, false, out, fault);
}

void x509_chain_free(struct x509_chain **out)
{
    struct x509_chain *c = *out;
    if (!c) return;
    for (size_t i = 0; i < c->n; i++) X509_free(c->v[i]);
    for (size_t i = 0; i < c->n_names; i++) free(c->names[i].text);
    free(c->v);
    free(c);
    *out = NULL;
}

size_t x509_chain_count(const struct x509_chain *c)
{
    return c->n;
}

size_t x509_chain_names(const struct x509_chain *c)
{
    return c->n_names;
}

str x509_chain_name(const struct x509_chain *c, size_t i)
{
    return i < c->n_names ? str_make(c->names[i].text, c->names[i].n) : STR_NONE;
}

int64_t x509_chain_not_before_s(const struct x509_chain *c)
{
    return c->not_before_s;
}

int64_t x509_chain_not_after_s(const struct x509_chain *c)
{
    return c->not_after_s;
}

void x509_chain_spki_sha256(const struct x509_chain *c, unsigned char out[X509_SPKI_LEN])
{
    memcpy(out, c->spki, X509_SPKI_LEN);
}

bool x509_chain_is_rsa(const struct x509_chain *c)
{
    return c->rsa;
}

bool x509_name_matches(str pattern, str name)
{
    if (!str_starts(pattern, STR("*."))) return str_eq(pattern, name);
    size_t dot = str_find(name, '.');
    return dot > 0 && dot < name.n && str_eq(str_from(pattern, 1), str_from(name, dot));
}

struct x509_st *x509_chain_handle(const struct x509_chain *c, size_t i)
{
    return i < c->n ? c->v[i] : NULL;
}

/* --- private keys --- */

/* Nobody is asked for a pass phrase: a server has no one to ask. */
static int no_pass_phrase(char *buf, int size, int rw, void *asked)
{
    (void)buf, (void)size, (void)rw;
    *(bool *)asked = true;
    return -1;
}

enum err x509_key_parse(str pem, struct x509_key **out, enum x509_fault *fault)
{
    if (pem.n == 0 || pem.n > PEM_MAX) return failed(ERR_MALFORMED, X509_FAULT_NO_KEY, fault);
    ERR_clear_error();
    struct x509_key *k = calloc(1, sizeof *k);
    BIO *in = k ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    bool asked = false, rsa;
    if (!in) {
        free(k);
        return failed(ERR_NO_MEMORY, X509_FAULT_MEMORY, fault);
    }
    k->pkey = PEM_read_bio_PrivateKey(in, NULL, no_pass_phrase, &asked);
    BIO_free(in);
    enum err e = ERR_OK;
    if (!k->pkey && out_of_memory())
        e = failed(ERR_NO_MEMORY, X509_FAULT_MEMORY, fault);
    else if (!k->pkey)
        e = failed(ERR_MALFORMED, asked ? X509_FAULT_ENCRYPTED : X509_FAULT_NO_KEY, fault);
    else if (!kind_ok(k->pkey, &rsa))
        e = failed(ERR_UNSUPPORTED, X509_FAULT_KIND, fault);
    if (e != ERR_OK) {
        x509_key_free(&k);
        return e;
    }
    ERR_clear_error();
    *out = k;
    return ERR_OK;
}

void x509_key_free(struct x509_key **k)
{
    if (!*k) return;
    EVP_PKEY_free((*k)->pkey); /* libcrypto wipes its numbers */
    free(*k);
    *k = NULL;
}

bool x509_key_fits(const struct x509_key *k, const struct x509_chain *c)
{
    bool fits = X509_check_private_key(c->v[0], k->pkey) == 1;
    ERR_clear_error();
    return fits;
}

struct evp_pkey_st *x509_key_handle(const struct x509_key *k)
{
    return k->pkey;
}

enum err x509_pair_check(str cert_pem, str key_pem, enum x509_fault *fault)
{
    struct x509_chain *c = NULL;
    struct x509_key *k = NULL;
    enum err e = x509_chain_parse(cert_pem, &c, fault);
    if (e == ERR_OK) e = x509_key_parse(key_pem, &k, fault);
    if (e == ERR_OK && !x509_key_fits(k, c)) e = failed(ERR_DENIED, X509_FAULT_MISMATCH, fault);
    x509_key_free(&k);
    x509_chain_free(&c);
    return e;
}

/* --- what a peer showed --- */

void x509_handle_spki_sha256(const struct x509_st *x, unsigned char out[X509_SPKI_LEN])
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    memset(out, 0, X509_SPKI_LEN);
    if (n > 0) sha256(str_make((const char *)der, (size_t)n), out);
    OPENSSL_free(der);
}

int64_t x509_handle_not_after_s(const struct x509_st *x)
{
    int64_t at;
    return seconds(X509_get0_notAfter(x), &at) ? at : INT64_MIN;
}
