/* What all records have in common: names that are safe in keys, keys built in the caller's room, reading and writing of
 * members.
 *
 * A record is a struct of the domain; in the store it is compact JSON under a key. Each has a file here with its key
 * builder, `…_put` (struct to text, refuses what may not be stored) and `…_read` (text to struct, refuses what was not
 * written so). No I/O, no clock. Members that a reader does not know are passed over, so that processes of two versions
 * can share a store. Slices of a record that was read live in the given arena or in the value. Times: `_ms` and `_s`
 * since 1970. */
#ifndef SALLYPORT_STORE_RECORD_H
#define SALLYPORT_STORE_RECORD_H

#include "base/buf.h"
#include "codec/json.h"
#include "crypto/digest.h"
#include "store/store.h"

#define RECORD_MAX       16384 /* bytes of a record; an arena of RECORD_ARENA always suffices to read one */
#define RECORD_ARENA     131072
#define RECORD_NAME_MAX  64  /* of products, services, issuers, API key ids */
#define RECORD_TEXT_MAX  256 /* of labels and reasons */
#define RECORD_NAMES_MAX 128 /* roles of a user; permissions of a user; actions of a product */

/* [A-Za-z][A-Za-z0-9_-]{0,63}: products, issuers, as the configuration has them. */
bool record_name_ok(str s);
/* A role, permission or action: 1..64 visible ASCII characters but '"', ',' and '\'. */
bool record_grant_ok(str s);
/* A label or reason: at most 256 bytes of UTF-8 without control characters. May be empty. */
bool record_text_ok(str s);

/* Where a key is built; the slice the builders return lives in it. */
struct record_key {
    char p[STORE_KEY_MAX];
    size_t n;
};
/* Joins parts with '/'; the last one may be empty (a prefix for ranges: "user/users/"). An empty slice if it is longer
 * than a key may be. */
str record_key_join(struct record_key *k, const str *parts, size_t n);
/* What ends the range of everything that begins with `prefix` (its last byte one higher); `prefix` ends in '/'. */
str record_key_end(struct record_key *k, str prefix);

/* --- writing: '{', members, '}' into a buffer of at least RECORD_MAX --- */
void record_begin(struct buf *b);
void record_put_str(struct buf *b, const char *name, str value); /* left out when empty */
void record_put_u64(struct buf *b, const char *name, uint64_t value);
void record_put_i64(struct buf *b, const char *name, int64_t value);
void record_put_true(struct buf *b, const char *name, bool value); /* left out when false */
void record_put_list(struct buf *b, const char *name, const str *values, uint32_t n);
void record_put_digest(struct buf *b, const char *name, const unsigned char digest[SHA256_LEN]); /* hex */
/* ERR_LIMIT (RECORD_MAX) or ERR_NO_MEMORY if anything did not fit. `start`: what b->n was before record_begin. */
MUST_USE enum err record_end(struct buf *b, size_t start);

/* --- reading: the first mistake stays in r->err, later calls do nothing --- */
struct record_reader {
    const struct json *object;
    struct arena *mem;
    enum err err;
};
/* ERR_MALFORMED (no JSON object), ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err record_open(struct record_reader *r, str value, struct arena *mem);
/* A member that must be there / may be absent (then empty, 0, false). */
str record_str(struct record_reader *r, const char *name);
str record_str_if(struct record_reader *r, const char *name);
uint64_t record_u64(struct record_reader *r, const char *name);
uint64_t record_u64_if(struct record_reader *r, const char *name);
int64_t record_i64_if(struct record_reader *r, const char *name);
bool record_true(struct record_reader *r, const char *name);
/* At most RECORD_NAMES_MAX values, each a good grant (record_grant_ok). Absent: none. */
void record_list(struct record_reader *r, const char *name, const str **values, uint32_t *n);
void record_digest(struct record_reader *r, const char *name, unsigned char out[SHA256_LEN]);
/* Whether the member was there; `out` is zero otherwise. */
bool record_digest_if(struct record_reader *r, const char *name, unsigned char out[SHA256_LEN]);
/* Marks the record as not one of ours. */
void record_refuse(struct record_reader *r);

#endif
