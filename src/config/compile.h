/* The parts of snapshot_build. Private to src/config. */
#ifndef SALLYPORT_CONFIG_COMPILE_H
#define SALLYPORT_CONFIG_COMPILE_H

#include "config/snapshot.h"

struct compile {
    const struct config *c;
    const struct config_source *source;
    const struct snapshot *like;          /* of the same configuration: what was looked up and read is taken from it */
    const struct snapshot_addresses *now; /* with `like`: new addresses; may be NULL */
    struct snapshot *s;
    struct diags *d;
};

/* Memory of the snapshot. What cannot be had is told once, by d->lost. */
void *compile_room(struct compile *k, size_t count, size_t size);
str compile_keep(struct compile *k, str s);
void compile_put(struct compile *k, struct map *m, str name, const void *what);

/* A whole file; `what` is for the message: "the certificate". false: told. */
bool compile_file(struct compile *k, const struct config_str *path, const char *what, str *out);
/* A secret as text in the snapshot; whoever keeps it there has it wiped in snapshot.c. */
bool compile_secret(struct compile *k, const struct config_secret *from, const char *what, str *out);

/* A file of authorities, checked. */
void compile_authorities(struct compile *k, const struct config_str *path, str *out);

void compile_listeners(struct compile *k);
void compile_services(struct compile *k);
/* `place`: "edge", "action", "product"; `name` in it. */
const struct snapshot_limit *compile_limits(struct compile *k, const char *place, str name,
                                            const struct config_limit *from, uint32_t n);
void compile_edge(struct compile *k);
void compile_certificates(struct compile *k); /* pinned ones, behind the products */

#endif
