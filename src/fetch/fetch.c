#include "fetch/fetch.h"

#include "base/buf.h"
#include "codec/url.h"
#include "fetch/address.h"
#include "fetch/reply.h"
#include "fetch/resolve.h"
#include "net/tls_client.h"

#include <stdio.h>
#include <stdlib.h>

/* The life of a request. Every arrow to OVER goes through finish(), which calls `done` and leaves the freeing to a
 * task at the end of the turn; fetch_cancel goes the same way without calling it.
 *
 *   NEW --begin()--> RESOLVING --on_resolved()--> CONNECTING --on_connected()--> HANDSHAKE --> SENDING --> READING
 *   RESOLVING is left out for an address, HANDSHAKE without TLS; CONNECTING tries one address after another. */
enum state { NEW, RESOLVING, CONNECTING, HANDSHAKE, SENDING, READING, OVER };

/* With further addresses to try, one that does not answer gets this long. */
#define TRY_MS 1500

struct fetch {
    struct fetch_env env;
    struct fetch_options options;
    void (*done)(void *user, const struct fetch_result *r);
    void *user;
    enum state state;
    struct task task;      /* begin() once, then the end */
    struct timer deadline; /* for everything */
    struct timer patience; /* for one address */
    struct watch watch;
    struct resolve *resolve;
    struct tls_trust *trust;
    struct tls_client *tls;
    struct url url; /* slices of url_text */
    size_t n_list, next;
    struct net_addr list[RESOLVE_MAX];
    size_t head_n, sent;
    struct reply reply;
    char detail[160];
    char *head; /* of the request; behind url_text */
    size_t head_room, url_n;
    char url_text[];
};

/* What a head needs besides the URL, twice, and the fields that the caller adds. */
#define HEAD_ROOM 384

const char *fetch_fault_text(enum fetch_fault f)
{
    switch (f) {
    case FETCH_FAULT_NONE: return "no fault";
    case FETCH_FAULT_URL: return "the URL is not acceptable";
    case FETCH_FAULT_PLAIN: return "only https is allowed";
    case FETCH_FAULT_NAME: return "the name does not resolve";
    case FETCH_FAULT_ADDRESS: return "the address may not be connected to";
    case FETCH_FAULT_CONNECT: return "no connection";
    case FETCH_FAULT_TRUST: return "the file of certification authorities cannot be used";
    case FETCH_FAULT_TLS: return "no TLS";
    case FETCH_FAULT_CERTIFICATE: return "the certificate is not accepted";
    case FETCH_FAULT_ANSWER: return "the answer is no acceptable HTTP/1.1";
    case FETCH_FAULT_CODING: return "the answer is compressed, which was not asked for";
    case FETCH_FAULT_REDIRECT: return "the answer is a redirect, which is not followed";
    case FETCH_FAULT_STATUS: return "the answer is not 200";
    case FETCH_FAULT_SIZE: return "the answer is too large";
    case FETCH_FAULT_CUT: return "the answer broke off";
    case FETCH_FAULT_TIME: return "the answer was not whole in time";
    case FETCH_FAULT_BUSY: return "too many requests at once";
    case FETCH_FAULT_MEMORY: return "out of memory";
    }
    return "unknown fault";
}

/* --- the end --- */

static void disconnect(struct fetch *f)
{
    tls_client_free(&f->tls); /* first: it may say goodbye on the descriptor */
    watch_close(&f->watch);
    timer_clear(f->env.loop, &f->patience);
}

static void tear_down(struct fetch *f)
{
    disconnect(f);
    tls_trust_free(&f->trust);
    resolve_cancel(&f->resolve);
    timer_clear(f->env.loop, &f->deadline);
    f->state = OVER;
    loop_defer(f->env.loop, &f->task);
}

static void finish(struct fetch *f, enum fetch_fault fault)
{
    struct fetch_result r = {.fault = fault, .status = f->reply.status, .detail = f->detail};
    if (fault == FETCH_FAULT_NONE) r.body = buf_str(&f->reply.body);
    if (fault == FETCH_FAULT_STATUS || fault == FETCH_FAULT_REDIRECT)
        snprintf(f->detail, sizeof f->detail, "status %u", r.status);
    tear_down(f);
    f->done(f->user, &r);
}

static void because(struct fetch *f, const char *why)
{
    snprintf(f->detail, sizeof f->detail, "%s", why);
}

void fetch_cancel(struct fetch **f)
{
    if (*f && (*f)->state != OVER) tear_down(*f);
    *f = NULL;
}

static void on_deadline(struct timer *t)
{
    static const char *const during[] = {[NEW] = "not begun",
                                         [RESOLVING] = "looking the name up",
                                         [CONNECTING] = "connecting",
                                         [HANDSHAKE] = "TLS handshake",
                                         [SENDING] = "sending",
                                         [READING] = "reading",
                                         [OVER] = ""};
    struct fetch *f = CONTAINER_OF(t, struct fetch, deadline);
    because(f, during[f->state]);
    finish(f, FETCH_FAULT_TIME);
}

/* --- the address --- */

static bool allowed(const struct fetch *f, enum address_class class)
{
    switch (class) {
    case ADDRESS_PUBLIC: return f->url.tls;
    case ADDRESS_PRIVATE: return f->url.tls ? f->options.private_ok : f->options.plain_private_ok;
    case ADDRESS_LOOPBACK: return f->url.tls ? f->options.private_ok : f->options.plain_ok;
    case ADDRESS_NEVER: break;
    }
    return false;
}

/* The next address that may be connected to; FETCH_FAULT_ADDRESS or _CONNECT when there is none left. */
static void try_next(struct fetch *f)
{
    char text[NET_TEXT_MAX];
    disconnect(f);
    while (f->next < f->n_list) {
        const struct net_addr *a = &f->list[f->next++];
        net_addr_text(a, text);
        if (!allowed(f, address_classify(a))) {
            if (f->state != CONNECTING) because(f, text);
            continue;
        }
        f->state = CONNECTING;
        bool done;
        enum err e = net_connect(a, &f->watch.fd, &done);
        if (e == ERR_OK && watch_add(f->env.loop, &f->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP) == ERR_OK) {
            /* connected at once or not, an event follows */
            if (f->next < f->n_list) timer_set(f->env.loop, &f->patience, loop_now_ms(f->env.loop) + TRY_MS);
            return;
        }
        watch_close(&f->watch);
        because(f, text);
        if (e == ERR_LIMIT) {
            finish(f, FETCH_FAULT_BUSY);
            return;
        }
    }
    finish(f, f->state == CONNECTING ? FETCH_FAULT_CONNECT : FETCH_FAULT_ADDRESS);
}

static void on_patience(struct timer *t)
{
    try_next(CONTAINER_OF(t, struct fetch, patience));
}

static void on_resolved(void *user, const struct net_addr *list, size_t n, const char *why)
{
    struct fetch *f = user;
    f->resolve = NULL;
    if (n == 0) {
        because(f, why);
        finish(f, FETCH_FAULT_NAME);
        return;
    }
    memcpy(f->list, list, n * sizeof *list);
    f->n_list = n;
    try_next(f);
}

static enum err literal_address(const struct url *u, struct net_addr *out)
{
    char text[80];
    bool v6 = u->kind == HOST_IPV6;
    int n = snprintf(text, sizeof text, "%s%.*s%s:%u", v6 ? "[" : "", STR_ARG(u->host), v6 ? "]" : "", u->port);
    if (n < 0 || (size_t)n >= sizeof text) return ERR_MALFORMED;
    return net_addr_parse(str_make(text, (size_t)n), out);
}

/* --- the conversation --- */

static enum fetch_fault tls_fault(struct fetch *f, enum err e)
{
    because(f, tls_client_reason(f->tls));
    return e == ERR_DENIED ? FETCH_FAULT_CERTIFICATE : e == ERR_MALFORMED ? FETCH_FAULT_TLS : FETCH_FAULT_CUT;
}

/* What is to be sent next: of the head, then of the body; empty when all has left. */
static str unsent(const struct fetch *f)
{
    if (f->sent < f->head_n) return str_make(f->head + f->sent, f->head_n - f->sent);
    return str_from(f->options.body, f->sent - f->head_n);
}

/* ERR_OK: all of the request has left. */
static enum err send_some(struct fetch *f, enum fetch_fault *fault)
{
    for (str piece; (piece = unsent(f)).n;) {
        size_t n = 0;
        enum err e =
            f->tls ? tls_client_write(f->tls, piece.p, piece.n, &n) : net_send(f->watch.fd, piece.p, piece.n, &n);
        if (e == ERR_OK && n == 0) e = ERR_AGAIN;
        if (e == ERR_AGAIN) return e;
        if (e != ERR_OK) {
            *fault = f->tls ? tls_fault(f, e) : FETCH_FAULT_CUT;
            return e;
        }
        f->sent += n;
    }
    return ERR_OK;
}

/* ERR_OK: the answer is whole. */
static enum err read_some(struct fetch *f, enum fetch_fault *fault)
{
    char room[16384];
    while (!f->reply.whole) {
        size_t n = 0;
        enum err e =
            f->tls ? tls_client_read(f->tls, room, sizeof room, &n) : net_recv(f->watch.fd, room, sizeof room, &n);
        if (e == ERR_AGAIN) return e;
        if (e == ERR_OK) {
            e = reply_take(&f->reply, str_make(room, n), fault);
        } else if (e == ERR_CLOSED) {
            e = reply_end(&f->reply, !f->tls || tls_client_ended(f->tls), fault);
        } else {
            *fault = f->tls ? tls_fault(f, e) : FETCH_FAULT_CUT;
        }
        if (e != ERR_OK) return e;
    }
    return ERR_OK;
}

/* As far as the socket lets us. */
static void go_on(struct fetch *f)
{
    enum fetch_fault fault = FETCH_FAULT_NONE;
    enum err e;
    if (f->state == HANDSHAKE) {
        e = tls_client_handshake(f->tls);
        if (e == ERR_AGAIN) return;
        if (e != ERR_OK) {
            fault = tls_fault(f, e);
            finish(f, fault == FETCH_FAULT_CUT ? FETCH_FAULT_TLS : fault);
            return;
        }
        f->state = SENDING;
    }
    if (f->state == SENDING) {
        e = send_some(f, &fault);
        if (e == ERR_AGAIN) return;
        if (e != ERR_OK) {
            finish(f, fault);
            return;
        }
        f->state = READING;
    }
    e = read_some(f, &fault);
    if (e != ERR_AGAIN) finish(f, fault);
}

static void on_connected(struct fetch *f)
{
    if (net_connect_result(f->watch.fd) != ERR_OK) {
        net_addr_text(&f->list[f->next - 1], f->detail);
        try_next(f);
        return;
    }
    timer_clear(f->env.loop, &f->patience);
    f->state = SENDING;
    if (f->url.tls) {
        enum err e = tls_client_new(f->trust, f->watch.fd, f->url.host, f->url.kind != HOST_NAME, &f->tls);
        if (e != ERR_OK) {
            finish(f, e == ERR_NO_MEMORY ? FETCH_FAULT_MEMORY : FETCH_FAULT_URL);
            return;
        }
        f->state = HANDSHAKE;
    }
    go_on(f);
}

static void on_event(struct watch *w, uint32_t events)
{
    struct fetch *f = CONTAINER_OF(w, struct fetch, watch);
    if (f->state == CONNECTING) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) on_connected(f);
    } else {
        go_on(f);
    }
}

/* --- the beginning --- */

/* Fields that say where a message ends or whom it is for are ours alone. */
static bool field_is_ours(str name)
{
    static const char *const ours[] = {"host", "connection", "content-length", "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (str_ieq(name, str_of(ours[i]))) return true;
    return false;
}

static bool write_request(struct fetch *f)
{
    const struct fetch_options *want = &f->options;
    struct h1_out o = {.p = f->head, .cap = f->head_room, .ok = true};
    h1_out_request_line(&o, want->body.p ? STR("POST") : STR("GET"), f->url.target, STR_NONE, false);
    h1_out_field(&o, STR("Host"), f->url.authority);
    h1_out_field(&o, STR("Accept"), f->options.accept ? str_of(f->options.accept) : STR("*/*"));
    h1_out_field(&o, STR("Accept-Encoding"), STR("identity"));
    h1_out_field(&o, STR("User-Agent"), STR("sallyport/" SALLYPORT_VERSION));
    h1_out_field(&o, STR("Connection"), STR("close"));
    for (size_t i = 0; i < want->n_headers; i++) {
        if (field_is_ours(want->headers[i].name) || !http_token_ok(want->headers[i].name)) return false;
        h1_out_field(&o, want->headers[i].name, want->headers[i].value);
    }
    if (want->body.p) {
        if (want->content_type) h1_out_field(&o, STR("Content-Type"), str_of(want->content_type));
        h1_out_field_u64(&o, STR("Content-Length"), want->body.n);
    }
    h1_out_end(&o);
    f->head_n = o.n;
    return o.ok;
}

static enum fetch_fault prepare(struct fetch *f)
{
    enum url_fault why;
    if (url_parse(str_make(f->url_text, f->url_n), &f->url, &why) != ERR_OK) {
        because(f, url_fault_name(why));
        return FETCH_FAULT_URL;
    }
    if (!f->url.tls && !f->options.plain_ok) return FETCH_FAULT_PLAIN;
    if (f->options.body.n > FETCH_MAX_SEND) return FETCH_FAULT_SIZE;
    if (!write_request(f)) return FETCH_FAULT_URL;
    if (!f->url.tls) return FETCH_FAULT_NONE;
    enum err e = f->options.ca_pem.p ? tls_trust_new_pem(f->options.ca_pem, &f->trust)
                                     : tls_trust_new(f->options.ca_file, &f->trust);
    if (e == ERR_NOT_FOUND && f->options.ca_file) because(f, f->options.ca_file);
    return e == ERR_OK ? FETCH_FAULT_NONE : e == ERR_NOT_FOUND ? FETCH_FAULT_TRUST : FETCH_FAULT_MEMORY;
}

static void begin(struct fetch *f)
{
    enum fetch_fault fault = prepare(f);
    if (fault) {
        finish(f, fault);
        return;
    }
    f->state = RESOLVING;
    if (f->url.kind != HOST_NAME) {
        if (literal_address(&f->url, &f->list[0]) != ERR_OK) {
            finish(f, FETCH_FAULT_URL);
            return;
        }
        f->n_list = 1;
        try_next(f);
        return;
    }
    enum err e = resolve_start(f->env.pool, f->env.loop, f->url.host, f->url.port, on_resolved, f, &f->resolve);
    if (e == ERR_OK) return;
    finish(f, e == ERR_LIMIT ? FETCH_FAULT_BUSY : e == ERR_MALFORMED ? FETCH_FAULT_URL : FETCH_FAULT_MEMORY);
}

static void on_task(struct task *t)
{
    struct fetch *f = CONTAINER_OF(t, struct fetch, task);
    if (f->state == NEW) {
        begin(f);
        return;
    }
    reply_free(&f->reply);
    free(f);
}

enum err fetch_start(const struct fetch_env *env, str url, const struct fetch_options *options,
                     void (*done)(void *user, const struct fetch_result *r), void *user, struct fetch **out)
{
    if (url.n > URL_MAX + 1) url.n = URL_MAX + 1; /* too long already: refused in begin() like every other fault */
    size_t room = 2 * url.n + HEAD_ROOM;
    for (size_t i = 0; i < options->n_headers; i++)
        room += options->headers[i].name.n + options->headers[i].value.n + 4;
    struct fetch *f = calloc(1, sizeof *f + url.n + room);
    if (!f) return ERR_NO_MEMORY;
    f->head = f->url_text + url.n;
    f->head_room = room;
    f->env = *env;
    f->options = *options;
    f->done = done;
    f->user = user;
    f->task.run = on_task;
    f->deadline.on_time = on_deadline;
    f->patience.on_time = on_patience;
    f->watch = (struct watch){on_event, -1};
    f->url_n = url.n;
    if (url.n) memcpy(f->url_text, url.p, url.n);
    uint32_t bytes = options->max_bytes, ms = options->timeout_ms;
    reply_init(&f->reply, bytes && bytes < FETCH_MAX_BYTES ? bytes : FETCH_MAX_BYTES);
    timer_set(env->loop, &f->deadline, loop_now_ms(env->loop) + (ms && ms < FETCH_MAX_MS ? ms : FETCH_MAX_MS));
    loop_defer(env->loop, &f->task);
    *out = f;
    return ERR_OK;
}
