/* A plain sorted array as the model of a space, and a watcher that mirrors a space into one. */
#ifndef SALLYPORT_TEST_STORE_MODEL_H
#define SALLYPORT_TEST_STORE_MODEL_H

#include "suite.h"

struct model_entry {
    str key, value; /* owned */
    uint64_t version;
    int64_t expires_s;
};

struct model {
    struct model_entry *entries;
    size_t n;
};

const struct model_entry *model_get(const struct model *m, str key);
void model_put(struct model *m, const struct store_entry *e);
void model_remove(struct model *m, str key);
void model_free(struct model *m);

struct mirror {
    struct store_watch watch; /* first */
    struct model map;
    bool in_resync;
    int resyncs, changed, removed; /* changed, removed: outside of a resync */
    struct store_position last;    /* outside of a resync */
    struct store *store;
};

void mirror_start(struct mirror *m, struct store *s, enum store_space space, const char *prefix, const char *name,
                  uint32_t lease_ms);
void mirror_start_from(struct mirror *m, struct store *s, enum store_space space, const char *prefix, const char *name,
                       uint32_t lease_ms, struct store_position from);
/* Until change `number` was seen (by position) outside of a resync. */
void mirror_until(struct mirror *m, uint64_t number);
void mirror_stop(struct mirror *m);

/* Random batches, reads and time on the store and on the model; mirrors come and go. */
void model_story(struct store *s, struct store *(*join)(void *ctx, struct loop *loop), void *ctx, int steps);

#endif
