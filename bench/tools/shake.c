/* Load that is mostly handshakes: each connection shakes hands, asks once, and goes.
 *
 *     shake PORT SECONDS CONNECTIONS full|resumed [1.2]
 *
 * Prints {"handshakes": N, "resumed": N, "errors": N, "us": N}. `resumed`: each thread goes on with the session that
 * its last connection was given. The certificate is not verified: that is work of ours, and none of the peer's. */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char question[] = "GET /api/orders/42 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
static SSL_CTX *ctx;
static struct sockaddr_in to;
static double until;
static bool resume;

struct one {
    pthread_t thread;
    SSL_SESSION *session;
    unsigned long done, resumed, errors;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int keep(SSL *ssl, SSL_SESSION *session)
{
    struct one *o = SSL_get_app_data(ssl);
    SSL_SESSION_free(o->session);
    o->session = session;
    return 1;
}

static bool ask(struct one *o, SSL *ssl)
{
    char room[8192];
    int n, all = 0;
    if (SSL_connect(ssl) != 1 || SSL_write(ssl, question, (int)sizeof question - 1) <= 0) return false;
    while ((n = SSL_read(ssl, room + all, (int)sizeof room - all)) > 0) all += n;
    o->resumed += (unsigned long)SSL_session_reused(ssl);
    return all > 12 && memcmp(room, "HTTP/1.1 200", 12) == 0;
}

static void *run(void *arg)
{
    struct one *o = arg;
    while (now() < until) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        SSL *ssl = SSL_new(ctx);
        bool ok = fd >= 0 && ssl && connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
        if (ok) {
            SSL_set_fd(ssl, fd);
            SSL_set_app_data(ssl, o);
            SSL_set_tlsext_host_name(ssl, "localhost");
            if (resume && o->session) SSL_set_session(ssl, o->session);
            ok = ask(o, ssl);
        }
        o->done += ok;
        o->errors += !ok;
        SSL_set_quiet_shutdown(ssl, 1);
        SSL_shutdown(ssl);
        SSL_free(ssl);
        if (fd >= 0) close(fd);
    }
    return NULL;
}

int main(int n, char **args)
{
    if (n < 5) return 2;
    long conns = strtol(args[3], NULL, 10), port = strtol(args[1], NULL, 10);
    if (conns < 1 || conns > 1000) return 2;
    resume = strcmp(args[4], "resumed") == 0;
    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx) return 1;
    SSL_CTX_set1_groups_list(ctx, "X25519:P-256");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(ctx, keep);
    if (n > 5) SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    struct one *all = calloc((size_t)conns, sizeof *all);
    if (!all) return 1;
    double began = now();
    until = began + strtod(args[2], NULL);
    for (long i = 0; i < conns; i++)
        if (pthread_create(&all[i].thread, NULL, run, &all[i]) != 0) return 1;
    unsigned long done = 0, resumed = 0, errors = 0;
    for (long i = 0; i < conns; i++) {
        pthread_join(all[i].thread, NULL);
        done += all[i].done;
        resumed += all[i].resumed;
        errors += all[i].errors;
        SSL_SESSION_free(all[i].session);
    }
    printf("{\"handshakes\": %lu, \"resumed\": %lu, \"errors\": %lu, \"us\": %.0f}\n", done, resumed, errors,
           (now() - began) * 1e6);
    free(all);
    SSL_CTX_free(ctx);
    return 0;
}
