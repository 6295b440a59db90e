/* HTTP/1.1 connections that we answer: reading heads, streaming bodies, keep-alive, pipelining, deadlines.
 *
 * Owner: one worker; everything happens on its loop. A connection owns a buffer only while bytes are in it, and a
 * stream only while a request is under way. Refuses to know who is calling and what is served. */
#ifndef SALLYPORT_HTTP_H1_SERVER_H
#define SALLYPORT_HTTP_H1_SERVER_H

#include "http/io.h"
#include "http/stream.h"

struct h1_timeouts {
    uint32_t idle_ms;   /* between requests */
    uint32_t head_ms;   /* from the first byte of a head to its end, absolutely */
    uint32_t grace_ms;  /* time a body or answer may stall in all before the rate counts */
    uint32_t rate;      /* least bytes a second, either way */
    uint32_t linger_ms; /* reading off what a refused client still sends */
};

struct h1_conn;
struct tls_server;

/* How handshakes ended. */
enum tls_end { TLS_END_CERTIFICATE = 0, TLS_END_FAILED, TLS_END_CLOSED, TLS_END_LATE, TLS_END_CROWDED, TLS_ENDS };

struct server_env {
    struct http_io *io;
    struct slab conns;
    const struct server_handler *handler;
    struct server_stream *(*stream_new)(void *owner); /* with fields' room; NULL: overloaded */
    void (*stream_free)(void *owner, struct server_stream *s);
    void *owner;
    struct h1_timeouts timeouts;
    uint32_t max_requests; /* a connection; 0: no bound */
    bool draining;
    struct h1_conn *open; /* every connection */
    /* TLS; all zero where nobody uses it */
    struct tls_server *tls; /* for handshakes that begin now; the owner's reference */
    uint32_t max_shaking;   /* handshakes at once; beyond that the one that is at it for longest makes room */
    uint32_t n_shaking;
    uint64_t shake_turn; /* of the loop, and how many steps of handshakes are left in it */
    uint32_t shake_left;
    struct h1_conn *shaking, **shaking_last;
    /* one failed; `reason` is a constant. NULL: nobody wants to know */
    void (*on_shake_failed)(void *owner, const struct net_peer *peer, enum tls_end end, const char *reason);
    uint64_t n_shaken[2][2]; /* by TLS 1.2 or 1.3, by new or resumed */
    uint64_t n_shake_failed[TLS_ENDS];
    uint64_t n_open, n_accepted, n_refused, n_timed_out;
};

void server_env_init(struct server_env *env, struct http_io *io, uint32_t max_conns);

/* Takes over an accepted descriptor. When no connection can be had it answers 503 and closes. */
void server_conn_open(struct server_env *env, int fd, const struct net_peer *peer, void *listener);
/* The same for one that speaks TLS; then it is closed without a word. Its handshake gets no longer than a head. */
void server_conn_open_tls(struct server_env *env, int fd, const struct net_peer *peer, void *listener);

/* From now on every answer ends its connection. Idle connections are closed by server_env_close_idle. */
void server_env_drain(struct server_env *env);
void server_env_close_idle(struct server_env *env);
/* Closes everything at once; streams get on_abort. */
void server_env_close_all(struct server_env *env);

#endif
