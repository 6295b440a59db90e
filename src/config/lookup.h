/* From an address as configured to one that can be bound or connected to. Opens no socket.
 *
 * Host names go to the system's resolver, which may take seconds: control thread only. */
#ifndef SALLYPORT_CONFIG_LOOKUP_H
#define SALLYPORT_CONFIG_LOOKUP_H

#include "config/config.h"

#include <sys/socket.h>

#define LOOKUP_MAX  16        /* addresses of one name that are used */
#define LOOKUP_TEXT (108 + 8) /* "10.0.0.11:8080", "[::1]:80", "unix:/run/x" */

struct lookup_addr {
    struct sockaddr_storage addr;
    socklen_t len;
    char text[LOOKUP_TEXT];
};

/* All addresses of `a`, none twice, in the resolver's order: at least one, at most LOOKUP_MAX. An empty host is the
 * IPv6 wildcard. ERR_NOT_FOUND with *why. */
MUST_USE enum err lookup_address(const struct config_address *a, struct lookup_addr out[LOOKUP_MAX], size_t *n,
                                 const char **why);

/* Whether the host is an IP address: nothing has to be resolved. */
bool lookup_is_number(str host);

/* An IPv4 or IPv6 address with its port as text; false: another kind of address. */
bool lookup_text(const struct sockaddr_storage *addr, char out[LOOKUP_TEXT]);

#endif
