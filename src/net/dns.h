/* Names to addresses, beside nobody: questions of one loop to the name servers (c-ares), answered later.
 *
 * A host is asked for A and AAAA at once; a service (RFC 2782) for SRV, then its targets for both. /etc/hosts counts
 * before the name servers, `localhost` is this machine (RFC 6761 §6.3). What an answer holds is in bounds, and each
 * question ends after its time, whatever the servers do. Nothing is cached here: the answer says how long it is good.
 *
 * Owner: one loop's thread. Knows nothing of what the addresses are for. */
#ifndef SALLYPORT_NET_DNS_H
#define SALLYPORT_NET_DNS_H

#include "net/loop.h"
#include "net/socket.h"

struct dns;
struct dns_question;

#define DNS_ADDRESSES_MAX 64    /* of one answer */
#define DNS_TARGETS_MAX   16    /* of one service that are asked for */
#define DNS_QUESTIONS_MAX 256   /* under way at once */
#define DNS_TIMEOUT_MS    5000u /* of one question with all its parts */
#define DNS_TTL_MIN_MS    1000u
#define DNS_TTL_MAX_MS    3600000u

struct dns_options {
    const char *servers;     /* "10.0.0.53,[fd00::53]:5353"; NULL: as resolv.conf says, followed when it changes */
    const char *hosts_path;  /* NULL: /etc/hosts */
    const char *resolv_path; /* NULL: /etc/resolv.conf; search list and ndots come from it in any case */
    uint32_t timeout_ms;     /* 0: DNS_TIMEOUT_MS */
};

enum dns_fault {
    DNS_FAULT_NONE = 0,
    DNS_FAULT_NAME,   /* there is no such name, or it has no address: said by a name server */
    DNS_FAULT_SERVER, /* the name servers refuse or fail, or none can be reached */
    DNS_FAULT_TIME,   /* no answer in time */
    DNS_FAULT_ANSWER, /* an answer that is not well formed */
    DNS_FAULT_MEMORY
};

/* For people: "no such name". Never NULL. */
const char *dns_fault_text(enum dns_fault f);

struct dns_address {
    struct net_addr addr;
    uint16_t priority, weight; /* of the SRV record; else 0 */
    uint32_t origin;           /* tells which part of the question it answers: which target, which family */
    str host;                  /* the target; of a host the name that was asked for */
};

/* What one question came to. Addresses are sorted and none is there twice: equal sets are equal arrays. */
struct dns_answer {
    enum dns_fault fault;        /* DNS_FAULT_NONE: at least one address */
    const struct dns_address *v; /* borrowed for the call */
    size_t n;
    const uint32_t *failed; /* origins that nothing was learnt of: what was known of them may still be so */
    size_t n_failed;
    bool left_out;   /* there were more than DNS_ADDRESSES_MAX or DNS_TARGETS_MAX */
    uint32_t ttl_ms; /* DNS_TTL_MIN_MS … DNS_TTL_MAX_MS; also of DNS_FAULT_NAME, 0 of other faults */
};

/* ERR_MALFORMED: `servers` is no list of addresses. ERR_NO_MEMORY, ERR_IO. */
MUST_USE enum err dns_new(struct loop *loop, const struct dns_options *options, struct dns **out);
/* Questions under way are cancelled. NULL is fine. */
void dns_free(struct dns **d);

/* Asks for `host`, or for the service of that name when `service`. `port` goes into the addresses of a host. `done` is
 * called once from the loop, never from inside this call. ERR_MALFORMED: cannot be a name. ERR_LIMIT: too many are
 * under way. ERR_NO_MEMORY. */
MUST_USE enum err dns_ask(struct dns *d, str host, uint16_t port, bool service,
                          void (*done)(void *user, const struct dns_answer *a), void *user, struct dns_question **out);
/* `done` will not be called any more. */
void dns_cancel(struct dns_question **q);

/* The origin of an address that another resolver has found for that host. */
uint32_t dns_origin(str host, bool v6);

/* How many are under way, those included that nobody waits for any more. */
size_t dns_under_way(const struct dns *d);

#endif
