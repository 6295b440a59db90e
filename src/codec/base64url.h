/* base64url without padding (RFC 4648 §5, RFC 7515 §2): strict both ways.
 *
 * Refused: padding, white space, '+' and '/', a length of 4n+1, non-zero tail bits. */
#ifndef SALLYPORT_CODEC_BASE64URL_H
#define SALLYPORT_CODEC_BASE64URL_H

#include "base/str.h"

/* Room the decoded / encoded form of n bytes needs at most / exactly. */
static inline size_t base64url_decoded_max(size_t n)
{
    return n / 4 * 3 + 3;
}

static inline size_t base64url_encoded_len(size_t n)
{
    return n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
}

/* Decodes into out (room >= base64url_decoded_max(in.n)); *out_n is written on ERR_OK only. ERR_MALFORMED. */
MUST_USE enum err base64url_decode(str in, unsigned char *out, size_t *out_n);

/* Writes exactly base64url_encoded_len(n) characters, no terminator. */
void base64url_encode(const void *in, size_t n, char *out);

#endif
