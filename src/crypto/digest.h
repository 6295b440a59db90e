/* SHA-2 digests and CRC-32. Nothing here allocates, fails, or keeps state between calls; any thread. */
#ifndef SALLYPORT_CRYPTO_DIGEST_H
#define SALLYPORT_CRYPTO_DIGEST_H

#include "base/str.h"

#define SHA256_LEN     32
#define SHA384_LEN     48
#define SHA512_LEN     64
#define DIGEST_MAX_LEN 64

enum digest { DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512 };

/* Bytes of the digest: 32, 48 or 64. */
size_t digest_len(enum digest d);

/* Writes digest_len(d) bytes. */
void digest_of(enum digest d, str in, unsigned char *out);

/* SHA-256 of `in` (FIPS 180-4). */
void sha256(str in, unsigned char out[SHA256_LEN]);

/* CRC-32 as ISO-HDLC, zlib and Ethernet have it: finds slips of the pen, proves nothing. */
uint32_t crc32_of(str in);

#endif
