/* Paths, hosts and URLs. A canonical path stays what it is, says what the input said, and tells every reader the same:
 * one that decodes it once more than it should finds no other segments either. */
#include "base/utf8.h"
#include "codec/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) abort();
}

/* Decodes every escape that is one, leaves the rest: what careless software does. */
static str decode_loosely(str s, char *to)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char text[3] = {0};
        if (s.p[i] == '%' && s.n - i >= 3) memcpy(text, s.p + i + 1, 2);
        if (text[0] && (url_class[(unsigned char)text[0]] & url_class[(unsigned char)text[1]] & URL_HEX)) {
            to[n++] = (char)strtoul(text, NULL, 16);
            i += 2;
        } else {
            to[n++] = s.p[i];
        }
    }
    return str_make(to, n);
}

static size_t slashes(str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += s.p[i] == '/';
    return n;
}

static void has_no_other_reading(str s, size_t segments)
{
    check(utf8_valid(s) && s.p[0] == '/' && slashes(s) == segments);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool last = i + 1 == s.n;
        check((unsigned char)c >= 0x20 && c != 0x7f && c != '\\' && c != ';');
        check(c != '.' || (!last && s.p[i + 1] != '/'));
        check(c != '/' || last || s.p[i + 1] != '/');
    }
}

static void path(str in)
{
    char *room = malloc(3 * in.n + 3);
    check(room != NULL);
    struct arena mem;
    arena_init(&mem, NULL, 0, 1 << 20);
    str out, again;
    enum path_fault fault = PATH_FAULT_NONE;
    if (path_canonical(in, &mem, &out, &fault) == ERR_OK) {
        check(path_canonical(out, NULL, &again, NULL) == ERR_OK && again.p == out.p && again.n == out.n);
        str one = decode_loosely(in, room), other = decode_loosely(out, room + in.n);
        check(str_eq(one, other));
        has_no_other_reading(out, slashes(out));
        has_no_other_reading(other, slashes(out));
        str twice = decode_loosely(other, room + in.n + out.n);
        has_no_other_reading(twice, slashes(out));
        check(str_eq(twice, other));
        check(percent_decode(out, &mem, &again) == ERR_OK && str_eq(again, other));
    } else {
        check(fault != PATH_FAULT_NONE && fault != PATH_FAULT_MEMORY);
    }
    arena_reset(&mem);
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    char *copy = malloc(size);
    check(copy != NULL);
    memcpy(copy, data, size);
    str in = str_make(copy, size);
    path(in);

    struct url u;
    struct authority a;
    enum url_fault fault = URL_FAULT_NONE;
    if (url_parse(in, &u, &fault) == ERR_OK) {
        check(url_authority(u.authority, &a) == ERR_OK && str_eq(a.host, u.host) && u.port != 0);
        check(u.host.n && u.path.n && u.path.p[0] == '/' && url_query_ok(u.target));
        check(!str_has(u.authority, '@') && !str_has(u.target, '#') && !str_has(u.path, '?'));
    } else {
        check(fault != URL_FAULT_NONE);
    }
    if (url_authority(in, &a) == ERR_OK) check(a.host.n && a.host.n <= 253 && in.n <= 253 + 6);
    free(copy);
    return 0;
}
