/* Where files, secrets and names that a configuration speaks of are looked up: right here, or from what another
 * process has read for this one.
 *
 * A process without rights of its own can so load a configuration anew. NULL stands for reading directly, as a whole
 * and for each function. Used by the control thread only; may block. */
#ifndef SALLYPORT_CONFIG_SOURCE_H
#define SALLYPORT_CONFIG_SOURCE_H

#include "base/buf.h"
#include "config/config.h"
#include "crypto/secret.h"

#include <sys/socket.h>

#define SOURCE_WHY      256
#define SOURCE_FILE_MAX (1u << 20) /* certificates, authorities */
#define SOURCE_ADDRS    64

/* One address of a host, or of one target of a service. */
struct source_address {
    struct sockaddr_storage addr;
    socklen_t len;
    uint16_t priority; /* of a service */
    uint32_t weight;   /* of a service, as in DNS: 0 to 65535 */
    char host[256];    /* of a service: the target */
};

struct config_source {
    /* Appends what is in the file; more than `max` bytes: ERR_LIMIT. `why` is a sentence on failure. */
    enum err (*file)(void *ctx, const char *path, size_t max, struct buf *out, char why[SOURCE_WHY]);
    enum err (*secret)(void *ctx, const struct config_secret *s, size_t max, struct buf *out, char why[SOURCE_WHY]);
    void *ctx;
    /* The addresses of an instance's name, or of a service's ("_http._tcp.orders.internal") if `srv`, by whoever knows
     * them. ERR_AGAIN: they are not known yet, and come with snapshot_readdress. NULL: hosts are asked of the system's
     * resolver, and services come later. */
    enum err (*names)(void *names_ctx, str host, uint16_t port, bool srv, struct source_address out[SOURCE_ADDRS],
                      size_t *n, char why[SOURCE_WHY]);
    void *names_ctx;
};

/* Reads by `s`, which may be NULL. A regular file only. ERR_NOT_FOUND, ERR_DENIED, ERR_IO, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err source_file(const struct config_source *s, str path, size_t max, struct buf *out,
                              char why[SOURCE_WHY]);
/* The same of a secret; errors of secret_fetch. *out is the caller's, written on ERR_OK only. */
MUST_USE enum err source_secret(const struct config_source *s, const struct config_secret *from, struct secret *out,
                                char why[SOURCE_WHY]);

/* Calls `each` with everything that has to be there to compile the configuration: each file (path as it will be asked
 * for) and each secret, once or more. */
void source_list(const struct config *c, void (*file)(void *ctx, str path),
                 void (*secret)(void *ctx, const struct config_secret *s), void *ctx);

#endif
