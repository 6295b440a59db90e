/* Apisecrets of products as the gateway's feed brings them: kept sealed, opened only for the snapshot, and only those
 * of products that may sign requests (an action accepts it of them, and they are granted it).
 *
 * So a gateway whose actions accept no signatures never has the sealing key, and what is opened lives where it is
 * wiped: in the snapshot. Owner: the control thread. */
#ifndef SALLYPORT_ROLES_GATEWAY_SECRETS_H
#define SALLYPORT_ROLES_GATEWAY_SECRETS_H

#include "config/snapshot.h"
#include "crypto/seal.h"
#include "store/store.h"

#define GATEWAY_SECRETS_PREFIX STR("secret/")

struct gateway_secrets {
    struct map now;  /* name → sealed text */
    struct map next; /* while everything comes anew */
    struct seal seal;
    bool opened; /* the sealing key is there */
};

/* Whether anybody may sign: then the sealing key is loaded, once. To be called with each new configuration, the first
 * time before the process gives its rights up. Without the key nobody's signature is accepted. */
void gateway_secrets_open(struct gateway_secrets *s, const struct snapshot *snap);
void gateway_secrets_free(struct gateway_secrets *s);

/* An entry under the prefix, there or gone (NULL). One that is disabled, or cannot be read, is gone.
 * ERR_NO_MEMORY. */
MUST_USE enum err gateway_secrets_take(struct gateway_secrets *s, bool filling, str key,
                                       const struct store_entry *entry, struct arena *mem);
void gateway_secrets_fill_begin(struct gateway_secrets *s);
void gateway_secrets_fill_end(struct gateway_secrets *s);

/* Gives a snapshot that nobody else has yet the keys of its products. What cannot be opened is left out, and told. */
void gateway_secrets_put(struct gateway_secrets *s, struct snapshot *snap);

#endif
