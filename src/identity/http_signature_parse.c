#include "identity/http_signature_parse.h"

#include "codec/base64url.h"

#define SF_KEY_MAX 64
#define SF_CODED   ((SF_BYTES_MAX + 2) / 3 * 4)
#define SF_INT_MAX 15

bool sf_end(const struct sf *in)
{
    return in->rest.n == 0;
}

bool sf_char(struct sf *in, char c)
{
    if (!in->rest.n || in->rest.p[0] != c) return false;
    in->rest = str_from(in->rest, 1);
    return true;
}

static void skip_blanks(struct sf *in)
{
    while (sf_char(in, ' ') || sf_char(in, '\t')) {
    }
}

bool sf_comma(struct sf *in)
{
    skip_blanks(in);
    if (!sf_char(in, ',')) return false;
    skip_blanks(in);
    return !sf_end(in);
}

static bool is_key_byte(char c, bool first)
{
    if ((c >= 'a' && c <= 'z') || c == '*') return true;
    return !first && ((c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-');
}

bool sf_key(struct sf *in, str *out)
{
    size_t n = 0;
    while (n < in->rest.n && n <= SF_KEY_MAX && is_key_byte(in->rest.p[n], n == 0)) n++;
    if (n == 0 || n > SF_KEY_MAX) return false;
    *out = str_first(in->rest, n);
    in->rest = str_from(in->rest, n);
    return true;
}

bool sf_string(struct sf *in, str *out)
{
    struct sf s = *in;
    if (!sf_char(&s, '"')) return false;
    size_t n = str_find(s.rest, '"');
    if (n == s.rest.n) return false;
    for (size_t i = 0; i < n; i++)
        if (s.rest.p[i] < ' ' || s.rest.p[i] > '~' || s.rest.p[i] == '\\') return false;
    *out = str_first(s.rest, n);
    in->rest = str_from(s.rest, n + 1);
    return true;
}

bool sf_integer(struct sf *in, int64_t *out)
{
    size_t n = 0;
    uint64_t v;
    while (n < in->rest.n && n <= SF_INT_MAX && in->rest.p[n] >= '0' && in->rest.p[n] <= '9') n++;
    if (n == 0 || n > SF_INT_MAX || (n > 1 && in->rest.p[0] == '0')) return false;
    if (str_to_u64(str_first(in->rest, n), &v) != ERR_OK) return false;
    *out = (int64_t)v;
    in->rest = str_from(in->rest, n);
    return true;
}

/* RFC 4648 §4 by way of our strict §5: other letters, and the padding that must be there. */
static bool base64_decode(str in, unsigned char *out, size_t *n)
{
    char coded[SF_CODED];
    if (in.n == 0 || in.n > sizeof coded || in.n % 4) return false;
    size_t m = in.n;
    if (in.p[m - 1] == '=') m--;
    if (in.p[m - 1] == '=') m--;
    for (size_t i = 0; i < m; i++) {
        char c = in.p[i];
        if (c == '-' || c == '_' || c == '=') return false;
        coded[i] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    unsigned char room[SF_CODED];
    if (base64url_decode(str_make(coded, m), room, n) != ERR_OK || *n > SF_BYTES_MAX) return false;
    memcpy(out, room, *n);
    return true;
}

bool sf_bytes(struct sf *in, unsigned char *out, size_t *n)
{
    struct sf s = *in;
    if (!sf_char(&s, ':')) return false;
    size_t end = str_find(s.rest, ':');
    if (end == s.rest.n || !base64_decode(str_first(s.rest, end), out, n)) return false;
    in->rest = str_from(s.rest, end + 1);
    return true;
}

void sf_put_bytes(struct buf *out, str bytes)
{
    size_t n = base64url_encoded_len(bytes.n);
    buf_putc(out, ':');
    char *room = buf_room(out, n);
    if (!room) return;
    base64url_encode(bytes.p, bytes.n, room);
    for (size_t i = 0; i < n; i++) room[i] = room[i] == '-' ? '+' : room[i] == '_' ? '/' : room[i];
    out->n += n;
    for (; n % 4; n++) buf_putc(out, '=');
    buf_putc(out, ':');
}
