/* Keys of session tickets: the one in use and the one before. A mutex guards them, for they are only looked at in
 * handshakes, for as long as it takes to copy one. */
#include "net/tls_tickets.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct tls_tickets {
    _Atomic uint32_t refs;
    pthread_mutex_t lock;
    struct ticket_key now, before;
    bool has_before;
    uint64_t made_s; /* 0: none yet */
};

enum err tls_tickets_new(struct tls_tickets **out)
{
    struct tls_tickets *t = calloc(1, sizeof *t);
    if (!t) return ERR_NO_MEMORY;
    if (pthread_mutex_init(&t->lock, NULL) != 0) {
        free(t);
        return ERR_NO_MEMORY;
    }
    t->refs = 1;
    *out = t;
    return ERR_OK;
}

struct tls_tickets *tls_tickets_ref(struct tls_tickets *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_tickets_unref(struct tls_tickets **out)
{
    struct tls_tickets *t = *out;
    *out = NULL;
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1) return;
    pthread_mutex_destroy(&t->lock);
    secret_wipe(t, sizeof *t);
    free(t);
}

/* A clock that was set back makes no key older than it is. */
static void turn(struct tls_tickets *t, uint32_t rotate_s, uint64_t now_s)
{
    if (t->made_s && now_s < t->made_s + rotate_s) return;
    bool recent = t->made_s && now_s < t->made_s + 2 * (uint64_t)rotate_s;
    if (recent)
        t->before = t->now;
    else
        secret_wipe(&t->before, sizeof t->before);
    t->has_before = recent;
    ticket_key_make(&t->now);
    t->made_s = now_s;
}

void tls_tickets_turn(struct tls_tickets *t, uint32_t rotate_s, uint64_t now_s)
{
    if (!rotate_s) return;
    pthread_mutex_lock(&t->lock);
    turn(t, rotate_s, now_s);
    pthread_mutex_unlock(&t->lock);
}

void tls_tickets_seal_key(struct tls_tickets *t, uint32_t rotate_s, uint64_t now_s, struct ticket_key *out)
{
    pthread_mutex_lock(&t->lock);
    turn(t, rotate_s, now_s);
    *out = t->now;
    pthread_mutex_unlock(&t->lock);
}

bool tls_tickets_open_key(struct tls_tickets *t, uint32_t rotate_s, uint64_t now_s,
                          const unsigned char name[TICKET_NAME_LEN], struct ticket_key *out, bool *old)
{
    pthread_mutex_lock(&t->lock);
    turn(t, rotate_s, now_s);
    bool is_now = memcmp(name, t->now.name, TICKET_NAME_LEN) == 0;
    bool is_before = !is_now && t->has_before && memcmp(name, t->before.name, TICKET_NAME_LEN) == 0;
    if (is_now || is_before) {
        *out = is_now ? t->now : t->before;
        *old = is_before;
    }
    pthread_mutex_unlock(&t->lock);
    return is_now || is_before;
}
