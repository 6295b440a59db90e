/* Hosts, authorities and absolute URLs (RFC 3986 §3.2, RFC 1123 §2.1). */
#include "codec/url.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return (url_class[(unsigned char)c] & URL_HEX) != 0;
}

/* Four numbers 0..255, no leading zeros. */
static bool ipv4_ok(str s)
{
    size_t i = 0;
    for (int part = 0; part < 4; part++) {
        if (part && (i >= s.n || s.p[i++] != '.')) return false;
        unsigned v = 0;
        size_t from = i;
        while (i < s.n && is_digit(s.p[i]) && i - from < 3) v = v * 10 + (unsigned)(s.p[i++] - '0');
        if (i == from || v > 255 || (i - from > 1 && s.p[from] == '0')) return false;
    }
    return i == s.n;
}

/* RFC 4291 §2.2: eight groups of 1..4 hex digits, one run of them may be "::", the last two may be a dotted quad. */
static bool ipv6_ok(str s)
{
    int groups = 0;
    bool gap = false;
    size_t i = 0;
    if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') {
        gap = true;
        i = 2;
    }
    while (i < s.n) {
        size_t from = i;
        while (i < s.n && is_hex(s.p[i]) && i - from < 5) i++;
        if (i < s.n && s.p[i] == '.') {
            groups += 2;
            return ipv4_ok(str_from(s, from)) && (gap ? groups < 8 : groups == 8);
        }
        if (i == from || i - from > 4) return false;
        groups++;
        if (i == s.n) break;
        if (s.p[i++] != ':') return false;
        if (i == s.n) return false;
        if (s.p[i] == ':') {
            if (gap) return false;
            gap = true;
            i++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

/* Whether other software might take a host whose last label is this for a number (WHATWG URL, "ends in a number"). */
static bool numeric_label(str label)
{
    bool digits = true, hex = true;
    for (size_t i = 0; i < label.n; i++) {
        digits = digits && is_digit(label.p[i]);
        hex = hex && (i < 2 || is_hex(label.p[i]));
    }
    return digits || (hex && label.n >= 2 && label.p[0] == '0' && (label.p[1] | 0x20) == 'x');
}

enum err url_host(str host, enum host_kind *kind)
{
    if (host.n == 0 || host.n > 253 || host.p[0] == '-') return ERR_MALFORMED;
    if (host.p[0] == '[') {
        if (host.p[host.n - 1] != ']' || !ipv6_ok(str_make(host.p + 1, host.n - 2))) return ERR_MALFORMED;
        *kind = HOST_IPV6;
        return ERR_OK;
    }
    size_t label = 0, last = 0; /* where this label and the last one that is not empty begin */
    for (size_t i = 0; i < host.n; i++) {
        if (url_class[(unsigned char)host.p[i]] & URL_HOST) continue;
        if (host.p[i] != '.' || i == label || i - label > 63) return ERR_MALFORMED;
        last = label;
        label = i + 1;
    }
    size_t end = host.n;
    if (label == host.n)
        end--; /* one dot may end a name */
    else
        last = label;
    if (end - last > 63) return ERR_MALFORMED;
    if (UNLIKELY(is_digit(host.p[last])) && numeric_label(str_make(host.p + last, end - last))) {
        if (!ipv4_ok(host)) return ERR_MALFORMED;
        *kind = HOST_IPV4;
        return ERR_OK;
    }
    *kind = HOST_NAME;
    return ERR_OK;
}

/* 1..65535, no leading zeros. */
static bool port_read(str s, uint16_t *port)
{
    unsigned v = 0;
    if (s.n == 0 || s.n > 5 || s.p[0] == '0') return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!is_digit(s.p[i])) return false;
        v = v * 10 + (unsigned)(s.p[i] - '0');
    }
    if (v > 65535) return false;
    *port = (uint16_t)v;
    return true;
}

enum err url_authority(str s, struct authority *out)
{
    struct authority a = {.port = 0};
    size_t from = 0;
    if (s.n && s.p[0] == '[') {
        from = str_find(s, ']');
        if (from == s.n) return ERR_MALFORMED;
    }
    size_t colon = from + str_find(str_from(s, from), ':');
    a.host = str_first(s, colon);
    if (url_host(a.host, &a.kind) != ERR_OK) return ERR_MALFORMED;
    if (colon < s.n && !port_read(str_from(s, colon + 1), &a.port)) return ERR_MALFORMED;
    if (a.kind == HOST_IPV6) a.host = str_make(a.host.p + 1, a.host.n - 2);
    *out = a;
    return ERR_OK;
}

const char *url_fault_name(enum url_fault f)
{
    static const char *const names[] = {"none", "size", "scheme", "userinfo", "host", "path", "fragment"};
    return (unsigned)f < ARRAY_LEN(names) ? names[f] : "unknown";
}

static bool path_bytes_ok(str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '%') {
            if (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])) return false;
            i += 2;
        } else if (c != ';' && !(url_class[c] & URL_PATH)) {
            return false;
        }
    }
    return true;
}

static enum err refuse(enum url_fault f, enum url_fault *fault)
{
    if (fault) *fault = f;
    return f == URL_FAULT_SIZE ? ERR_LIMIT : ERR_MALFORMED;
}

enum err url_parse(str s, struct url *out, enum url_fault *fault)
{
    struct url u = {.port = 80};
    struct authority a;
    if (s.n > URL_MAX) return refuse(URL_FAULT_SIZE, fault);
    u.tls = str_ieq(str_first(s, 8), STR("https://"));
    if (!u.tls && !str_ieq(str_first(s, 7), STR("http://"))) return refuse(URL_FAULT_SCHEME, fault);
    if (u.tls) u.port = 443;
    str rest = str_from(s, u.tls ? 8 : 7);
    if (str_has(rest, '#')) return refuse(URL_FAULT_FRAGMENT, fault);

    size_t slash = str_find(rest, '/');
    u.authority = str_first(rest, slash);
    if (str_has(u.authority, '@')) return refuse(URL_FAULT_USERINFO, fault);
    if (url_authority(u.authority, &a) != ERR_OK) return refuse(URL_FAULT_HOST, fault);
    u.host = a.host;
    u.kind = a.kind;
    if (a.port) u.port = a.port;

    u.target = slash < rest.n ? str_from(rest, slash) : STR("/");
    size_t mark = str_find(u.target, '?');
    u.path = str_first(u.target, mark);
    u.has_query = mark < u.target.n;
    u.query = str_from(u.target, mark + 1);
    if (!path_bytes_ok(u.path) || !url_query_ok(u.query)) return refuse(URL_FAULT_PATH, fault);
    *out = u;
    return ERR_OK;
}
