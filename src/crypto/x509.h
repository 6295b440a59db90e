/* X.509 certificates and the private keys that belong to them, as files have them (PEM; OCSP answers in DER): what a
 * server must know of its own, before it shows them to anybody.
 *
 * Judges no chain: whom to believe is for libssl's verification, in net. A `struct x509_chain` and a `struct x509_key`
 * are immutable and have one owner; reading from many threads is fine. Time is passed in as Unix seconds. */
#ifndef SALLYPORT_CRYPTO_X509_H
#define SALLYPORT_CRYPTO_X509_H

#include "base/str.h"

#define X509_CHAIN_MAX 16
#define X509_NAMES_MAX 256 /* DNS names of one certificate */
#define X509_SPKI_LEN  32
#define X509_NAME_MAX  253

enum x509_fault {
    X509_FAULT_NONE = 0,
    X509_FAULT_NO_CERTIFICATE, /* no PEM block CERTIFICATE */
    X509_FAULT_CERTIFICATE,    /* a block that is no certificate, or whose key cannot be read */
    X509_FAULT_MANY,           /* more than X509_CHAIN_MAX certificates or X509_NAMES_MAX names */
    X509_FAULT_NO_KEY,         /* no PEM block with a private key, or not a readable one */
    X509_FAULT_ENCRYPTED,      /* the key needs a pass phrase */
    X509_FAULT_KIND,           /* neither RSA (2048 bits at least) nor ECDSA on P-256 or P-384 */
    X509_FAULT_MISMATCH,       /* the key is not the certificate's */
    X509_FAULT_OCSP,           /* no OCSP answer (RFC 6960 §4.2.1), or a failed one */
    X509_FAULT_OCSP_OTHER,     /* it is about another certificate, or not signed by its issuer */
    X509_FAULT_OCSP_REVOKED,   /* it says that the certificate is not good */
    X509_FAULT_MEMORY
};
/* A sentence's end for people: "the key does not belong to the certificate". Never NULL. */
const char *x509_fault_text(enum x509_fault f);

/* --- certificates --- */

struct x509_chain;

/* A server's or client's own: the leaf first, those that signed it behind (none checked); other PEM blocks are passed
 * over. A bundle of authorities is read the same way. ERR_MALFORMED, ERR_LIMIT, ERR_UNSUPPORTED (the leaf's key is of
 * no kind that we use), ERR_NO_MEMORY. `fault` may be NULL. */
MUST_USE enum err x509_chain_parse(str pem, struct x509_chain **out, enum x509_fault *fault);
/* A bundle of trusted authorities: keys of any kind, and as many as there are (4096 at most). */
MUST_USE enum err x509_bundle_parse(str pem, struct x509_chain **out, enum x509_fault *fault);
void x509_chain_free(struct x509_chain **c);

size_t x509_chain_count(const struct x509_chain *c);
/* Of the leaf. The DNS names of its subject alternative names (never the subject's CN, RFC 9525 §6.3), lower case, in
 * their order; what is no host name is left out. */
size_t x509_chain_names(const struct x509_chain *c);
str x509_chain_name(const struct x509_chain *c, size_t i);
int64_t x509_chain_not_before_s(const struct x509_chain *c);
int64_t x509_chain_not_after_s(const struct x509_chain *c);
/* SHA-256 of its SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7): what pins name. */
void x509_chain_spki_sha256(const struct x509_chain *c, unsigned char out[X509_SPKI_LEN]);
bool x509_chain_is_rsa(const struct x509_chain *c);

/* Whether `name` (lower case, no final dot) is what `pattern` names: the same, or "*.rest" and one label more. */
bool x509_name_matches(str pattern, str name);

/* --- private keys --- */

struct x509_key;

/* PEM: PKCS#8, or the older forms of RSA and EC; never encrypted. The caller wipes `pem`. ERR_MALFORMED,
 * ERR_UNSUPPORTED (kind), ERR_NO_MEMORY. */
MUST_USE enum err x509_key_parse(str pem, struct x509_key **out, enum x509_fault *fault);
void x509_key_free(struct x509_key **k);
/* Whether it is the private half of the leaf's key. */
bool x509_key_fits(const struct x509_key *k, const struct x509_chain *c);

/* Both at once, for who only checks a configuration. ERR_MALFORMED, ERR_LIMIT, ERR_UNSUPPORTED, ERR_DENIED (the key is
 * another's), ERR_NO_MEMORY. */
MUST_USE enum err x509_pair_check(str cert_pem, str key_pem, enum x509_fault *fault);

/* --- OCSP answers --- */

/* One for the leaf (matched by serial number, and by issuer and signature when the chain holds the issuer). Writes the
 * time it stops to hold, 0 when it does not say. ERR_MALFORMED, ERR_DENIED (another's, or not "good"), ERR_NO_MEMORY.
 */
MUST_USE enum err x509_ocsp_check(const struct x509_chain *c, str der, int64_t *next_update_s, enum x509_fault *fault);

/* --- for net, which hands them to libssl (their X509 and EVP_PKEY); borrowed --- */
struct x509_st;
struct evp_pkey_st;
struct x509_st *x509_chain_handle(const struct x509_chain *c, size_t i);
struct evp_pkey_st *x509_key_handle(const struct x509_key *k);
/* The same facts of a certificate that a peer showed. */
void x509_handle_spki_sha256(const struct x509_st *x, unsigned char out[X509_SPKI_LEN]);
int64_t x509_handle_not_after_s(const struct x509_st *x);

#endif
