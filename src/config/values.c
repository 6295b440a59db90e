#include "config/values.h"

#include "codec/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>

/* --- numbers with a unit --- */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit sizes[] = {{"", 1}, {"B", 1}, {"kB", 1024}, {"MB", 1024 * 1024}, {"GB", 1024 * 1024 * 1024}};
static const struct unit durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

static enum err with_unit(str s, const struct unit *units, size_t n_units, uint64_t *out)
{
    size_t digits = 0;
    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9') digits++;
    uint64_t v;
    enum err e = str_to_u64(str_first(s, digits), &v);
    if (e != ERR_OK) return e;
    for (size_t i = 0; i < n_units; i++) {
        if (!str_eq(str_from(s, digits), str_of(units[i].name))) continue;
        if (__builtin_mul_overflow(v, units[i].factor, &v)) return ERR_LIMIT;
        *out = v;
        return ERR_OK;
    }
    return ERR_MALFORMED;
}

enum err value_size(str s, uint64_t *bytes)
{
    return with_unit(s, sizes, ARRAY_LEN(sizes), bytes);
}

enum err value_duration(str s, uint64_t *ms)
{
    return with_unit(s, durations, ARRAY_LEN(durations), ms);
}

static enum err rate_in(str s, size_t n_windows, struct config_rate *out)
{
    static const struct unit windows[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    uint64_t count;
    str window = s, digits = str_cut(&window, '/');
    if (str_to_u64(digits, &count) != ERR_OK || count < 1 || count > 1000000) return ERR_MALFORMED;
    for (size_t i = 0; i < n_windows; i++) {
        if (!str_eq(window, str_of(windows[i].name))) continue;
        *out = (struct config_rate){(uint32_t)count, (uint32_t)windows[i].factor};
        return ERR_OK;
    }
    return ERR_MALFORMED;
}

enum err value_rate(str s, struct config_rate *out)
{
    return rate_in(s, 3, out);
}

enum err value_day_rate(str s, struct config_rate *out)
{
    return rate_in(s, 4, out);
}

enum err value_percent(str s, uint32_t *ppm)
{
    uint64_t whole, part = 0;
    if (!str_ends(s, STR("%"))) return ERR_MALFORMED;
    str digits = str_first(s, s.n - 1), behind = digits;
    bool point = str_has(digits, '.');
    str before = str_cut(&behind, '.');
    if (str_to_u64(before, &whole) != ERR_OK || whole > 100) return ERR_MALFORMED;
    if (point && (behind.n == 0 || behind.n > 4 || str_to_u64(behind, &part) != ERR_OK)) return ERR_MALFORMED;
    for (size_t i = point ? behind.n : 4; i < 4; i++) part *= 10;
    uint64_t all = whole * 10000 + part;
    if (all > 1000000) return ERR_MALFORMED;
    *ppm = (uint32_t)all;
    return ERR_OK;
}

static void unit_text(uint64_t v, const struct unit *units, size_t n_units, char out[VALUE_TEXT])
{
    size_t i = n_units - 1;
    while (i && (v < units[i].factor || v % units[i].factor)) i--;
    snprintf(out, VALUE_TEXT, "%llu%s", (unsigned long long)(v / units[i].factor), units[i].name);
}

void value_size_text(uint64_t bytes, char out[VALUE_TEXT])
{
    unit_text(bytes, sizes + 1, ARRAY_LEN(sizes) - 1, out);
}

void value_duration_text(uint64_t ms, char out[VALUE_TEXT])
{
    if (ms == 0)
        snprintf(out, VALUE_TEXT, "0s");
    else
        unit_text(ms, durations, ARRAY_LEN(durations), out);
}

/* --- addresses --- */

static enum err unix_address(str s, struct config_address *out, const char **why)
{
    str path = str_from(s, 5);
    if (path.n < 2 || path.p[0] != '/') {
        *why = "unix: with an absolute path behind it, such as unix:/run/orders.sock";
        return ERR_MALFORMED;
    }
    if (path.n >= sizeof((struct sockaddr_un *)0)->sun_path) {
        *why = "a socket path of at most 107 bytes";
        return ERR_MALFORMED;
    }
    *out = (struct config_address){.kind = ADDRESS_UNIX, .text = s, .path = path};
    return ERR_OK;
}

enum err value_address(str s, bool need_host, struct config_address *out, const char **why)
{
    if (str_starts(s, STR("unix:"))) return unix_address(s, out, why);
    *why = need_host ? "HOST:PORT, [IPv6]:PORT or unix:/path" : "HOST:PORT, [IPv6]:PORT, :PORT or unix:/path";
    bool all = s.n && s.p[0] == ':';
    struct authority a = {0};
    if (all) {
        uint64_t port;
        str digits = str_from(s, 1);
        if (need_host || str_to_u64(digits, &port) != ERR_OK || port < 1 || port > 65535 || digits.p[0] == '0')
            return ERR_MALFORMED;
        a.port = (uint16_t)port;
    } else if (url_authority(s, &a) != ERR_OK) {
        return ERR_MALFORMED;
    }
    if (a.port == 0) {
        *why = "an address with its port, such as 127.0.0.1:8080";
        return ERR_MALFORMED;
    }
    *out = (struct config_address){.kind = ADDRESS_TCP, .text = s, .host = a.host, .port = a.port};
    return ERR_OK;
}

static bool host_bits_zero(const unsigned char *address, size_t n, unsigned bits)
{
    for (size_t i = bits; i < n * 8; i++)
        if (address[i / 8] >> (7 - i % 8) & 1) return false;
    return true;
}

enum err value_network(str s, struct config_network *out, const char **why)
{
    struct config_network net = {0};
    if (str_eq(s, STR("unix"))) {
        *out = (struct config_network){.any_unix = true};
        return ERR_OK;
    }
    *why = "a network such as 10.0.0.0/8, an address, or unix";
    char text[INET6_ADDRSTRLEN];
    str rest = s, address = str_cut(&rest, '/');
    if (address.n >= sizeof text) return ERR_MALFORMED;
    memcpy(text, address.p, address.n);
    text[address.n] = 0;
    net.family_v6 = str_has(address, ':');
    unsigned max = net.family_v6 ? 128 : 32;
    if (inet_pton(net.family_v6 ? AF_INET6 : AF_INET, text, net.address) != 1) return ERR_MALFORMED;
    uint64_t bits = max;
    if (str_has(s, '/') && (str_to_u64(rest, &bits) != ERR_OK || bits > max)) return ERR_MALFORMED;
    net.bits = (uint8_t)bits;
    if (!host_bits_zero(net.address, max / 8, net.bits)) {
        *why = "a network without bits behind its prefix length (10.0.0.0/8, not 10.0.0.1/8)";
        return ERR_MALFORMED;
    }
    *out = net;
    return ERR_OK;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err value_sha256(str s, unsigned char out[32])
{
    unsigned char bytes[32];
    if (s.n != 64) return ERR_MALFORMED;
    for (size_t i = 0; i < 32; i++) {
        int hi = hex(s.p[2 * i]), lo = hex(s.p[2 * i + 1]);
        if (hi < 0 || lo < 0) return ERR_MALFORMED;
        bytes[i] = (unsigned char)(hi << 4 | lo);
    }
    memcpy(out, bytes, sizeof bytes);
    return ERR_OK;
}

/* --- names --- */

static bool name_of(str s, const char *also)
{
    if (s.n == 0 || s.n > 64) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], low = (char)(c | 0x20);
        bool letter = low >= 'a' && low <= 'z', other = (c >= '0' && c <= '9') || (c && strchr(also, c));
        if (!letter && (i == 0 || !other)) return false;
    }
    return true;
}

bool value_name_ok(str s)
{
    return name_of(s, "_-");
}

bool value_action_name_ok(str s)
{
    return name_of(s, "_-.");
}

bool value_lower_ok(str s, size_t n_min, size_t n_max)
{
    if (s.n < n_min || s.n > n_max) return false;
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9')) return false;
    return true;
}

bool value_user_base_ok(str s)
{
    if (s.n < 1 || s.n > 32 || s.p[0] < 'a' || s.p[0] > 'z') return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
    }
    return true;
}

bool value_has_control(str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c == 0x7f) return true;
        if (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0) return true;
    }
    return false;
}

bool value_sounds_secret(str s)
{
    static const char *const words[] = {"secret", "passw", "token", "credential", "private", "sha256", "sp_"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        for (size_t at = 0; at < s.n; at++)
            if (str_ieq(str_first(str_from(s, at), strlen(words[i])), str_of(words[i]))) return true;
    return false;
}

/* --- did you mean --- */

#define WORD_MAX 64

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance, three rows. */
unsigned value_distance(str a, str b)
{
    if (a.n > WORD_MAX || b.n > WORD_MAX) return UINT32_MAX;
    unsigned row[3][WORD_MAX + 1];
    for (unsigned j = 0; j <= b.n; j++) row[0][j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned *now = row[i % 3], *before = row[(i + 2) % 3];
        const unsigned *two_before = row[(i + 1) % 3];
        now[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            char x = lower(a.p[i - 1]), y = lower(b.p[j - 1]);
            now[j] = least(least(before[j] + 1, now[j - 1] + 1), before[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b.p[j - 2]) && lower(a.p[i - 2]) == y)
                now[j] = least(now[j], two_before[j - 2] + 1);
        }
    }
    return row[a.n % 3][b.n];
}

void value_nearest(struct value_nearest *n, str wrong, str candidate)
{
    size_t longer = wrong.n > candidate.n ? wrong.n : candidate.n;
    size_t apart = wrong.n > candidate.n ? wrong.n - candidate.n : candidate.n - wrong.n;
    unsigned allowed = longer < 3 ? 1 : (unsigned)(longer + 2) / 3;
    if (apart > allowed) return;
    unsigned d = value_distance(wrong, candidate);
    if (d > allowed || d >= longer || (n->best.p && d >= n->distance)) return;
    *n = (struct value_nearest){candidate, d};
}
