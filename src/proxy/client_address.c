/* Who is at the other end, once hops of our own are taken away: the last address of X-Forwarded-For that is none of
 * them, when the one who sent it is one. Whatever stands to the left of that one was said by a stranger. */
#include "proxy/exchange.h"

#include <arpa/inet.h>

#define HOPS_MAX 32 /* members that are looked at; nobody has more gateways in a row */

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80", "unix". False: none of these. */
static bool parse(str s, struct net_peer *out)
{
    char text[INET6_ADDRSTRLEN];
    *out = (struct net_peer){0};
    if (str_eq(s, STR("unix"))) {
        out->family = 1;
        return true;
    }
    if (s.n && s.p[0] == '[')
        s = str_first(str_from(s, 1), str_find(s, ']') - 1);
    else if (str_find(s, ':') < s.n && str_find(str_from(s, str_find(s, ':') + 1), ':') == s.n - str_find(s, ':') - 1)
        s = str_first(s, str_find(s, ':')); /* one colon: a port */
    if (s.n == 0 || s.n >= sizeof text) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    if (inet_pton(AF_INET, text, out->ip) == 1) {
        out->family = 4;
        return true;
    }
    struct in6_addr six;
    if (inet_pton(AF_INET6, text, &six) != 1) return false;
    bool mapped = IN6_IS_ADDR_V4MAPPED(&six);
    out->family = mapped ? 4 : 6;
    memcpy(out->ip, six.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
    return true;
}

static bool trusted(const struct exchange *x, const struct net_peer *p)
{
    struct sockaddr_storage ss;
    net_peer_sockaddr(p, &ss);
    return snapshot_hop_trusted(x->config->snap, (const struct sockaddr *)&ss);
}

void exchange_client_address(const struct exchange *x, struct net_peer *out)
{
    const struct fields *f = &x->down.request.fields;
    *out = *x->down.peer;
    if (LIKELY(!x->config->snap->n_networks) || !trusted(x, out)) return;
    unsigned looked = 0;
    for (uint32_t i = f->n; i-- > 0;) {
        if (f->v[i].id != FIELD_X_FORWARDED_FOR || f->v[i].twin) continue;
        str rest = f->v[i].value;
        while (rest.n) {
            size_t comma = rest.n;
            while (comma > 0 && rest.p[comma - 1] != ',') comma--;
            struct net_peer one;
            if (++looked > HOPS_MAX || !parse(str_trim(str_from(rest, comma)), &one)) return;
            *out = one;
            if (!trusted(x, out)) return;
            rest = str_first(rest, comma ? comma - 1 : 0);
        }
    }
}
