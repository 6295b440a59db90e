#include "fetch/resolve.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

struct resolve {
    struct offload_job job;
    void (*done)(void *user, const struct net_addr *list, size_t n, const char *why); /* NULL: cancelled */
    void *user;
    char host[256], port[8]; /* read by the pool's thread */
    int rc;                  /* written by it, read when it is done, like the next two */
    size_t n;
    struct net_addr list[RESOLVE_MAX];
};

static void on_pool(struct offload_job *job)
{
    struct resolve *r = CONTAINER_OF(job, struct resolve, job);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    r->rc = getaddrinfo(r->host, r->port, &hints, &found);
    if (r->rc != 0) return;
    for (const struct addrinfo *a = found; a && r->n < RESOLVE_MAX; a = a->ai_next) {
        if (a->ai_addrlen > sizeof r->list[0].ss) continue;
        memcpy(&r->list[r->n].ss, a->ai_addr, a->ai_addrlen);
        r->list[r->n++].len = a->ai_addrlen;
    }
    freeaddrinfo(found);
}

static void on_loop(struct offload_job *job)
{
    struct resolve *r = CONTAINER_OF(job, struct resolve, job);
    if (r->done) r->done(r->user, r->list, r->n, r->rc ? gai_strerror(r->rc) : r->n ? "" : "no address");
    free(r);
}

enum err resolve_start(struct offload *pool, struct loop *loop, str host, uint16_t port,
                       void (*done)(void *user, const struct net_addr *list, size_t n, const char *why), void *user,
                       struct resolve **out)
{
    if (host.n == 0 || host.n >= sizeof((struct resolve *)0)->host || str_has(host, '\0')) return ERR_MALFORMED;
    struct resolve *r = calloc(1, sizeof *r);
    if (!r) return ERR_NO_MEMORY;
    r->job.run = on_pool;
    r->job.done = on_loop;
    r->done = done;
    r->user = user;
    memcpy(r->host, host.p, host.n);
    snprintf(r->port, sizeof r->port, "%u", port);
    enum err e = offload_submit(pool, loop, &r->job);
    if (e != ERR_OK) {
        free(r);
        return e;
    }
    *out = r;
    return ERR_OK;
}

void resolve_cancel(struct resolve **r)
{
    if (!*r) return;
    (*r)->done = NULL;
    *r = NULL;
}
