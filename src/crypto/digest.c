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
    /* what four bits more come to: two looks a byte, in a table of one cache line */
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < in.n; i++) {
        crc ^= (unsigned char)in.p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
