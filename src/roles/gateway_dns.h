/* The names that instances of services have, kept fresh: asked again when their time to live is over, and a change of
 * addresses becomes a new snapshot.
 *
 * What is in force stays in force until something better is known: a name server that is away, refuses, or says that
 * there is no such name takes no instance away (RFC 8767's idea). Questions are spread in time and bounded; nothing
 * here waits. Owner: the control thread. Knows no connection and no worker. */
#ifndef SALLYPORT_ROLES_GATEWAY_DNS_H
#define SALLYPORT_ROLES_GATEWAY_DNS_H

#include "base/buf.h"
#include "config/snapshot.h"
#include "net/loop.h"

struct gateway;
struct gateway_dns;

/* ERR_NO_MEMORY. */
MUST_USE enum err gateway_dns_new(struct gateway *g, struct gateway_dns **out);
/* NULL is fine. */
void gateway_dns_free(struct gateway_dns **n);

/* That snapshot is in force from now on: its names are followed. Those that stay keep what is known of them. */
void gateway_dns_follow(struct gateway_dns *n, const struct snapshot *snap);

void gateway_dns_metrics(const struct gateway_dns *n, struct buf *out);
/* For /readyz: how many names there are, and one that cannot be looked up now (empty: none). */
size_t gateway_dns_status(const struct gateway_dns *n, str *failing);

#endif
