/* OCSP answers that we staple (RFC 6960): whether one is about our certificate, says that it is good, and until when.
 */
#include "crypto/x509.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>

#define OCSP_MAX (64u << 10)

static enum err failed(enum err e, enum x509_fault f, enum x509_fault *out)
{
    ERR_clear_error();
    if (out) *out = f;
    return e;
}

/* The answer about the leaf: by its issuer's digests and its serial number if we have the issuer, else by the serial
 * number alone (then it is for the clients to find out). */
static OCSP_SINGLERESP *about(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);
        const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(one);
        ASN1_OBJECT *digest = NULL;
        ASN1_INTEGER *serial = NULL;
        if (!OCSP_id_get0_info(NULL, &digest, NULL, &serial, (OCSP_CERTID *)(uintptr_t)id)) continue;
        if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0) continue;
        if (!issuer) return one;
        const EVP_MD *md = EVP_get_digestbyobj(digest);
        OCSP_CERTID *ours = md ? OCSP_cert_to_id(md, leaf, issuer) : NULL;
        bool same = ours && OCSP_id_cmp(ours, id) == 0;
        OCSP_CERTID_free(ours);
        if (same) return one;
    }
    return NULL;
}

/* Signed by the issuer, or by somebody whom it lets sign such answers (RFC 6960 §4.2.2.2). */
static bool signed_for(OCSP_BASICRESP *basic, X509 *issuer)
{
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *chain = sk_X509_new_null();
    bool ok = store && chain && sk_X509_push(chain, issuer) && X509_STORE_add_cert(store, issuer) &&
              X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) && OCSP_basic_verify(basic, chain, store, 0) == 1;
    sk_X509_free(chain);
    X509_STORE_free(store);
    return ok;
}

static bool seconds(const ASN1_TIME *t, int64_t *out)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days, rest;
    bool ok = epoch && ASN1_TIME_diff(&days, &rest, epoch, t);
    if (ok) *out = (int64_t)days * 86400 + rest;
    ASN1_TIME_free(epoch);
    return ok;
}

enum err x509_ocsp_check(const struct x509_chain *c, str der, int64_t *next_update_s, enum x509_fault *fault)
{
    if (der.n == 0 || der.n > OCSP_MAX) return failed(ERR_MALFORMED, X509_FAULT_OCSP, fault);
    ERR_clear_error();
    const unsigned char *at = (const unsigned char *)der.p;
    OCSP_RESPONSE *all = d2i_OCSP_RESPONSE(NULL, &at, (long)der.n);
    OCSP_BASICRESP *basic = NULL;
    enum err e = ERR_OK;
    if (all && at == (const unsigned char *)der.p + der.n &&
        OCSP_response_status(all) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
        basic = OCSP_response_get1_basic(all);
    X509 *leaf = x509_chain_handle(c, 0), *issuer = x509_chain_handle(c, 1);
    OCSP_SINGLERESP *one = basic ? about(basic, leaf, issuer) : NULL;
    ASN1_GENERALIZEDTIME *next = NULL;
    int64_t until = 0;
    if (!basic)
        e = failed(ERR_MALFORMED, X509_FAULT_OCSP, fault);
    else if (!one || (issuer && !signed_for(basic, issuer)))
        e = failed(ERR_DENIED, X509_FAULT_OCSP_OTHER, fault);
    else if (OCSP_single_get0_status(one, NULL, NULL, NULL, &next) != V_OCSP_CERTSTATUS_GOOD)
        e = failed(ERR_DENIED, X509_FAULT_OCSP_REVOKED, fault);
    else if (next && !seconds(next, &until))
        e = failed(ERR_MALFORMED, X509_FAULT_OCSP, fault);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(all);
    ERR_clear_error();
    if (e == ERR_OK) *next_update_s = until;
    return e;
}
