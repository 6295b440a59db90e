/* HTTP/1.1 connections on which we ask: one request at a time, kept for reuse between them.
 *
 * Owner: one worker. Opening is asynchronous; whoever opens gets on_connect. A connection that is idle is watched:
 * if the server ends it or says anything, it is closed and on_idle_closed tells the pool. Total deadlines are the
 * caller's. Refuses to know about pools, retries and what is asked. */
#ifndef SALLYPORT_HTTP_H1_CLIENT_H
#define SALLYPORT_HTTP_H1_CLIENT_H

#include "http/io.h"
#include "http/stream.h"

struct h1_client;

struct client_env {
    struct http_io *io;
    struct slab conns;
    void (*on_idle)(struct h1_client *c, void *pool);        /* released and fit for reuse: the pool owns it now */
    void (*on_idle_closed)(struct h1_client *c, void *pool); /* forget it; it frees itself */
    void (*on_closed)(void *pool); /* one that h1_client_open gave is no more, whatever it was doing; may be NULL */
    uint64_t n_open, n_opened;
};

void client_env_init(struct client_env *env, struct http_io *io, uint32_t max_conns);

/* Begins to connect. on_connect comes later, exactly once, unless h1_client_abandon is called before; with an error
 * the connection is gone. `pool` is passed to the env's callbacks, `user` to on_connect.
 * ERR_LIMIT, ERR_CLOSED (refused at once), ERR_IO, ERR_NO_MEMORY. */
MUST_USE enum err h1_client_open(struct client_env *env, const struct net_addr *to, void *pool,
                                 void (*on_connect)(struct h1_client *c, enum err e, void *user), void *user,
                                 struct h1_client **out);

/* The same over verified TLS (net/tls_upstream.h): on_connect comes when the handshake is done; ERR_DENIED and
 * ERR_MALFORMED: it failed, h1_client_fault tells how. `name`: what the certificate must be for, if not what `tls`
 * says; `session` is kept by whoever keeps the pool, for as long as connections to it are open. */
struct tls_upstream;
struct tls_session;
struct client_tls {
    struct tls_upstream *upstream; /* the connection has a reference of its own */
    struct tls_session *session;   /* NULL: none is resumed */
    str name;                      /* good until on_connect */
};
MUST_USE enum err h1_client_open_tls(struct client_env *env, const struct net_addr *to, const struct client_tls *tls,
                                     void *pool, void (*on_connect)(struct h1_client *c, enum err e, void *user),
                                     void *user, struct h1_client **out);
/* Over what it was opened; NULL: clear text. To be compared with. */
const struct tls_upstream *h1_client_tls(const struct h1_client *c);
/* Within on_connect: why TLS failed, a constant ("certificate has expired"); "" otherwise. */
const char *h1_client_fault(const struct h1_client *c);

/* Closes a connection that no stream is attached to (connecting or idle). */
void h1_client_abandon(struct h1_client *c);

/* Sends the request's head, written anew from the model (RFC 9112), with the body bytes at hand. From here on
 * `s` is attached until it is released or fails. ERR_CLOSED: nothing of it may have been processed if the connection
 * was reused; the stream is not attached and the connection is gone. ERR_NO_MEMORY: the same, but
 * some of it may have left. ERR_LIMIT: the head does not fit. */
MUST_USE enum err h1_client_start(struct h1_client *c, struct client_stream *s, const struct request *r, str body,
                                  bool end);

/* Requests answered on it so far. */
uint32_t h1_client_uses(const struct h1_client *c);

/* The pool's links, kept here so that an idle connection costs no further memory. */
struct h1_client *h1_client_next(const struct h1_client *c);
void h1_client_set_next(struct h1_client *c, struct h1_client *next);
uint64_t h1_client_idle_since_ms(const struct h1_client *c);

#endif
