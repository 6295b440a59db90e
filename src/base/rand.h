/* Random bytes from the kernel, buffered per thread for small requests. Never fails: without a random
 * source the process aborts. Ids made here are unguessable; keys and secrets are made by crypto. */
#ifndef SALLYPORT_BASE_RAND_H
#define SALLYPORT_BASE_RAND_H

#include "base/str.h"

void rand_bytes(void *out, size_t n);
uint64_t rand_u64(void);

/* A ULID: 26 characters of Crockford base32, 48 bits of milliseconds then 80 random bits; not terminated. */
#define ULID_LEN 26
void ulid_make(char out[ULID_LEN], uint64_t unix_ms);

/* 2n lower-case hex digits of n random bytes; not terminated. */
void rand_hex(char *out, size_t n);

/* What every request needs, in one draw: a ULID, a trace id of 16 bytes and a span id of 8 in lower-case hex. */
struct rand_ids {
    char ulid[ULID_LEN], trace[32], span[16];
};
void rand_ids(struct rand_ids *out, uint64_t unix_ms);

/* A stream cipher: n bytes that nobody can tell from random ones without the key. */
typedef void rand_stream(unsigned char *out, size_t n, const unsigned char key[32]);
/* From now on rand_ids draws from this stream, keyed by the kernel and rekeyed by itself with every draw, so that what
 * was handed out cannot be computed from what is kept. The kernel's own bytes cost a hundredth of a request. Once,
 * before any other thread starts; nothing else here is changed by it. */
void rand_ids_from(rand_stream *stream);

#endif
