/* One answer of a name server, read strictly: bytes to records, without I/O (RFC 1035 §4, RFC 3596, RFC 2782).
 *
 * Everything in it may be an attacker's: counts and lengths are checked against the message, a compression pointer
 * leads only backwards, a chain of aliases has an end. Records count only if they belong to the name that was asked
 * for, or to what its aliases lead to. Knows no sockets, no retries and no cache. */
#ifndef SALLYPORT_NET_DNS_MESSAGE_H
#define SALLYPORT_NET_DNS_MESSAGE_H

#include "base/str.h"

#define DNS_MESSAGE_MAX 65535
#define DNS_RECORDS_MAX 64  /* of one answer that are used; what is beyond is left out and told */
#define DNS_ALIASES_MAX 16  /* CNAMEs in a row */
#define DNS_NAME_MAX    254 /* as text, without the last dot */

enum dns_type { DNS_TYPE_A = 1, DNS_TYPE_CNAME = 5, DNS_TYPE_SOA = 6, DNS_TYPE_AAAA = 28, DNS_TYPE_SRV = 33 };

struct dns_record {
    uint8_t ip[16]; /* DNS_TYPE_A: the first four; DNS_TYPE_AAAA: all */
    uint16_t priority, weight, port;
    char target[DNS_NAME_MAX + 1]; /* DNS_TYPE_SRV: lower case; "" is the root: "not here" */
};

struct dns_message {
    uint8_t rcode;  /* 0: there is such a name; 3: there is none (RFC 1035 §4.1.1) */
    bool truncated; /* TC: the whole is to be had over TCP */
    bool left_out;  /* there are more than DNS_RECORDS_MAX */
    uint32_t ttl_s; /* the least of aliases and records; without records that of the negative answer (RFC 2308 §5), or
                       UINT32_MAX when the message does not say */
    size_t n;
    struct dns_record v[DNS_RECORDS_MAX];
};

/* `name` without a last dot. ERR_MALFORMED: no answer to that question, or one that is not well formed; *out is then
 * undefined. */
MUST_USE enum err dns_message_read(const unsigned char *p, size_t n, str name, enum dns_type type,
                                   struct dns_message *out);

/* Whether it can stand in a question: labels of 1..63 letters, digits, '-' and '_', 253 bytes at most. */
bool dns_name_ok(str name);

#endif
