/* Records and keys of the store: whatever is read can be written, and reads as the same again; a key that is taken is
 * the only one that means what it means. */
#include "store/apikey_record.h"
#include "store/product_record.h"
#include "store/revocation_record.h"
#include "store/session_record.h"
#include "store/signing_key_record.h"
#include "store/user_record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good) abort();
}

/* Read, written, read and written again: the two texts are the same. */
#define ROUND_TRIP(type)                                                                                               \
    do {                                                                                                               \
        struct type one, two;                                                                                          \
        if (type##_read(in, &mem, &one) != ERR_OK) break;                                                              \
        buf_clear(&a);                                                                                                 \
        buf_clear(&b);                                                                                                 \
        enum err e = type##_put(&a, &one);                                                                             \
        must(e == ERR_OK || e == ERR_LIMIT || e == ERR_MALFORMED);                                                     \
        if (e != ERR_OK) break;                                                                                        \
        must(type##_read(buf_str(&a), &mem, &two) == ERR_OK && type##_put(&b, &two) == ERR_OK);                        \
        must(str_eq(buf_str(&a), buf_str(&b)));                                                                        \
    } while (0)

static void keys(str in, struct arena *mem)
{
    struct revocation_target t;
    struct record_key room;
    char token[REFRESH_TOKEN_LEN], subject[USER_SUBJECT_MAX];
    str x, y;
    if (revocation_record_key_read(in, mem, &t) == ERR_OK && in.n <= STORE_KEY_MAX - 2)
        must(str_eq(revocation_record_key(&room, &t), in));
    if (refresh_token_read(in, &x, &y) == ERR_OK) {
        refresh_token_put(token, x, y);
        must(str_eq(in, str_make(token, sizeof token)));
    }
    if (user_of_subject(in, &x, &y) == ERR_OK) must(str_eq(user_subject(subject, x, y), in));
    if (user_record_key_read(in, &x, &y) == ERR_OK) must(str_eq(user_record_key(&room, x, y), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str in = str_make((const char *)data, size);
    struct arena mem;
    struct buf a, b;
    const struct json *jwks;
    arena_init(&mem, NULL, 0, (size_t)4 << 20);
    buf_init(&a, RECORD_MAX);
    buf_init(&b, RECORD_MAX);
    ROUND_TRIP(user_record);
    ROUND_TRIP(session_record);
    ROUND_TRIP(signing_key_record);
    ROUND_TRIP(product_record);
    ROUND_TRIP(apikey_record);
    ROUND_TRIP(revocation_record);
    (void)!issuer_keys_read(in, &mem, &jwks, NULL);
    keys(in, &mem);
    arena_reset(&mem);
    buf_free(&a);
    buf_free(&b);
    return 0;
}
