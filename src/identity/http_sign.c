/* The other side of http_signature.c: the fields that a client sends with a request that it signs. What is signed is
 * read back by the verifier's own code, so both have one idea of it. */
#include "base/buf.h"
#include "crypto/mac.h"
#include "identity/http_signature.h"
#include "identity/http_signature_parse.h"

#define LABEL "sig"

static str kept(struct buf *b, struct arena *mem)
{
    str out = b->bad ? STR_NONE : arena_copy(mem, buf_str(b));
    buf_free(b);
    return out;
}

static str digest_of_body(str body, struct arena *mem)
{
    struct buf b;
    buf_init(&b, 256);
    content_digest_put(&b, body);
    return kept(&b, mem);
}

static str input(const struct http_signature_message *m, str keyid, str nonce, int64_t created_s, struct arena *mem)
{
    struct buf b;
    buf_init(&b, HTTP_SIGNATURE_INPUT_MAX);
    buf_puts(&b, LABEL "=(\"@method\" \"@target-uri\"");
    if (m->body.n) buf_puts(&b, " \"content-digest\"");
    buf_puts(&b, ");created=");
    buf_put_u64(&b, (uint64_t)created_s);
    buf_puts(&b, ";keyid=\"");
    buf_put(&b, keyid);
    buf_puts(&b, "\";alg=\"hmac-sha256\";nonce=\"");
    buf_put(&b, nonce);
    buf_puts(&b, "\"");
    return kept(&b, mem);
}

static str signature(const unsigned char mac[SHA256_LEN], struct arena *mem)
{
    struct buf b;
    buf_init(&b, 256);
    buf_puts(&b, LABEL "=");
    sf_put_bytes(&b, str_make((const char *)mac, SHA256_LEN));
    return kept(&b, mem);
}

enum err http_signature_make(const struct http_signature_message *m, str keyid, str key, str nonce, int64_t created_s,
                             struct arena *mem, struct http_signature_fields *out)
{
    static const unsigned char none[SHA256_LEN];
    struct http_signature_fields f = {.input = input(m, keyid, nonce, created_s, mem),
                                      .signature = signature(none, mem)};
    if (m->body.n) f.digest = digest_of_body(m->body, mem);
    if (!f.input.p || !f.signature.p || (m->body.n && !f.digest.p)) return ERR_NO_MEMORY;
    const struct http_signature_field fields[] = {{STR("Signature-Input"), f.input},
                                                  {STR("Signature"), f.signature},
                                                  {STR("Content-Digest"), f.digest}};
    struct http_signature_message whole = *m;
    struct http_signature s;
    enum http_signature_fault fault;
    unsigned char mac[SHA256_LEN];
    whole.fields = fields;
    whole.n_fields = m->body.n ? 3 : 2;
    enum err e = http_signature_read(&whole, mem, &s, &fault);
    if (e != ERR_OK) return e == ERR_NO_MEMORY ? e : ERR_MALFORMED;
    hmac_sha256(key, s.base, mac);
    f.signature = signature(mac, mem);
    if (!f.signature.p) return ERR_NO_MEMORY;
    *out = f;
    return ERR_OK;
}
