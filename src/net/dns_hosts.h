/* The hosts file: names that this machine knows by itself (hosts(5)).
 *
 * Read anew each time, for it is small and asked for seldom; lines that are not well formed are passed over. Any
 * thread. Knows no name servers. */
#ifndef SALLYPORT_NET_DNS_HOSTS_H
#define SALLYPORT_NET_DNS_HOSTS_H

#include "net/socket.h"

#define DNS_HOSTS_MAX   16              /* addresses of one name that are used */
#define DNS_HOSTS_BYTES (1024u * 1024u) /* of the file that are read */

/* The addresses of `host`, without port, none twice, in the order of the file: how many of at most DNS_HOSTS_MAX. 0: it
 * is not there, or the file cannot be read. */
size_t dns_hosts_find(const char *path, str host, struct net_addr out[DNS_HOSTS_MAX]);

/* One line, comment and all: whether it names `host`, and its address. */
bool dns_hosts_line(str line, str host, struct net_addr *out);

/* An address with no port: of 4 or 16 bytes. */
void dns_ip(const void *ip, bool v6, uint16_t port, struct net_addr *out);

#endif
