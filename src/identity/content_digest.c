/* Content-Digest (RFC 9530 §2): a dictionary (RFC 8941 §3.2) of byte sequences. */
#include "identity/http_signature_parse.h"

#include "base/buf.h"
#include "crypto/secret.h"
#include "identity/http_signature.h"

void content_digest_put(struct buf *out, str body)
{
    unsigned char digest[SHA256_LEN];
    sha256(body, digest);
    buf_puts(out, "sha-256=");
    sf_put_bytes(out, str_make((const char *)digest, sizeof digest));
}

/* One member. *known: it is a digest that we compute. */
static enum err check_member(struct sf *in, str body, bool *known)
{
    static const struct {
        str name;
        enum digest digest;
    } algorithms[] = {{STR_INIT("sha-256"), DIGEST_SHA256}, {STR_INIT("sha-512"), DIGEST_SHA512}};
    str name;
    unsigned char sent[SF_BYTES_MAX], computed[DIGEST_MAX_LEN];
    size_t n;
    if (!sf_key(in, &name) || !sf_char(in, '=') || !sf_bytes(in, sent, &n)) return ERR_MALFORMED;
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
        if (!str_eq(name, algorithms[i].name)) continue;
        digest_of(algorithms[i].digest, body, computed);
        if (n != digest_len(algorithms[i].digest) || !secret_equal(sent, computed, n)) return ERR_DENIED;
        *known = true;
    }
    return ERR_OK;
}

enum err content_digest_check(str value, str body)
{
    struct sf in = {value};
    bool known = false;
    if (value.n > HTTP_SIGNATURE_INPUT_MAX) return ERR_MALFORMED;
    for (;;) {
        enum err e = check_member(&in, body, &known);
        if (e != ERR_OK) return e;
        if (sf_end(&in)) return known ? ERR_OK : ERR_DENIED;
        if (!sf_comma(&in)) return ERR_MALFORMED;
    }
}
