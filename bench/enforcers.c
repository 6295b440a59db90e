/* enforcers SOCKET N: N enforcers in one process, each with a client of the store of its own, watching space control
 * under a lease and confirming what it was told, as a gateway does.
 *
 * Prints "ready N" when all have heard everything there is, and then for each revocation, when the last of them has
 * it: its key, and when the first and the last heard of it (CLOCK_MONOTONIC, nanoseconds). Ends with standard input. */
#include "net/loop.h"
#include "store/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ENFORCERS_MAX 256
#define PENDING_MAX   64
#define LEASE_MS      60000
#define REVOKED       "revoked/"

struct enforcer {
    struct store_watch watch; /* first: see on_change */
    struct store *store;
    char name[STORE_NAME_MAX];
    bool synced;
};

/* A revocation that some have heard of and some have not. */
struct pending {
    char key[STORE_KEY_MAX + 1];
    unsigned heard;
    uint64_t first_ns;
};

static struct enforcer enforcers[ENFORCERS_MAX];
static struct pending pending[PENDING_MAX];
static unsigned n_enforcers, n_synced;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct pending *pending_of(str key)
{
    struct pending *free_one = NULL;
    for (size_t i = 0; i < PENDING_MAX; i++) {
        struct pending *p = &pending[i];
        if (p->heard > 0 && strlen(p->key) == key.n && memcmp(p->key, key.p, key.n) == 0) return p;
        if (p->heard == 0 && free_one == NULL) free_one = p;
    }
    if (free_one == NULL || key.n > STORE_KEY_MAX) return NULL;
    memcpy(free_one->key, key.p, key.n);
    free_one->key[key.n] = '\0';
    free_one->first_ns = now_ns();
    return free_one;
}

static void heard(str key)
{
    struct pending *p = pending_of(key);
    if (p == NULL) {
        fprintf(stderr, "enforcers: more than %d revocations at a time\n", PENDING_MAX);
        exit(1);
    }
    if (++p->heard < n_enforcers) return;
    printf("%s %llu %llu\n", p->key, (unsigned long long)p->first_ns, (unsigned long long)now_ns());
    fflush(stdout);
    p->heard = 0;
}

static void on_change(struct store_watch *w, const struct store_change *c)
{
    struct enforcer *e = (struct enforcer *)(void *)w;
    if (c->kind == STORE_RESYNC_BEGIN) return;
    if (c->kind == STORE_RESYNC_END && !e->synced) {
        e->synced = true;
        if (++n_synced == n_enforcers) {
            printf("ready %u\n", n_enforcers);
            fflush(stdout);
        }
    }
    if (c->kind == STORE_CHANGED && e->synced && c->entry.key.n > strlen(REVOKED) &&
        memcmp(c->entry.key.p, REVOKED, strlen(REVOKED)) == 0)
        heard(c->entry.key);
    if (e->synced) store_watch_confirm(e->store, w, c->at);
}

static void start(struct loop *loop, struct enforcer *e, str address)
{
    snprintf(e->name, sizeof e->name, "bench/%d/%td", (int)getpid(), e - enforcers);
    e->watch = (struct store_watch){.space = STORE_CONTROL,
                                    .name = str_of(e->name),
                                    .lease_ms = LEASE_MS,
                                    .on_change = on_change};
    enum err err = store_remote_new(loop, address, str_of(e->name), &e->store);
    if (err == ERR_OK) err = store_watch_start(e->store, &e->watch);
    if (err != ERR_OK) {
        fprintf(stderr, "enforcers: number %td cannot watch: error %d\n", e - enforcers, (int)err);
        exit(1);
    }
}

static void on_stdin(struct watch *w, uint32_t events)
{
    char bytes[256];
    (void)events;
    if (read(w->fd, bytes, sizeof bytes) > 0) return;
    for (unsigned i = 0; i < n_enforcers; i++) { /* leases are given back: nobody waits for us later */
        store_watch_stop(enforcers[i].store, &enforcers[i].watch);
        store_free(&enforcers[i].store);
    }
    exit(0);
}

int main(int argc, char **argv)
{
    char address[256];
    long n = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (n < 1 || n > ENFORCERS_MAX) {
        fprintf(stderr, "usage: enforcers SOCKET N (1..%d)\n", ENFORCERS_MAX);
        return 2;
    }
    struct loop *loop = loop_new(NULL);
    if (loop == NULL) return 1;
    snprintf(address, sizeof address, "unix:%s", argv[1]);
    n_enforcers = (unsigned)n;
    for (unsigned i = 0; i < n_enforcers; i++) start(loop, &enforcers[i], str_of(address));
    struct watch input = {.fd = STDIN_FILENO, .on_event = on_stdin};
    if (watch_add(loop, &input, EPOLLIN | EPOLLRDHUP) != ERR_OK) return 1;
    loop_run(loop);
    return 0;
}
