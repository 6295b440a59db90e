/* How a principal and other values of a token are written into headers: injective, so that no two different values
 * ever look the same, and safe whatever the value holds.
 *
 * Visible ASCII stands for itself, except '%' and ',' (separates lists), and within a principal ':' (ends an issuer's
 * prefix); those and every other byte, blanks and UTF-8 included, become %XX in upper case. So "orders:read" stays as
 * services know it among permissions, and the user "other:alice" is not alice of the issuer "other". The decoders take
 * exactly what the encoders write. */
#ifndef SALLYPORT_IDENTITY_PRINCIPAL_H
#define SALLYPORT_IDENTITY_PRINCIPAL_H

#include "base/arena.h"

/* Roles, permissions, clients. Length of the encoded form. */
size_t header_value_encoded_len(str value);
/* Writes exactly header_value_encoded_len(value) bytes, no terminator; returns the end. */
char *header_value_encode(str value, char *out);
/* The reverse; room: in.n bytes. *out_n is written on ERR_OK only. ERR_MALFORMED. */
MUST_USE enum err header_value_decode(str in, char *out, size_t *out_n);

/* The same for what stands before or behind the ':' of a principal. */
size_t principal_part_encoded_len(str part);
char *principal_part_encode(str part, char *out);
MUST_USE enum err principal_part_decode(str in, char *out, size_t *out_n);

/* "alice" for the default issuer (prefix empty), else "corp:alice", in the arena. .p NULL: memory. */
str principal_encode(str prefix, str subject, struct arena *mem);
/* "a,b,c" of values none of which is empty. .p NULL: memory. */
str header_list_encode(const str *values, size_t n, struct arena *mem);

#endif
