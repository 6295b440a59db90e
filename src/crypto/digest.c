#include "crypto/digest.h"

/* The streaming SHA-2 functions are marked deprecated because they bypass provider fetching. That is why they are
 * used: no fetch, no context on the heap, no failure. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

size_t digest_len(enum digest d)
{
    switch (d) {
    case DIGEST_SHA256: return SHA256_LEN;
    case DIGEST_SHA384: return SHA384_LEN;
    case DIGEST_SHA512: return SHA512_LEN;
    }
    return 0;
}

void sha256(str in, unsigned char out[SHA256_LEN])
{
    SHA256_CTX c;
    SHA256_Init(&c);
    SHA256_Update(&c, in.p, in.n);
    SHA256_Final(out, &c);
}

void digest_of(enum digest d, str in, unsigned char *out)
{
    SHA512_CTX c;
    switch (d) {
    case DIGEST_SHA256: sha256(in, out); return;
    case DIGEST_SHA384:
        SHA384_Init(&c);
        SHA384_Update(&c, in.p, in.n);
        SHA384_Final(out, &c);
        return;
    case DIGEST_SHA512:
        SHA512_Init(&c);
        SHA512_Update(&c, in.p, in.n);
        SHA512_Final(out, &c);
        return;
    }
}

uint32_t crc32_of(str in)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < in.n; i++) {
        crc ^= (unsigned char)in.p[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}
