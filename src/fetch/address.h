/* Where our own outbound calls may go: what kind of place an IP address is. Pure; knows no names and no sockets.
 *
 * An address that carries an IPv4 address inside (mapped, NAT64, 6to4) is judged by that one. */
#ifndef SALLYPORT_FETCH_ADDRESS_H
#define SALLYPORT_FETCH_ADDRESS_H

#include "net/socket.h"

enum address_class {
    ADDRESS_NEVER = 0, /* link-local, metadata services, multicast, unspecified, broadcast, reserved, not IP */
    ADDRESS_LOOPBACK,  /* this machine */
    ADDRESS_PRIVATE,   /* RFC 1918, RFC 6598, RFC 2544, RFC 4193 */
    ADDRESS_PUBLIC
};

enum address_class address_classify(const struct net_addr *a);
enum address_class address_classify_ip4(const unsigned char ip[4]);
enum address_class address_classify_ip6(const unsigned char ip[16]);

#endif
