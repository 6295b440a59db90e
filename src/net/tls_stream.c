/* One connection. libssl is handed whole receives (its read-ahead: one call gets a record, or as many as have come) and
 * sends whole records: what is written together leaves in one. */
#include "net/tls_stream.h"

#include "crypto/digest.h"
#include "crypto/x509.h"
#include "net/socket.h"
#include "net/tls_private.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>

#define IDLE_RECORDS_MAX 32 /* tickets, updates of keys, empty ones: as many in a row as nobody needs */

str tls_version_text(uint16_t version)
{
    return version == TLS1_3_VERSION ? STR("1.3") : version == TLS1_2_VERSION ? STR("1.2") : STR("");
}

/* --- the socket below: libssl's own would write() and so raise SIGPIPE --- */

static BIO_METHOD *socket_method;

static int socket_read(BIO *b, char *p, size_t n, size_t *got)
{
    struct tls_stream *s = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    enum err e = net_recv(s->fd, p, n, got);
    if (LIKELY(e == ERR_OK)) {
        s->short_read = *got < n;
        return 1;
    }
    *got = 0;
    s->short_read = s->blocked = true;
    if (e == ERR_AGAIN) BIO_set_retry_read(b);
    return 0;
}

static int socket_write(BIO *b, const char *p, size_t n, size_t *sent)
{
    struct tls_stream *s = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    enum err e = net_send(s->fd, p, n, sent);
    if (LIKELY(e == ERR_OK && *sent)) return 1;
    *sent = 0;
    s->blocked = true;
    if (e == ERR_OK) BIO_set_retry_write(b);
    return 0;
}

static long socket_control(BIO *b, int command, long number, void *p)
{
    (void)b, (void)number, (void)p;
    return command == BIO_CTRL_FLUSH; /* nothing is held back here; to every other question the answer is no */
}

static void make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sallyport stream");
    if (m && BIO_meth_set_read_ex(m, socket_read) && BIO_meth_set_write_ex(m, socket_write) &&
        BIO_meth_set_ctrl(m, socket_control))
        socket_method = m;
    else
        BIO_meth_free(m);
}

static BIO *socket_bio(struct tls_stream *s)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    BIO *b = socket_method ? BIO_new(socket_method) : NULL;
    if (!b) return NULL;
    BIO_set_data(b, s);
    BIO_set_init(b, 1);
    return b;
}

/* --- what all contexts have in common --- */

bool tls_context_common(SSL_CTX *ctx, bool tls12)
{
    /* TLS 1.2 only with forward secrecy and authenticated encryption (RFC 9325 §4.2); 1.3 has nothing else */
    static const char suites12[] =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
    static const char suites13[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    char groups[] = "X25519:P-256"; /* libssl takes no const here */
    char signatures[] = "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256:rsa_pss_pss_sha256:ecdsa_secp384r1_sha384:ed25519:"
                        "rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512";
    if (!SSL_CTX_set_min_proto_version(ctx, tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) ||
        !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) || !SSL_CTX_set_cipher_list(ctx, suites12) ||
        !SSL_CTX_set_ciphersuites(ctx, suites13) || !SSL_CTX_set1_groups_list(ctx, groups) ||
        !SSL_CTX_set1_sigalgs_list(ctx, signatures))
        return false;
    SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA);
    /* partial writes: what the socket did not take is offered again from wherever it lies then; buffers of 17 kB a
     * direction are only held while something is in them; our own chain is what stands in its file and nothing else */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY); /* records without bytes are counted, see read_some */
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, 32 << 10);
    SSL_CTX_set_verify_depth(ctx, 8);
    return true;
}

bool tls_context_show(SSL_CTX *ctx, const struct x509_chain *chain, const struct x509_key *key)
{
    if (SSL_CTX_use_certificate(ctx, x509_chain_handle(chain, 0)) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, x509_key_handle(key)) != 1)
        return false;
    for (size_t i = 1; i < x509_chain_count(chain); i++)
        if (SSL_CTX_add1_chain_cert(ctx, x509_chain_handle(chain, i)) != 1) return false;
    return true;
}

bool tls_context_trust(SSL_CTX *ctx, const struct x509_chain *authorities)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    for (size_t i = 0; i < x509_chain_count(authorities); i++)
        if (X509_STORE_add_cert(store, x509_chain_handle(authorities, i)) != 1) return false;
    return true;
}

void tls_mix(unsigned char digest[32], str part)
{
    unsigned char both[2 * SHA256_LEN];
    memcpy(both, digest, SHA256_LEN);
    sha256(part, both + SHA256_LEN);
    sha256(str_make((const char *)both, sizeof both), digest);
}

/* --- life --- */

enum err tls_stream_new(SSL_CTX *ctx, int fd, struct tls_stream **out)
{
    ERR_clear_error();
    struct tls_stream *s = calloc(1, sizeof *s);
    if (!s) return ERR_NO_MEMORY;
    s->fd = fd;
    s->reason = "";
    s->ssl = SSL_new(ctx);
    BIO *b = s->ssl ? socket_bio(s) : NULL;
    if (!b || SSL_set_app_data(s->ssl, s) != 1) {
        BIO_free(b);
        SSL_free(s->ssl);
        free(s);
        ERR_clear_error();
        return ERR_NO_MEMORY;
    }
    SSL_set_bio(s->ssl, b, b);
    *out = s;
    return ERR_OK;
}

/* Errors that somebody else on this thread left behind would be taken for ours. */
static void begin(struct tls_stream *s)
{
    if (UNLIKELY(ERR_peek_error())) ERR_clear_error();
    s->blocked = false;
}

void tls_stream_end(struct tls_stream *s)
{
    if (!s->done || s->broken || SSL_get_shutdown(s->ssl) & SSL_SENT_SHUTDOWN) return;
    begin(s);
    (void)SSL_shutdown(s->ssl);
    ERR_clear_error();
}

void tls_stream_free(struct tls_stream **out, bool polite)
{
    struct tls_stream *s = *out;
    if (!s) return;
    *out = NULL;
    if (polite) tls_stream_end(s);
    /* an end without goodbyes says nothing against the session (RFC 5246 §7.2.1); libssl would give it up */
    if (s->done && !s->broken) SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    ERR_clear_error();
    if (s->server) tls_server_forget(s);
    if (s->upstream) tls_upstream_forget(s);
    free(s);
}

/* --- the handshake --- */

/* What a failed call means, by libssl's own word for it; ERR_OK: nothing is wrong, it has to be called again. */
static enum err failure(struct tls_stream *s, int rc)
{
    int kind = SSL_get_error(s->ssl, rc);
    s->wants_out = kind == SSL_ERROR_WANT_WRITE;
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) return ERR_OK;
    if (kind == SSL_ERROR_ZERO_RETURN) return ERR_CLOSED;
    unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    s->broken = true;
    if (kind == SSL_ERROR_SYSCALL || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        s->reason = "the peer ended the connection";
        return ERR_IO;
    }
    const char *text = ERR_reason_error_string(code);
    s->reason = text ? text : "TLS failed";
    return ERR_MALFORMED;
}

/* A certificate is there if it was verified: anything else is our own mistake, and nobody gets in by it. */
static enum err look_at_peer(struct tls_stream *s)
{
    X509 *x = SSL_get0_peer_certificate(s->ssl);
    s->peer.version = (uint16_t)SSL_version(s->ssl);
    s->peer.resumed = SSL_session_reused(s->ssl) == 1;
    if (!x) return s->upstream ? ERR_DENIED : ERR_OK;
    if (SSL_get_verify_result(s->ssl) != X509_V_OK) return ERR_DENIED;
    /* a session knows who it was made with, not how long that certificate is good */
    if (s->peer.resumed && x509_handle_not_after_s(x) < (int64_t)s->now_s) {
        s->reason = "certificate has expired";
        return ERR_DENIED;
    }
    s->peer.certificate = true;
    x509_handle_spki_sha256(x, s->peer.spki_sha256);
    return ERR_OK;
}

enum err tls_stream_handshake(struct tls_stream *s, uint64_t now_s)
{
    if (s->broken) return ERR_CLOSED;
    if (s->done) return ERR_OK;
    s->now_s = now_s;
    for (unsigned calls = 0; calls < IDLE_RECORDS_MAX; calls++) {
        begin(s);
        int rc = SSL_do_handshake(s->ssl);
        if (rc == 1) {
            enum err e = look_at_peer(s);
            if (e == ERR_OK) {
                s->done = true;
                return ERR_OK;
            }
            s->broken = true;
            if (!s->reason[0]) s->reason = "no verified certificate";
            return e;
        }
        enum err e = failure(s, rc);
        if (e == ERR_OK && s->blocked) return ERR_AGAIN;
        if (e == ERR_OK) continue;
        s->broken = true;
        long verdict = SSL_get_verify_result(s->ssl);
        if (e == ERR_MALFORMED && verdict != X509_V_OK) {
            s->reason = X509_verify_cert_error_string(verdict);
            return ERR_DENIED;
        }
        if (e == ERR_CLOSED) s->reason = "the peer ended the connection";
        return e == ERR_IO ? ERR_CLOSED : e;
    }
    s->broken = true;
    s->reason = "too many records";
    return ERR_MALFORMED;
}

const struct tls_peer *tls_stream_peer(const struct tls_stream *s)
{
    return s->done ? &s->peer : NULL;
}

const char *tls_stream_reason(const struct tls_stream *s)
{
    return s->reason;
}

/* --- bytes --- */

/* One record's worth. ERR_OK with *got == 0: a record that was for TLS itself. */
static enum err read_some(struct tls_stream *s, char *p, size_t n, size_t *got)
{
    begin(s);
    int rc = SSL_read_ex(s->ssl, p, n, got);
    if (LIKELY(rc == 1)) {
        s->idle = 0;
        return ERR_OK;
    }
    *got = 0;
    enum err e = failure(s, rc);
    if (e != ERR_OK) return e == ERR_CLOSED ? ERR_CLOSED : ERR_IO;
    if (s->blocked) return ERR_AGAIN;
    if (++s->idle <= IDLE_RECORDS_MAX) return ERR_OK;
    s->broken = true;
    s->reason = "too many records without content";
    return ERR_IO;
}

enum err tls_stream_recv(struct tls_stream *s, void *buf, size_t n, size_t *got)
{
    size_t total = 0;
    if (UNLIKELY(!s->done)) return ERR_IO;
    if (UNLIKELY(s->broken)) return s->failed ? s->failed : ERR_IO;
    do {
        size_t one = 0;
        enum err e = read_some(s, (char *)buf + total, n - total, &one);
        total += one;
        if (e == ERR_AGAIN) {
            s->drained = true;
            if (!total) return ERR_AGAIN;
            break;
        }
        if (e != ERR_OK) {
            s->failed = e;
            s->drained = false;
            if (!total) return e;
            break;
        }
        s->drained = s->short_read && !SSL_has_pending(s->ssl);
        if (total && !SSL_has_pending(s->ssl)) break;
    } while (total < n && !s->drained);
    if (!total) return s->drained ? ERR_AGAIN : ERR_IO;
    *got = total;
    return ERR_OK;
}

bool tls_stream_quiet(struct tls_stream *s)
{
    char one;
    size_t got;
    if (!s->done || s->broken) return false;
    for (;;) {
        begin(s);
        int rc = SSL_peek_ex(s->ssl, &one, 1, &got);
        if (rc == 1 || failure(s, rc) != ERR_OK) return false;
        if (s->blocked) break;
        if (++s->idle > IDLE_RECORDS_MAX) return false;
    }
    s->drained = true;
    return true;
}

bool tls_stream_drained(const struct tls_stream *s)
{
    return s->drained;
}

bool tls_stream_wants_out(const struct tls_stream *s)
{
    return s->wants_out;
}

/* What waits in the pieces, as one: where it lies if it is enough for a record or alone, else gathered. */
static const char *gather(const struct iovec *iov, int n, int i, size_t at, char room[TLS_RECORD_MAX], size_t *len)
{
    const char *p = (const char *)iov[i].iov_base + at;
    size_t have = iov[i].iov_len - at;
    if (have >= TLS_RECORD_MAX || i == n - 1) {
        *len = have < TLS_RECORD_MAX ? have : TLS_RECORD_MAX;
        return p;
    }
    size_t to = 0;
    for (; i < n && to < TLS_RECORD_MAX; i++, at = 0) {
        size_t part = iov[i].iov_len - at, left = TLS_RECORD_MAX - to;
        if (part > left) part = left;
        if (part) memcpy(room + to, (const char *)iov[i].iov_base + at, part);
        to += part;
    }
    *len = to;
    return room;
}

enum err tls_stream_sendv(struct tls_stream *s, struct iovec *iov, int n, size_t *sent)
{
    char room[TLS_RECORD_MAX];
    size_t total = 0, at = 0;
    int i = 0;
    if (UNLIKELY(s->broken || !s->done)) return ERR_CLOSED;
    for (;;) {
        while (i < n && at >= iov[i].iov_len) {
            at -= iov[i].iov_len;
            i++;
        }
        if (i == n) break;
        size_t len, one = 0;
        const char *p = gather(iov, n, i, at, room, &len);
        begin(s);
        int rc = SSL_write_ex(s->ssl, p, len, &one);
        if (UNLIKELY(rc != 1)) {
            if (failure(s, rc) != ERR_OK) {
                s->failed = ERR_IO;
                s->broken = true;
                return ERR_CLOSED;
            }
            s->wants_out = false; /* that the writer will call again is the writer's to know */
            break;
        }
        total += one;
        at += one;
    }
    *sent = total;
    return ERR_OK;
}
