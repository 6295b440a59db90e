#include "fetch/address.h"

#include <netinet/in.h>

struct range {
    unsigned char ip[16];
    unsigned char bits;
    unsigned char class;
};

static bool within(const unsigned char *ip, const struct range *r)
{
    unsigned whole = r->bits / 8u, rest = r->bits % 8u;
    if (memcmp(ip, r->ip, whole) != 0) return false;
    return rest == 0 || (ip[whole] ^ r->ip[whole]) >> (8 - rest) == 0;
}

/* First match counts. IANA's special-purpose registry, and where clouds keep their metadata services. */
static const struct range ip4_ranges[] = {
    {{100, 100, 100, 200}, 32, ADDRESS_NEVER}, /* Alibaba's metadata, inside RFC 6598 space */
    {{168, 63, 129, 16}, 32, ADDRESS_NEVER},   /* Azure's platform address, in public space */
    {{0}, 8, ADDRESS_NEVER},                   /* "this network"; 0.0.0.0 reaches this machine on Linux */
    {{169, 254}, 16, ADDRESS_NEVER},           /* link-local: most clouds' metadata */
    {{192, 0, 0}, 24, ADDRESS_NEVER},          /* protocol assignments; Oracle's metadata */
    {{192, 0, 2}, 24, ADDRESS_NEVER},          /* documentation, three ranges */
    {{198, 51, 100}, 24, ADDRESS_NEVER},
    {{203, 0, 113}, 24, ADDRESS_NEVER},
    {{192, 88, 99}, 24, ADDRESS_NEVER}, /* 6to4 relays, deprecated */
    {{224}, 4, ADDRESS_NEVER},          /* multicast */
    {{240}, 4, ADDRESS_NEVER},          /* reserved; broadcast */
    {{127}, 8, ADDRESS_LOOPBACK},
    {{10}, 8, ADDRESS_PRIVATE},
    {{172, 16}, 12, ADDRESS_PRIVATE},
    {{192, 168}, 16, ADDRESS_PRIVATE},
    {{100, 64}, 10, ADDRESS_PRIVATE},
    {{198, 18}, 15, ADDRESS_PRIVATE},
};

static const struct range ip6_ranges[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, ADDRESS_LOOPBACK},
    {{0xfd, 0x00, 0x0e, 0xc2}, 32, ADDRESS_NEVER}, /* Amazon's metadata, names and time */
    {{0xfd, 0x20, 0x00, 0xce}, 32, ADDRESS_NEVER}, /* Google's metadata */
    {{0xfc}, 7, ADDRESS_PRIVATE},
    {{0x20, 0x01, 0x00, 0x00}, 23, ADDRESS_NEVER}, /* protocol assignments: Teredo, benchmarking, ORCHID */
    {{0x20, 0x01, 0x0d, 0xb8}, 32, ADDRESS_NEVER}, /* documentation, two ranges */
    {{0x3f, 0xff, 0x00}, 20, ADDRESS_NEVER},
    {{0x20}, 3, ADDRESS_PUBLIC}, /* the only part given out for unicast (RFC 4291 §2.4) */
    {{0}, 0, ADDRESS_NEVER},     /* everything else: unspecified, link-local, site-local, multicast, discard, … */
};

enum address_class address_classify_ip4(const unsigned char ip[4])
{
    for (size_t i = 0; i < ARRAY_LEN(ip4_ranges); i++)
        if (within(ip, &ip4_ranges[i])) return (enum address_class)ip4_ranges[i].class;
    return ADDRESS_PUBLIC;
}

enum address_class address_classify_ip6(const unsigned char ip[16])
{
    /* prefixes behind which an IPv4 address stands, and where */
    static const struct {
        struct range range;
        unsigned char at;
    } carriers[] = {
        {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 0}, 12}, /* mapped (RFC 4291 §2.5.5.2) */
        {{{0x00, 0x64, 0xff, 0x9b}, 96, 0}, 12},                   /* NAT64 (RFC 6052 §2.1) */
        {{{0x20, 0x02}, 16, 0}, 2},                                /* 6to4 (RFC 3056 §2) */
    };
    for (size_t i = 0; i < ARRAY_LEN(carriers); i++)
        if (within(ip, &carriers[i].range)) return address_classify_ip4(ip + carriers[i].at);
    for (size_t i = 0; i < ARRAY_LEN(ip6_ranges); i++)
        if (within(ip, &ip6_ranges[i])) return (enum address_class)ip6_ranges[i].class;
    return ADDRESS_NEVER;
}

enum address_class address_classify(const struct net_addr *a)
{
    if (a->ss.ss_family == AF_INET && a->len >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in v4;
        memcpy(&v4, &a->ss, sizeof v4);
        return address_classify_ip4((const unsigned char *)&v4.sin_addr);
    }
    if (a->ss.ss_family == AF_INET6 && a->len >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 v6;
        memcpy(&v6, &a->ss, sizeof v6);
        return address_classify_ip6(v6.sin6_addr.s6_addr);
    }
    return ADDRESS_NEVER;
}
