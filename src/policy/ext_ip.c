/* ip("10.0.0.0/8"), ip("::1"): one address or a range. No zone, no IPv4 inside IPv6, no leading zeros. */
#include "policy/ext.h"

#define IP_TEXT_MAX 43

static bool parse_v4(str s, uint8_t out[4])
{
    for (int part = 0; part < 4; part++) {
        size_t i = 0;
        unsigned v = 0;
        for (; i < s.n && i < 4 && s.p[i] >= '0' && s.p[i] <= '9'; i++) v = v * 10 + (unsigned)(s.p[i] - '0');
        if (i == 0 || i > 3 || v > 255 || (i > 1 && s.p[0] == '0')) return false;
        out[part] = (uint8_t)v;
        s = str_from(s, i);
        if (part < 3) {
            if (!s.n || s.p[0] != '.') return false;
            s = str_from(s, 1);
        }
    }
    return s.n == 0;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Groups up to the end or "::"; how many, or -1. */
static int read_groups(str *s, uint16_t groups[8], int max)
{
    int n = 0;
    while (s->n && s->p[0] != ':') {
        unsigned v = 0;
        size_t i = 0;
        for (; i < s->n && hex(s->p[i]) >= 0; i++) {
            if (i == 4) return -1;
            v = v * 16 + (unsigned)hex(s->p[i]);
        }
        if (i == 0 || n == max) return -1;
        groups[n++] = (uint16_t)v;
        *s = str_from(*s, i);
        if (!s->n) break;
        if (s->p[0] != ':' || s->n == 1) return -1;
        if (s->p[1] == ':') break;
        *s = str_from(*s, 1);
    }
    return n;
}

static bool parse_v6(str s, uint8_t out[16])
{
    uint16_t head[8], tail[8], all[8] = {0};
    int h = read_groups(&s, head, 8), t = 0;
    if (h < 0) return false;
    if (s.n) {
        if (!str_starts(s, STR("::"))) return false;
        s = str_from(s, 2);
        t = read_groups(&s, tail, 8);
        if (t < 0 || s.n || h + t > 7) return false;
    } else if (h != 8) {
        return false;
    }
    for (int i = 0; i < h; i++) all[i] = head[i];
    for (int i = 0; i < t; i++) all[8 - t + i] = tail[i];
    for (int i = 0; i < 8; i++) {
        out[2 * i] = (uint8_t)(all[i] >> 8);
        out[2 * i + 1] = (uint8_t)all[i];
    }
    return true;
}

bool ext_parse_ip(str s, uint8_t bytes[16], bool *v6, uint8_t *prefix)
{
    if (s.n > IP_TEXT_MAX) return false;
    size_t slash = str_find(s, '/');
    str addr = str_first(s, slash), len = str_from(s, slash + 1);
    bool is_v6 = str_has(addr, ':');
    if (is_v6 ? !parse_v6(addr, bytes) : !parse_v4(addr, bytes)) return false;
    unsigned max = is_v6 ? 128 : 32, p = max;
    if (slash < s.n) {
        uint64_t v;
        if (len.n > 3 || (len.n > 1 && len.p[0] == '0') || str_to_u64(len, &v) != ERR_OK || v > max) return false;
        p = (unsigned)v;
    }
    *v6 = is_v6;
    *prefix = (uint8_t)p;
    return true;
}

bool ext_ip_is_loopback(const struct value *ip)
{
    static const uint8_t one[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    if (!ip->v6) return ip->ip[0] == 127 && ip->prefix >= 8;
    return memcmp(ip->ip, one, 16) == 0 && ip->prefix == 128;
}

bool ext_ip_is_multicast(const struct value *ip)
{
    if (!ip->v6) return (ip->ip[0] & 0xf0) == 0xe0 && ip->prefix >= 4;
    return ip->ip[0] == 0xff && ip->prefix >= 8;
}

bool ext_ip_in_range(const struct value *ip, const struct value *range)
{
    /* Inside means: the range's network is no longer than ours, and both agree on its bits. */
    if (ip->v6 != range->v6 || ip->prefix < range->prefix) return false;
    unsigned whole = range->prefix / 8, rest = range->prefix % 8;
    if (memcmp(ip->ip, range->ip, whole) != 0) return false;
    if (!rest) return true;
    unsigned mask = 0xff00u >> rest & 0xff;
    return ((ip->ip[whole] ^ range->ip[whole]) & mask) == 0;
}

void ext_ip_print(const struct value *ip, struct buf *out)
{
    if (!ip->v6) {
        buf_printf(out, "%u.%u.%u.%u/%u", ip->ip[0], ip->ip[1], ip->ip[2], ip->ip[3], ip->prefix);
        return;
    }
    for (int i = 0; i < 8; i++)
        buf_printf(out, "%s%x", i ? ":" : "", (unsigned)(ip->ip[2 * i] << 8 | ip->ip[2 * i + 1]));
    buf_printf(out, "/%u", ip->prefix);
}
