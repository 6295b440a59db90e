#include "crypto/password.h"

#include "crypto/secret.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define SALT_LEN 16
#define HASH_LEN 32

/* What the text of a hash says of itself (PHC string format; version 19 is 0x13 of RFC 9106 §3.1). */
struct phc {
    uint64_t memory_kib, passes, lanes;
    size_t salt_n, hash_n; /* bytes */
};

static bool take(str *s, str word)
{
    if (!str_starts(*s, word)) return false;
    *s = str_from(*s, word.n);
    return true;
}

/* Digits up to `end`, which goes too. No leading zero: one text for one number. */
static bool take_number(str *s, char end, uint64_t *out)
{
    str digits = str_first(*s, str_find(*s, end));
    if (digits.n == s->n || !digits.n || digits.n > 10 || digits.p[0] == '0') return false;
    if (str_to_u64(digits, out) != ERR_OK) return false;
    *s = str_from(*s, digits.n + 1);
    return true;
}

/* Base64 of RFC 4648 §4 without padding, as PHC has it. */
static bool base64_bytes(str s, size_t min, size_t max, size_t *n)
{
    unsigned char raw[128];
    *n = 0;
    if (s.n == 0 || s.n > 160) return false;
    if (sodium_base642bin(raw, sizeof raw, s.p, s.n, NULL, n, NULL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0)
        return false;
    secret_wipe(raw, sizeof raw);
    return *n >= min && *n <= max;
}

static bool phc_read(str s, struct phc *out)
{
    if (s.n >= PASSWORD_HASH_MAX || !take(&s, STR("$argon2id$v=19$m=")) || !take_number(&s, ',', &out->memory_kib) ||
        !take(&s, STR("t=")) || !take_number(&s, ',', &out->passes) || !take(&s, STR("p=")) ||
        !take_number(&s, '$', &out->lanes))
        return false;
    str salt = str_cut(&s, '$');
    return base64_bytes(salt, 8, 64, &out->salt_n) && base64_bytes(s, 16, 64, &out->hash_n);
}

/* RFC 9106 §3.1: at least 8 KiB a lane. */
static bool phc_affordable(const struct phc *p)
{
    return p->lanes >= 1 && p->lanes <= PASSWORD_LANES_MAX && p->memory_kib >= 8 * p->lanes &&
           p->memory_kib <= PASSWORD_MEMORY_MAX / 1024 && p->passes >= 1 && p->passes <= PASSWORD_PASSES_MAX;
}

static enum err phc_check(str hash, struct phc *out)
{
    if (!phc_read(hash, out)) return ERR_MALFORMED;
    return phc_affordable(out) ? ERR_OK : ERR_LIMIT;
}

bool password_cost_ok(struct password_cost c)
{
    struct phc p = {.memory_kib = c.memory / 1024, .passes = c.passes, .lanes = 1};
    return c.memory % 1024 == 0 && phc_affordable(&p);
}

enum err password_hash(str password, struct password_cost c, char out[PASSWORD_HASH_MAX])
{
    char text[crypto_pwhash_argon2id_STRBYTES];
    if (password.n > PASSWORD_MAX || !password_cost_ok(c)) return ERR_LIMIT;
    if (sodium_init() < 0 ||
        crypto_pwhash_argon2id_str(text, password.n ? password.p : "", password.n, c.passes, c.memory) != 0)
        return ERR_NO_MEMORY;
    memcpy(out, text, sizeof text);
    return ERR_OK;
}

enum err password_verify(str hash, str password)
{
    struct phc p;
    char text[PASSWORD_HASH_MAX];
    enum err e = phc_check(hash, &p);
    if (e != ERR_OK) return e;
    if (password.n > PASSWORD_MAX) return ERR_LIMIT;
    if (sodium_init() < 0) return ERR_NO_MEMORY;
    memcpy(text, hash.p, hash.n);
    text[hash.n] = '\0';
    errno = 0;
    if (crypto_pwhash_argon2id_str_verify(text, password.n ? password.p : "", password.n) == 0) return ERR_OK;
    return errno == EINVAL ? ERR_DENIED : ERR_NO_MEMORY; /* libsodium says a mismatch with EINVAL */
}

enum err password_hash_read(str hash, struct password_cost *cost, unsigned *lanes)
{
    struct phc p;
    enum err e = phc_check(hash, &p);
    if (e != ERR_OK) return e;
    if (cost) *cost = (struct password_cost){p.memory_kib * 1024, (unsigned)p.passes};
    if (lanes) *lanes = (unsigned)p.lanes;
    return ERR_OK;
}

bool password_needs_rehash(str hash, struct password_cost c)
{
    struct phc p;
    if (phc_check(hash, &p) != ERR_OK) return true;
    return p.memory_kib * 1024 < c.memory || p.passes < c.passes || p.lanes != 1 || p.salt_n < SALT_LEN ||
           p.hash_n < HASH_LEN;
}

enum err password_dummy(struct password_cost c, char out[PASSWORD_HASH_MAX])
{
    unsigned char raw[SALT_LEN + HASH_LEN];
    char salt[32], hash[64];
    if (!password_cost_ok(c)) return ERR_LIMIT;
    randombytes_buf(raw, sizeof raw);
    sodium_bin2base64(salt, sizeof salt, raw, SALT_LEN, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    sodium_bin2base64(hash, sizeof hash, raw + SALT_LEN, HASH_LEN, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    snprintf(out, PASSWORD_HASH_MAX, "$argon2id$v=19$m=%zu,t=%u,p=1$%s$%s", c.memory / 1024, c.passes, salt, hash);
    return ERR_OK;
}
