/* The sealing key of a deployment: from where `seal` says, or from seal.key in the data folder, which is made when
 * there is none. The folder remembers which key it began with (seal.check, an HMAC): another one is refused. Reads
 * files and may run a command: at a start, not while serving. */
#ifndef SALLYPORT_ROLES_SEAL_KEY_H
#define SALLYPORT_ROLES_SEAL_KEY_H

#include "config/snapshot.h"
#include "crypto/seal.h"

#define SEAL_KEY_FILE "seal.key"

/* Says on stderr what is wrong, as "sallyport: …". ERR_DENIED: too short, a file that not only its owner may read, or
 * not the folder's key; ERR_NOT_FOUND: the folder had a key and it is gone; ERR_IO and those of secret_fetch. */
MUST_USE enum err seal_key_load(const struct snapshot *snap, struct seal *out);
/* The same from a configuration that is not compiled: `from` is its `seal`, `data` the path of the data folder. */
MUST_USE enum err seal_key_load_from(const struct config_secret *from, const char *data, struct seal *out);

#endif
