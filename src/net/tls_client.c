#include "net/tls_client.h"

#include "net/socket.h"

#include <dirent.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>

struct tls_trust {
    SSL_CTX *ctx;
};

struct tls_client {
    SSL *ssl;
    int fd;
    bool broken; /* a fatal error: nothing more may be sent, not even a goodbye */
    const char *reason;
};

/* --- the socket below: libssl's own would write() and so raise SIGPIPE --- */

static BIO_METHOD *socket_method;

static int socket_read(BIO *b, char *p, size_t n, size_t *got)
{
    struct tls_client *c = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    enum err e = net_recv(c->fd, p, n, got);
    if (e == ERR_OK) return 1;
    *got = 0;
    if (e == ERR_AGAIN) BIO_set_retry_read(b);
    return 0;
}

static int socket_write(BIO *b, const char *p, size_t n, size_t *sent)
{
    struct tls_client *c = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    enum err e = net_send(c->fd, p, n, sent);
    if (e == ERR_OK && *sent) return 1;
    *sent = 0;
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
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sallyport socket");
    if (m && BIO_meth_set_read_ex(m, socket_read) && BIO_meth_set_write_ex(m, socket_write) &&
        BIO_meth_set_ctrl(m, socket_control))
        socket_method = m;
    else
        BIO_meth_free(m);
}

static BIO *socket_bio(struct tls_client *c)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    BIO *b = socket_method ? BIO_new(socket_method) : NULL;
    if (!b) return NULL;
    BIO_set_data(b, c);
    BIO_set_init(b, 1);
    return b;
}

/* --- trust --- */

/* Whether the system keeps its authorities in a folder where each is found by the hash of its name. Then only the one
 * that is asked for is read; the file that holds them all costs 25 ms and a megabyte. */
static bool hashed_folder(void)
{
    if (secure_getenv(X509_get_default_cert_file_env())) return false; /* somebody wants another file */
    const char *path = secure_getenv(X509_get_default_cert_dir_env());
    DIR *d = opendir(path ? path : X509_get_default_cert_dir());
    bool found = false;
    if (!d) return false;
    for (struct dirent *f; !found && (f = readdir(d));) found = str_ends(str_of(f->d_name), STR(".0"));
    closedir(d);
    return found;
}

/* Every certificate of the text; false when there is none, or what is there is none. */
static bool load_text(SSL_CTX *ctx, str pem)
{
    BIO *b = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    bool ok = b != NULL, any = false;
    while (ok) {
        X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
        if (!x) break;
        ok = X509_STORE_add_cert(store, x);
        any = true;
        X509_free(x);
    }
    BIO_free(b);
    ERR_clear_error(); /* the end of the text counts as one */
    return ok && any;
}

static bool load_authorities(SSL_CTX *ctx, const char *ca_file, str ca_pem)
{
    if (ca_pem.p) return load_text(ctx, ca_pem);
    if (ca_file) return SSL_CTX_load_verify_file(ctx, ca_file);
    return hashed_folder() ? SSL_CTX_set_default_verify_dir(ctx) : SSL_CTX_set_default_verify_paths(ctx);
}

static enum err trust_new(const char *ca_file, str ca_pem, struct tls_trust **out)
{
    ERR_clear_error();
    struct tls_trust *t = calloc(1, sizeof *t);
    SSL_CTX *ctx = t ? SSL_CTX_new(TLS_client_method()) : NULL;
    enum err e = ERR_NO_MEMORY;
    if (!ctx) goto fail;
    /* TLS 1.2 only with forward secrecy and authenticated encryption (RFC 9325 §4.2); 1.3 has nothing else */
    static const unsigned char alpn[] = "\x08http/1.1";
    if (!SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
        !SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") ||
        SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn - 1) != 0)
        goto fail;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(ctx, 8);
    if (!load_authorities(ctx, ca_file, ca_pem)) {
        e = ERR_NOT_FOUND;
        goto fail;
    }
    t->ctx = ctx;
    *out = t;
    return ERR_OK;
fail:
    ERR_clear_error();
    SSL_CTX_free(ctx);
    free(t);
    return e;
}

enum err tls_trust_new(const char *ca_file, struct tls_trust **out)
{
    return trust_new(ca_file, STR_NONE, out);
}

enum err tls_trust_new_pem(str ca_pem, struct tls_trust **out)
{
    return trust_new(NULL, ca_pem.p ? ca_pem : STR(""), out);
}

void tls_trust_free(struct tls_trust **t)
{
    if (!*t) return;
    SSL_CTX_free((*t)->ctx);
    free(*t);
    *t = NULL;
}

/* --- a stream --- */

static bool expect_name(SSL *ssl, char *name, bool is_ip)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_ip) return X509_VERIFY_PARAM_set1_ip_asc(param, name);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) && SSL_set_tlsext_host_name(ssl, name);
}

enum err tls_client_new(struct tls_trust *trust, int fd, str host, bool host_is_ip, struct tls_client **out)
{
    char name[256];
    if (!host_is_ip && str_ends(host, STR("."))) host.n--; /* the root's dot is no part of a certificate's name */
    if (host.n == 0 || host.n >= sizeof name || str_has(host, '\0')) return ERR_MALFORMED;
    memcpy(name, host.p, host.n);
    name[host.n] = 0;

    ERR_clear_error();
    struct tls_client *c = calloc(1, sizeof *c);
    if (!c) return ERR_NO_MEMORY;
    c->fd = fd;
    c->reason = "";
    c->ssl = SSL_new(trust->ctx);
    BIO *b = c->ssl ? socket_bio(c) : NULL;
    if (!b || !expect_name(c->ssl, name, host_is_ip)) {
        enum err e = b && ERR_peek_error() == 0 ? ERR_MALFORMED : ERR_NO_MEMORY;
        BIO_free(b);
        SSL_free(c->ssl);
        free(c);
        return e;
    }
    SSL_set_bio(c->ssl, b, b);
    SSL_set_connect_state(c->ssl);
    *out = c;
    return ERR_OK;
}

void tls_client_free(struct tls_client **c)
{
    if (!*c) return;
    ERR_clear_error();
    if (!(*c)->broken && SSL_is_init_finished((*c)->ssl)) (void)SSL_shutdown((*c)->ssl);
    SSL_free((*c)->ssl);
    ERR_clear_error();
    free(*c);
    *c = NULL;
}

/* What a failed call means, by libssl's own word for it. */
static enum err failure(struct tls_client *c, int rc)
{
    int kind = SSL_get_error(c->ssl, rc);
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) return ERR_AGAIN;
    if (kind == SSL_ERROR_ZERO_RETURN) return ERR_CLOSED;
    c->broken = true;
    unsigned long code = ERR_peek_last_error();
    long verdict = SSL_get_verify_result(c->ssl);
    ERR_clear_error();
    if (kind == SSL_ERROR_SYSCALL) return ERR_CLOSED;
    if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) return ERR_CLOSED;
    if (verdict != X509_V_OK) {
        c->reason = X509_verify_cert_error_string(verdict);
        return ERR_DENIED;
    }
    const char *text = ERR_reason_error_string(code);
    c->reason = text ? text : "TLS failed";
    return ERR_MALFORMED;
}

enum err tls_client_handshake(struct tls_client *c)
{
    if (c->broken) return ERR_CLOSED;
    ERR_clear_error();
    int rc = SSL_do_handshake(c->ssl);
    if (rc != 1) return failure(c, rc);
    /* The handshake fails by itself when the certificate does; asked again, for this is all that matters here. */
    if (SSL_get_verify_result(c->ssl) != X509_V_OK || !SSL_get0_peer_certificate(c->ssl)) {
        c->broken = true;
        c->reason = "no verified certificate";
        return ERR_DENIED;
    }
    return ERR_OK;
}

enum err tls_client_read(struct tls_client *c, void *buf, size_t n, size_t *got)
{
    if (c->broken || !SSL_is_init_finished(c->ssl)) return ERR_CLOSED;
    ERR_clear_error();
    int rc = SSL_read_ex(c->ssl, buf, n, got);
    return rc == 1 ? ERR_OK : failure(c, rc);
}

enum err tls_client_write(struct tls_client *c, const void *p, size_t n, size_t *sent)
{
    if (c->broken || !SSL_is_init_finished(c->ssl)) return ERR_CLOSED;
    ERR_clear_error();
    int rc = SSL_write_ex(c->ssl, p, n, sent);
    return rc == 1 ? ERR_OK : failure(c, rc);
}

bool tls_client_ended(const struct tls_client *c)
{
    /* a fatal alert sets the same flag */
    return !c->broken && SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN;
}

const char *tls_client_reason(const struct tls_client *c)
{
    return c->reason;
}
