/* What the files of TLS share: tls_stream.c (one connection), tls_server.c and tls_upstream.c (what one is made from).
 * Nothing of libssl's leaves net. */
#ifndef SALLYPORT_NET_TLS_PRIVATE_H
#define SALLYPORT_NET_TLS_PRIVATE_H

#include "net/tls_server.h"
#include "net/tls_upstream.h"

#include <openssl/ssl.h>

#define TLS_RECORD_MAX 16384u /* plain bytes of one record (RFC 8446 §5.1) */

struct tls_stream {
    SSL *ssl;
    int fd;
    bool done;       /* the handshake is */
    bool broken;     /* a fatal error: nothing more may be sent, not even a goodbye */
    bool blocked;    /* during the call under way the socket had nothing more, or took nothing more */
    bool short_read; /* the last look at the socket emptied it */
    bool drained;    /* see transport.h */
    bool wants_out;  /* reading goes on only once the socket takes bytes */
    uint8_t idle;    /* records in a row that brought no bytes */
    enum err failed; /* what to tell when the bytes before it have been taken */
    const char *reason;
    struct tls_peer peer;
    uint64_t now_s;            /* of the handshake */
    struct tls_server *server; /* one of the two; a reference */
    struct tls_upstream *upstream;
    struct tls_session *session; /* of the upstream; may be NULL */
};

/* A stream over `fd` from `ctx`. ERR_NO_MEMORY. */
MUST_USE enum err tls_stream_new(SSL_CTX *ctx, int fd, struct tls_stream **out);
static inline struct tls_stream *tls_stream_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

/* What both sides of every stream agree on: versions, ciphers, groups, signatures, and how libssl moves bytes. */
MUST_USE bool tls_context_common(SSL_CTX *ctx, bool tls12);
/* Certificate, what stands behind it, and its key; after them the context shows them. */
struct x509_chain;
struct x509_key;
MUST_USE bool tls_context_show(SSL_CTX *ctx, const struct x509_chain *chain, const struct x509_key *key);
/* The authorities that count. */
MUST_USE bool tls_context_trust(SSL_CTX *ctx, const struct x509_chain *authorities);

/* Takes one more part into a digest of all of them; a digest of zeros is that of none. */
void tls_mix(unsigned char digest[32], str part);

/* tls_server.c, tls_upstream.c: a handshake is done, the session holds what it is good for */
void tls_server_forget(struct tls_stream *s);
void tls_upstream_forget(struct tls_stream *s);

#endif
