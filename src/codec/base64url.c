#include "codec/base64url.h"

/* The value of each character; NO has a bit that no value has, so that a group is checked with one test. */
#define NO 0x80u

/* clang-format off */
static const unsigned char value_of[256] = {
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, NO,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, NO, NO, NO,
    NO, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, 63,
    NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
};
/* clang-format on */

static const char digit_of[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum err base64url_decode(str in, unsigned char *out, size_t *out_n)
{
    const unsigned char *p = (const unsigned char *)in.p, *whole = p + in.n / 4 * 4;
    unsigned char *o = out;
    unsigned bad = 0;
    for (; p < whole; p += 4, o += 3) {
        unsigned a = value_of[p[0]], b = value_of[p[1]], c = value_of[p[2]], d = value_of[p[3]];
        unsigned v = a << 18 | b << 12 | c << 6 | d;
        bad |= a | b | c | d;
        o[0] = (unsigned char)(v >> 16);
        o[1] = (unsigned char)(v >> 8);
        o[2] = (unsigned char)v;
    }
    size_t tail = in.n % 4;
    if (tail == 1) return ERR_MALFORMED;
    if (tail) {
        unsigned a = value_of[p[0]], b = value_of[p[1]], c = tail == 3 ? value_of[p[2]] : 0;
        bad |= a | b | c;
        /* bits that belong to no byte must be zero, or two texts would stand for the same bytes (RFC 4648 §3.5) */
        if (tail == 2 ? b & 15 : c & 3) return ERR_MALFORMED;
        *o++ = (unsigned char)(a << 2 | b >> 4);
        if (tail == 3) *o++ = (unsigned char)(b << 4 | c >> 2);
    }
    if (bad & NO) return ERR_MALFORMED;
    *out_n = (size_t)(o - out);
    return ERR_OK;
}

void base64url_encode(const void *in, size_t n, char *out)
{
    const unsigned char *p = in;
    for (; n >= 3; n -= 3, p += 3, out += 4) {
        unsigned v = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
        out[0] = digit_of[v >> 18];
        out[1] = digit_of[v >> 12 & 63];
        out[2] = digit_of[v >> 6 & 63];
        out[3] = digit_of[v & 63];
    }
    if (n) {
        unsigned v = (unsigned)p[0] << 16 | (n == 2 ? (unsigned)p[1] << 8 : 0);
        out[0] = digit_of[v >> 18];
        out[1] = digit_of[v >> 12 & 63];
        if (n == 2) out[2] = digit_of[v >> 6 & 63];
    }
}
