/* Tokens of any header and payload, signed with any key: what an attacker, or a careless issuer, could send. */
#ifndef SALLYPORT_TEST_FORGE_H
#define SALLYPORT_TEST_FORGE_H

#include "unit.h"

#include "base/buf.h"
#include "codec/base64url.h"
#include "identity/mint.h"

static inline void forge_part(struct buf *out, const void *bytes, size_t n)
{
    size_t len = base64url_encoded_len(n);
    char *room = buf_room(out, len ? len : 1);
    assert_non_null(room);
    base64url_encode(bytes, n, room);
    out->n += len;
}

/* header.payload.signature; `out` is cleared first. Both texts may be any bytes. */
static inline str forge_bytes(struct buf *out, struct signer *s, str header, str payload)
{
    unsigned char sig[SIGNATURE_MAX_LEN];
    size_t n;
    buf_clear(out);
    forge_part(out, header.p, header.n);
    buf_putc(out, '.');
    forge_part(out, payload.p, payload.n);
    assert_err(signer_sign(s, buf_str(out), sig, &n), ERR_OK);
    buf_putc(out, '.');
    forge_part(out, sig, n);
    assert_false(out->bad);
    return buf_str(out);
}

static inline str forge(struct buf *out, struct signer *s, const char *header, const char *payload)
{
    return forge_bytes(out, s, str_of(header), str_of(payload));
}

#endif
