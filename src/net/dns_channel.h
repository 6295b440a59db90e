/* c-ares on a loop: one query goes out, its answer comes back as bytes.
 *
 * Sends, repeats, asks the next server, goes over to TCP when an answer is cut, checks ids, ports and questions: all
 * that is c-ares'. Ours are the sockets' events, the timer, and that resolv.conf is read again when it has changed.
 * Private to net/dns.c; owner: one loop's thread. */
#ifndef SALLYPORT_NET_DNS_CHANNEL_H
#define SALLYPORT_NET_DNS_CHANNEL_H

#include "net/dns.h"
#include "net/dns_message.h"

struct dns_channel;

/* dns_new's errors. */
MUST_USE enum err dns_channel_new(struct loop *loop, const struct dns_options *options, struct dns_channel **out);
/* Queries under way end with DNS_FAULT_TIME. */
void dns_channel_free(struct dns_channel **c);

/* `done` is called once, possibly at once. DNS_FAULT_NONE: a message of rcode 0 or 3, borrowed, not read yet. Not from
 * inside `done` when nothing else is under way: resolv.conf may be looked at. */
void dns_channel_query(struct dns_channel *c, const char *name, enum dns_type type,
                       void (*done)(void *arg, enum dns_fault fault, const unsigned char *p, size_t n), void *arg);
/* To be called before a question's first query: follows resolv.conf if nothing is under way. */
void dns_channel_refresh(struct dns_channel *c);

/* The i-th name that `host` may stand for by the search list, in order: false when there are no more. */
bool dns_channel_candidate(const struct dns_channel *c, str host, size_t i, char out[DNS_NAME_MAX + 1]);

#endif
