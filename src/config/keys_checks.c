#include "config/keys_private.h"

#include "codec/url.h"
#include "config/lookup.h"
#include "config/pattern.h"
#include "crypto/key.h"
#include "http/field_name.h"
#include "identity/issuer.h"

const char *check_name(const char *text, size_t n)
{
    return value_name_ok(str_make(text, n)) ? NULL : "1 to 64 letters, digits, '_' or '-', a letter first";
}

const char *check_action_name(const char *text, size_t n)
{
    return value_action_name_ok(str_make(text, n)) ? NULL : "1 to 64 letters, digits, '_', '-' or '.', a letter first";
}

/* Roles and permissions are what issuers write: any text. */
const char *check_permission(const char *text, size_t n)
{
    bool ok = n >= 1 && n <= 256 && !value_has_control(str_make(text, n));
    return ok ? NULL : "1 to 256 characters without control characters";
}

const char *check_gateway_name(const char *text, size_t n)
{
    return n <= 64 && http_token_ok(str_make(text, n))
               ? NULL
               : "at most 64 characters of an HTTP token (letters, digits, - . _)";
}

const char *check_environment(const char *text, size_t n)
{
    return value_lower_ok(str_make(text, n), 1, 12) ? NULL : "1 to 12 characters of a-z and 0-9";
}

const char *check_long(const char *text, size_t n)
{
    (void)text;
    return n <= 2048 ? NULL : "at most 2048 bytes";
}

const char *check_path(const char *text, size_t n)
{
    (void)text;
    return n <= 1024 ? NULL : "a path of at most 1024 bytes";
}

const char *check_https(const char *text, size_t n)
{
    struct url url;
    bool ok = url_parse(str_make(text, n), &url, NULL) == ERR_OK && url.tls;
    return ok ? NULL : "an https:// URL without user and fragment";
}

const char *check_url(const char *text, size_t n)
{
    struct url url;
    return url_parse(str_make(text, n), &url, NULL) == ERR_OK ? NULL
                                                              : "an http:// or https:// URL without user and fragment";
}

/* A number, with a port or without. */
const char *check_name_server(const char *text, size_t n)
{
    str s = str_make(text, n), host = s, port = STR_NONE;
    uint64_t number = 53;
    if (n && text[0] == '[') {
        size_t end = str_find(s, ']');
        host = str_make(text + 1, end < n ? end - 1 : 0);
        port = str_from(s, end + 1);
    } else if (str_has(s, ':') && !str_has(str_from(s, str_find(s, ':') + 1), ':')) {
        host = str_first(s, str_find(s, ':'));
        port = str_from(s, host.n);
    }
    bool ok = lookup_is_number(host);
    if (port.n) ok = ok && port.p[0] == ':' && str_to_u64(str_from(port, 1), &number) == ERR_OK;
    return ok && number >= 1 && number <= 65535 ? NULL : "an IP address, with a port or without: '10.0.0.53:5353'";
}

const char *check_algorithm(const char *text, size_t n)
{
    return alg_from_name(str_make(text, n)) != ALG_INVALID
               ? NULL
               : "one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512";
}

/* Those that the Authentication Service signs with. */
const char *check_signing_algorithm(const char *text, size_t n)
{
    uint32_t bit = alg_bit(alg_from_name(str_make(text, n)));
    return bit & CONFIG_SIGNING_ALGS ? NULL : "one of ES256, ES384, RS256, PS256, EdDSA";
}

const char *check_own_issuer(const char *text, size_t n)
{
    struct url url;
    str s = str_make(text, n);
    bool ok = n <= 512 && url_parse(s, &url, NULL) == ERR_OK && !str_has(s, '?');
    return ok ? NULL : "an https:// URL of at most 512 bytes, without query and fragment";
}

const char *check_user_base(const char *text, size_t n)
{
    return value_user_base_ok(str_make(text, n)) ? NULL : "1 to 32 characters of a-z, 0-9 and '-', a letter first";
}

const char *check_claim(const char *text, size_t n)
{
    char room[512];
    struct arena mem;
    struct claim_path path;
    arena_init(&mem, room, sizeof room, 0);
    bool ok = n <= 256 && claim_path_parse(&mem, str_make(text, n), &path) == ERR_OK;
    return ok ? NULL : "a claim of at most 256 bytes and 8 steps";
}

const char *check_strip(const char *text, size_t n)
{
    return pattern_prefix_ok(str_make(text, n)) ? NULL
                                                : "a path of literal segments without a slash at its end, such as /api";
}
