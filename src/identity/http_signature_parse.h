/* The few forms of structured fields (RFC 8941) that signatures and digests are written in, for the files of this
 * folder. Stricter than the standard where it leaves a choice to the sender: what is accepted has exactly one spelling,
 * so that the text that came is the text that was signed. */
#ifndef SALLYPORT_IDENTITY_HTTP_SIGNATURE_PARSE_H
#define SALLYPORT_IDENTITY_HTTP_SIGNATURE_PARSE_H

#include "base/buf.h"

#define SF_BYTES_MAX 128 /* of a byte sequence, decoded */

struct sf {
    str rest;
};

bool sf_end(const struct sf *in);
/* That character, and nothing else. */
bool sf_char(struct sf *in, char c);
/* A comma with blanks around it, something behind. */
bool sf_comma(struct sf *in);
/* [a-z*][a-z0-9_.*-]*, at most 64 */
bool sf_key(struct sf *in, str *out);
/* "…" without the quotes, visible ASCII and blanks; no escapes: none of our values needs one. */
bool sf_string(struct sf *in, str *out);
/* 0 … 999999999999999, no sign, no leading zero. */
bool sf_integer(struct sf *in, int64_t *out);
/* :base64: with its padding, into out (SF_BYTES_MAX bytes). */
bool sf_bytes(struct sf *in, unsigned char *out, size_t *n);

/* Appends :base64: */
void sf_put_bytes(struct buf *out, str bytes);

#endif
