#include "identity/principal.h"

/* What stands for itself: visible ASCII without '%', ',' and, in a principal, ':'. */
static inline bool plain(unsigned char c, bool in_principal)
{
    return c > 0x20 && c < 0x7f && c != '%' && c != ',' && !(c == ':' && in_principal);
}

static size_t encoded_len(str value, bool in_principal)
{
    size_t n = 0;
    for (size_t i = 0; i < value.n; i++) n += plain((unsigned char)value.p[i], in_principal) ? 1 : 3;
    return n;
}

static char *encode(str value, bool in_principal, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if (plain(c, in_principal)) {
            *out++ = (char)c;
        } else {
            *out++ = '%';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
    }
    return out;
}

/* Upper case only: the encoder writes no other, and two spellings of one value would not be injective. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static enum err decode(str in, bool in_principal, char *out, size_t *out_n)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        if (c == '%') {
            if (in.n - i < 3) return ERR_MALFORMED;
            int high = hex_digit(in.p[i + 1]), low = hex_digit(in.p[i + 2]);
            if (high < 0 || low < 0) return ERR_MALFORMED;
            c = (unsigned char)(high << 4 | low);
            if (plain(c, in_principal)) return ERR_MALFORMED;
            i += 2;
        } else if (!plain(c, in_principal)) {
            return ERR_MALFORMED;
        }
        out[n++] = (char)c;
    }
    *out_n = n;
    return ERR_OK;
}

size_t principal_part_encoded_len(str part)
{
    return encoded_len(part, true);
}

char *principal_part_encode(str part, char *out)
{
    return encode(part, true, out);
}

enum err principal_part_decode(str in, char *out, size_t *out_n)
{
    return decode(in, true, out, out_n);
}

size_t header_value_encoded_len(str value)
{
    return encoded_len(value, false);
}

char *header_value_encode(str value, char *out)
{
    return encode(value, false, out);
}

enum err header_value_decode(str in, char *out, size_t *out_n)
{
    return decode(in, false, out, out_n);
}

str principal_encode(str prefix, str subject, struct arena *mem)
{
    size_t n = (prefix.n ? principal_part_encoded_len(prefix) + 1 : 0) + principal_part_encoded_len(subject);
    char *p = arena_alloc(mem, n ? n : 1), *at = p;
    if (!p) return STR_NONE;
    if (prefix.n) {
        at = principal_part_encode(prefix, at);
        *at++ = ':';
    }
    principal_part_encode(subject, at);
    return (str){p, n};
}

str header_list_encode(const str *values, size_t n, struct arena *mem)
{
    size_t room = n ? n - 1 : 0;
    for (size_t i = 0; i < n; i++) room += header_value_encoded_len(values[i]);
    char *p = arena_alloc(mem, room ? room : 1), *at = p;
    if (!p) return STR_NONE;
    for (size_t i = 0; i < n; i++) {
        if (i) *at++ = ',';
        at = header_value_encode(values[i], at);
    }
    return (str){p, room};
}
