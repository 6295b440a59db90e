/* From an address as configured to one that can be bound or connected to. Opens no socket.
 *
 * Host names go to the system's resolver, which may take seconds: control thread only. */
#ifndef SALLYPORT_CONFIG_LOOKUP_H
#define SALLYPORT_CONFIG_LOOKUP_H

#include "config/config.h"

#include <sys/socket.h>

#define LOOKUP_MAX 16 /* addresses of one name that are used */

struct lookup_addr {
    struct sockaddr_storage addr;
    socklen_t len;
    char text[108 + 8]; /* "10.0.0.11:8080", "[::1]:80", "unix:/run/x" */
};

/* All addresses of `a`, none twice, in the resolver's order: at least one, at most LOOKUP_MAX. An empty host is the
 * IPv6 wildcard. ERR_NOT_FOUND with *why. */
MUST_USE enum err lookup_address(const struct config_address *a, struct lookup_addr out[LOOKUP_MAX], size_t *n,
                                 const char **why);

#endif
