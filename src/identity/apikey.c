#include "identity/apikey.h"

#include "crypto/secret.h"

static bool lower_or_digit(str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9'))) return false;
    return true;
}

static bool base62(str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') || (s.p[i] >= '0' && s.p[i] <= '9')))
            return false;
    return true;
}

/* Six digits hold 35 bits, so every CRC-32 fits. */
static void checksum(str before, char out[APIKEY_CHECKSUM_LEN])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint32_t crc = crc32_of(before);
    for (size_t i = APIKEY_CHECKSUM_LEN; i-- > 0; crc /= 62) out[i] = digits[crc % 62];
}

static bool env_ok(str env)
{
    return env.n >= 1 && env.n <= APIKEY_ENV_MAX && lower_or_digit(env);
}

enum err apikey_parse(str text, struct apikey *out)
{
    struct apikey k;
    char sum[APIKEY_CHECKSUM_LEN];
    if (text.n > APIKEY_MAX_LEN || !str_starts(text, STR("sp_"))) return ERR_MALFORMED;
    str rest = str_from(text, 3);
    k.env = str_cut(&rest, '_');
    k.id = str_cut(&rest, '_');
    k.secret = str_first(rest, APIKEY_SECRET_LEN);
    if (!env_ok(k.env) || k.id.n < APIKEY_ID_MIN || k.id.n > APIKEY_ID_MAX || !lower_or_digit(k.id))
        return ERR_MALFORMED;
    if (rest.n != APIKEY_SECRET_LEN + APIKEY_CHECKSUM_LEN || !base62(rest)) return ERR_MALFORMED;
    checksum(str_first(text, text.n - APIKEY_CHECKSUM_LEN), sum);
    if (memcmp(sum, rest.p + APIKEY_SECRET_LEN, sizeof sum) != 0) return ERR_MALFORMED;
    *out = k;
    return ERR_OK;
}

enum err apikey_generate(str env, char text[APIKEY_MAX_LEN], size_t *n)
{
    if (!env_ok(env)) return ERR_MALFORMED;
    char *at = text;
    memcpy(at, "sp_", 3);
    at += 3;
    memcpy(at, env.p, env.n);
    at += env.n;
    *at++ = '_';
    /* the id is public, only has to be new: digits and lower case of a longer draw */
    for (size_t got = 0; got < APIKEY_NEW_ID_LEN;) {
        char c;
        secret_base62(&c, 1);
        if (c >= 'A' && c <= 'Z') continue;
        *at++ = c;
        got++;
    }
    *at++ = '_';
    secret_base62(at, APIKEY_SECRET_LEN);
    at += APIKEY_SECRET_LEN;
    checksum((str){text, (size_t)(at - text)}, at);
    at += APIKEY_CHECKSUM_LEN;
    *n = (size_t)(at - text);
    return ERR_OK;
}

bool apikey_matches(str text, const unsigned char sha256_of_key[SHA256_LEN])
{
    unsigned char digest[SHA256_LEN];
    sha256(text, digest);
    return secret_equal(digest, sha256_of_key, sizeof digest);
}
