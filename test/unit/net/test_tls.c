/* Both ends of TLS in one thread, over a pair of sockets: who is shown what, who is believed, what is resumed, and what
 * an end means. */
#include "net/tls_server.h"
#include "net/tls_upstream.h"

#include "unit.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOW 1000000000u /* of the tickets; certificates are judged by libssl's own clock */

static char folder[256];

static str file(const char *name)
{
    static char room[64][16384];
    static unsigned next;
    char path[300], *p = room[next++ % 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s", path);
    size_t n = fread(p, 1, sizeof room[0], f);
    fclose(f);
    return str_make(p, n);
}

static struct tls_server_certificate certificate(const char *name)
{
    char pem[64], key[64];
    snprintf(pem, sizeof pem, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    return (struct tls_server_certificate){file(pem), file(key), STR_NONE, str_of(name)};
}

/* --- two ends --- */

struct ends {
    int fd[2];
    struct tls_stream *client, *server;
    enum err client_end, server_end;
};

static void hold(struct ends *p, struct tls_upstream *u, struct tls_server *t, str name, struct tls_session *session)
{
    *p = (struct ends){.client_end = ERR_AGAIN, .server_end = ERR_AGAIN};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fd), 0);
    assert_err(tls_upstream_stream(u, name, p->fd[0], session, &p->client), ERR_OK);
    assert_err(tls_server_stream(t, p->fd[1], &p->server), ERR_OK);
}

static void shake(struct ends *p, uint64_t now_s)
{
    for (int i = 0; i < 20 && (p->client_end == ERR_AGAIN || p->server_end == ERR_AGAIN); i++) {
        if (p->client_end == ERR_AGAIN) p->client_end = tls_stream_handshake(p->client, now_s);
        if (p->client_end != ERR_OK && p->client_end != ERR_AGAIN && p->fd[0] >= 0) {
            close(p->fd[0]);
            p->fd[0] = -1;
        }
        if (p->server_end == ERR_AGAIN) p->server_end = tls_stream_handshake(p->server, now_s);
    }
}

static void let_go(struct ends *p)
{
    tls_stream_free(&p->client, true);
    tls_stream_free(&p->server, true);
    if (p->fd[0] >= 0) close(p->fd[0]);
    if (p->fd[1] >= 0) close(p->fd[1]);
}

/* The client takes in what only TLS has to tell: tickets. */
static void take_tickets(struct ends *p)
{
    assert_true(tls_stream_quiet(p->client));
}

static struct tls_upstream *trusting(const char *ca, const char *name, const char *ours)
{
    struct tls_upstream *u = NULL;
    char why[256];
    struct tls_upstream_options o = {.ca_pem = file(ca), .name = str_of(name)};
    if (ours) {
        struct tls_server_certificate c = certificate(ours);
        o.cert_pem = c.cert_pem;
        o.key_pem = c.key_pem;
    }
    if (tls_upstream_new(&o, &u, why) != ERR_OK) fail_msg("%s", why);
    return u;
}

static struct tls_server *showing(const char *const *names, size_t n, struct tls_tickets *tickets, const char *clients)
{
    struct tls_server_certificate all[8];
    struct tls_server *t = NULL;
    char why[256];
    for (size_t i = 0; i < n; i++) all[i] = certificate(names[i]);
    struct tls_server_options o = {.certificates = all,
                                   .n = n,
                                   .tls12 = true,
                                   .tickets_s = tickets ? 3600 : 0,
                                   .tickets = tickets,
                                   .clients_ca_pem = clients ? file(clients) : STR_NONE};
    if (tls_server_new(&o, &t, why) != ERR_OK) fail_msg("%s", why);
    return t;
}

static struct tls_server *one(const char *name, struct tls_tickets *tickets, const char *clients)
{
    return showing(&name, 1, tickets, clients);
}

/* --- names --- */

static void pin_of(const char *name, unsigned char out[32])
{
    struct tls_server *t = one(name, NULL, NULL);
    struct tls_upstream *u = trusting("ca.pem", "", NULL);
    const struct {
        const char *name, *host;
    } hosts[] = {{"public", "public.test"},
                 {"publicrsa", "public.test"},
                 {"wild", "a.wild.test"},
                 {"exact", "one.wild.test"}};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        if (strcmp(hosts[i].name, name) != 0) continue;
        struct ends p;
        hold(&p, u, t, str_of(hosts[i].host), NULL);
        shake(&p, NOW);
        assert_err(p.client_end, ERR_OK);
        memcpy(out, tls_stream_peer(p.client)->spki_sha256, 32);
        let_go(&p);
    }
    tls_upstream_unref(&u);
    tls_server_unref(&t);
}

static void a_name_chooses_the_certificate(void **state)
{
    (void)state;
    static const char *const all[] = {"public", "publicrsa", "wild", "exact"};
    static const struct {
        const char *asked, *shown;
        enum err want;
    } cases[] = {
        {"public.test", "public", ERR_OK},   {"PUBLIC.test.", "public", ERR_OK},  {"www.public.test", "public", ERR_OK},
        {"a.wild.test", "wild", ERR_OK},     {"upper.test", "wild", ERR_OK},      {"one.wild.test", "wild", ERR_OK},
        {"a.b.wild.test", NULL, ERR_DENIED}, {"wild.test", NULL, ERR_DENIED},     {"nobody.test", NULL, ERR_DENIED},
        {"127.0.0.1", "public", ERR_OK},     {"127.0.0.2", "public", ERR_DENIED},
    };
    struct tls_server *t = showing(all, ARRAY_LEN(all), NULL, NULL);
    struct tls_upstream *u = trusting("ca.pem", "", NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ends p;
        unsigned char pin[32];
        hold(&p, u, t, str_of(cases[i].asked), NULL);
        shake(&p, NOW);
        if (p.client_end != cases[i].want)
            fail_msg("%s: got %s (%s)", cases[i].asked, err_name(p.client_end), tls_stream_reason(p.client));
        if (cases[i].want == ERR_OK) {
            pin_of(cases[i].shown, pin);
            assert_memory_equal(tls_stream_peer(p.client)->spki_sha256, pin, 32);
            assert_int_equal(tls_stream_peer(p.client)->version, 0x0304);
            assert_false(tls_stream_peer(p.server)->certificate);
        }
        let_go(&p);
    }
    tls_upstream_unref(&u);
    tls_server_unref(&t);
}

/* --- who is believed --- */

static void a_server_is_verified(void **state)
{
    (void)state;
    static const struct {
        const char *name, *shown, *ca, *asked, *reason;
    } cases[] = {
        {"good", "upstream", "ca.pem", "orders.internal", NULL},
        {"either", "upstream", "both.pem", "orders.internal", NULL},
        {"other authority", "upstream", "other.pem", "orders.internal", "certificate"},
        {"other name", "elsewhere", "ca.pem", "orders.internal", "hostname mismatch"},
        {"expired", "expired", "ca.pem", "orders.internal", "certificate has expired"},
        {"its own", "self", "ca.pem", "self", "self-signed certificate"},
        {"a client's", "partner", "ca.pem", "partner", "purpose"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tls_server *t = one(cases[i].shown, NULL, NULL);
        struct tls_upstream *u = trusting(cases[i].ca, cases[i].asked, NULL);
        struct ends p;
        hold(&p, u, t, STR_NONE, NULL);
        shake(&p, NOW);
        if (p.client_end != (cases[i].reason ? ERR_DENIED : ERR_OK))
            fail_msg("%s: %s", cases[i].name, err_name(p.client_end));
        if (cases[i].reason && !strstr(tls_stream_reason(p.client), cases[i].reason))
            fail_msg("%s: %s", cases[i].name, tls_stream_reason(p.client));
        if (!cases[i].reason) assert_err(p.server_end, ERR_OK);
        let_go(&p);
        tls_upstream_unref(&u);
        tls_server_unref(&t);
    }
}

static void without_a_name_nobody_is_asked(void **state)
{
    (void)state;
    struct tls_upstream *u = trusting("ca.pem", "", NULL);
    struct tls_stream *s = NULL;
    assert_err(tls_upstream_stream(u, STR_NONE, 0, NULL, &s), ERR_MALFORMED);
    assert_err(tls_upstream_stream(u, STR("a\0b"), 0, NULL, &s), ERR_MALFORMED);
    assert_null(s);
    tls_upstream_unref(&u);
}

static void a_client_is_verified_if_it_shows_a_certificate(void **state)
{
    (void)state;
    static const struct {
        const char *shown;
        enum err want;
        bool certificate;
        const char *reason;
    } cases[] = {
        {NULL, ERR_OK, false, ""},
        {"partner", ERR_OK, true, ""},
        {"foreign", ERR_DENIED, false, "certificate"},
        {"late", ERR_DENIED, false, "certificate has expired"},
        {"self", ERR_DENIED, false, "self-signed certificate"},
        {"purpose", ERR_DENIED, false, "purpose"},
    };
    struct tls_server *t = one("upstream", NULL, "ca.pem");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tls_upstream *u = trusting("ca.pem", "orders.internal", cases[i].shown);
        struct ends p;
        hold(&p, u, t, STR_NONE, NULL);
        shake(&p, NOW);
        const char *shown = cases[i].shown ? cases[i].shown : "nothing";
        if (p.server_end != cases[i].want) fail_msg("%s: %s", shown, err_name(p.server_end));
        if (!strstr(tls_stream_reason(p.server), cases[i].reason))
            fail_msg("%s: %s", shown, tls_stream_reason(p.server));
        const struct tls_peer *peer = tls_stream_peer(p.server);
        assert_true(cases[i].want == ERR_OK ? peer != NULL : peer == NULL);
        if (peer) assert_true(peer->certificate == cases[i].certificate);
        let_go(&p);
        tls_upstream_unref(&u);
    }
    tls_server_unref(&t);
}

/* --- resumption --- */

static bool resumes(struct tls_upstream *u, struct tls_server *t, struct tls_session *session, uint64_t now_s,
                    struct tls_peer *peer)
{
    struct ends p;
    hold(&p, u, t, STR_NONE, session);
    shake(&p, now_s);
    assert_err(p.client_end, ERR_OK);
    assert_err(p.server_end, ERR_OK);
    bool resumed = tls_stream_peer(p.server)->resumed;
    assert_true(resumed == tls_stream_peer(p.client)->resumed);
    if (peer) *peer = *tls_stream_peer(p.server);
    take_tickets(&p);
    let_go(&p);
    return resumed;
}

static void sessions_are_resumed_across_contexts(void **state)
{
    (void)state;
    struct tls_tickets *keys, *others;
    struct tls_session session = {0};
    assert_err(tls_tickets_new(&keys), ERR_OK);
    assert_err(tls_tickets_new(&others), ERR_OK);
    struct tls_server *a = one("upstream", keys, NULL), *b = one("upstream", keys, NULL);
    struct tls_server *foreign = one("upstream", others, NULL), *none = one("upstream", NULL, NULL);
    struct tls_upstream *u = trusting("ca.pem", "orders.internal", NULL);
    assert_false(resumes(u, a, &session, NOW, NULL));
    assert_true(resumes(u, a, &session, NOW + 1, NULL));
    assert_true(resumes(u, b, &session, NOW + 2, NULL));
    /* the key before is good for as long again, then it is gone */
    assert_true(resumes(u, a, &session, NOW + 3601, NULL));
    tls_tickets_turn(keys, 3600, NOW + 3 * 3600);
    tls_tickets_turn(keys, 3600, NOW + 4 * 3600);
    assert_false(resumes(u, a, &session, NOW + 4 * 3600 + 1, NULL));
    /* keys of another process open nothing, and without tickets there are none */
    assert_true(resumes(u, b, &session, NOW + 4 * 3600 + 2, NULL));
    assert_false(resumes(u, foreign, &session, NOW + 4 * 3600 + 3, NULL));
    tls_session_free(&session);
    assert_false(resumes(u, none, &session, NOW, NULL));
    assert_null(session.session);
    /* a session is of the trust that it was made in */
    struct tls_upstream *other = trusting("both.pem", "orders.internal", NULL);
    assert_false(resumes(u, a, &session, NOW + 4 * 3600 + 4, NULL));
    assert_false(resumes(other, a, &session, NOW + 4 * 3600 + 5, NULL));
    tls_session_free(&session);
    tls_upstream_unref(&u);
    tls_upstream_unref(&other);
    tls_server_unref(&a);
    tls_server_unref(&b);
    tls_server_unref(&foreign);
    tls_server_unref(&none);
    tls_tickets_unref(&keys);
    tls_tickets_unref(&others);
}

static void a_resumed_client_is_who_it_was(void **state)
{
    (void)state;
    struct tls_tickets *keys;
    struct tls_session session = {0};
    struct tls_peer first, then;
    assert_err(tls_tickets_new(&keys), ERR_OK);
    struct tls_server *t = one("upstream", keys, "ca.pem"), *wider = one("upstream", keys, "both.pem");
    struct tls_upstream *u = trusting("ca.pem", "orders.internal", "partner");
    uint64_t today = (uint64_t)time(NULL);
    assert_false(resumes(u, t, &session, today, &first));
    assert_true(resumes(u, t, &session, today + 1, &then));
    assert_true(first.certificate && then.certificate);
    assert_memory_equal(first.spki_sha256, then.spki_sha256, 32);
    /* other authorities for clients: whoever was verified by the old ones is verified anew */
    assert_false(resumes(u, wider, &session, today + 2, &then));
    assert_true(then.certificate);
    /* a ticket whose client's certificate has run out meanwhile is none */
    struct ends p;
    assert_true(resumes(u, wider, &session, today + 3, NULL));
    tls_tickets_turn(keys, 3600, today + 21 * 86400 - 10);
    assert_false(resumes(u, wider, &session, today + 21 * 86400 - 5, NULL)); /* by the keys' age alone */
    struct tls_tickets *slow;
    assert_err(tls_tickets_new(&slow), ERR_OK);
    struct tls_server_certificate c = certificate("upstream");
    char why[256];
    struct tls_server_options o = {&c, 1, true, 30 * 86400, slow, file("ca.pem")};
    struct tls_server *month = NULL;
    assert_err(tls_server_new(&o, &month, why), ERR_OK);
    tls_session_free(&session);
    assert_false(resumes(u, month, &session, today, NULL));
    assert_true(resumes(u, month, &session, today + 1, NULL));
    hold(&p, u, month, STR_NONE, &session);
    for (int i = 0; i < 10 && p.server_end == ERR_AGAIN; i++) { /* the client's clock stands still */
        if (p.client_end == ERR_AGAIN) p.client_end = tls_stream_handshake(p.client, today);
        p.server_end = tls_stream_handshake(p.server, today + 21 * 86400);
    }
    assert_err(p.server_end, ERR_OK);
    assert_false(tls_stream_peer(p.server)->resumed); /* verified anew, by libssl's clock, which knows no other day */
    let_go(&p);
    tls_session_free(&session);
    tls_upstream_unref(&u);
    tls_server_unref(&t);
    tls_server_unref(&wider);
    tls_server_unref(&month);
    tls_tickets_unref(&keys);
    tls_tickets_unref(&slow);
}

static void keys_of_tickets_go(void **state)
{
    (void)state;
    struct tls_tickets *t;
    struct ticket_key a, b, got;
    bool old;
    assert_err(tls_tickets_new(&t), ERR_OK);
    tls_tickets_seal_key(t, 100, 1000, &a);
    tls_tickets_seal_key(t, 100, 1099, &b);
    assert_memory_equal(&a, &b, sizeof a);
    tls_tickets_seal_key(t, 100, 1100, &b);
    assert_memory_not_equal(&a, &b, sizeof a);
    assert_true(tls_tickets_open_key(t, 100, 1150, b.name, &got, &old) && !old);
    assert_true(tls_tickets_open_key(t, 100, 1150, a.name, &got, &old) && old);
    assert_memory_equal(&a, &got, sizeof a);
    assert_false(tls_tickets_open_key(t, 100, 1200, a.name, &got, &old));
    assert_true(tls_tickets_open_key(t, 100, 1200, b.name, &got, &old) && old);
    assert_false(tls_tickets_open_key(t, 100, 2000, b.name, &got, &old)); /* after a long silence none is left */
    static const unsigned char wiped[TICKET_NAME_LEN];
    assert_false(tls_tickets_open_key(t, 100, 2000, wiped, &got, &old)); /* and its place is no key */
    tls_tickets_unref(&t);
}

/* --- bytes --- */

static void bytes_and_ends(void **state)
{
    (void)state;
    struct tls_server *t = one("upstream", NULL, NULL);
    struct tls_upstream *u = trusting("ca.pem", "orders.internal", NULL);
    struct ends p;
    hold(&p, u, t, STR_NONE, NULL);
    shake(&p, NOW);
    /* pieces leave as one record, and arrive by one receive */
    char room[4096];
    size_t sent, got;
    struct iovec pieces[] = {{"one ", 4}, {"", 0}, {"two ", 4}, {"three", 5}};
    assert_err(tls_stream_sendv(p.server, pieces, 4, &sent), ERR_OK);
    assert_int_equal(sent, 13);
    assert_err(tls_stream_recv(p.client, room, sizeof room, &got), ERR_OK);
    assert_str(str_make(room, got), STR("one two three"));
    assert_true(tls_stream_drained(p.client));
    assert_err(tls_stream_recv(p.client, room, sizeof room, &got), ERR_AGAIN);
    /* more than the sockets take, in odd pieces, both ways of asking for it */
    static char big[1 << 20], back[1 << 20];
    for (size_t i = 0; i < sizeof big; i++) big[i] = (char)(i * 31 + i / 997);
    size_t at = 0, to = 0;
    while (to < sizeof big) {
        struct iovec two[] = {{big + at, (sizeof big - at) / 3}, {big + at + (sizeof big - at) / 3, 0}};
        two[1].iov_len = sizeof big - at - two[0].iov_len;
        if (at < sizeof big) {
            assert_err(tls_stream_sendv(p.client, two, 2, &sent), ERR_OK);
            at += sent;
        }
        enum err e =
            tls_stream_recv(p.server, back + to,
                            1 + (to * 7) % 5000 < sizeof back - to ? 1 + (to * 7) % 5000 : sizeof back - to, &got);
        if (e == ERR_OK)
            to += got;
        else
            assert_err(e, ERR_AGAIN);
    }
    assert_memory_equal(big, back, sizeof big);
    /* a goodbye is an end; none is a loss */
    struct iovec last = {"end", 3};
    assert_err(tls_stream_sendv(p.server, &last, 1, &sent), ERR_OK);
    tls_stream_end(p.server);
    assert_err(tls_stream_sendv(p.client, &last, 1, &sent), ERR_OK); /* the other half goes on */
    assert_err(tls_stream_recv(p.server, room, sizeof room, &got), ERR_OK);
    assert_err(tls_stream_recv(p.client, room, sizeof room, &got), ERR_OK);
    assert_err(tls_stream_recv(p.client, room, sizeof room, &got), ERR_CLOSED);
    assert_err(tls_stream_recv(p.client, room, sizeof room, &got), ERR_CLOSED);
    shutdown(p.fd[0], SHUT_WR);
    assert_err(tls_stream_recv(p.server, room, sizeof room, &got), ERR_IO);
    assert_err(tls_stream_recv(p.server, room, sizeof room, &got), ERR_IO);
    let_go(&p);
    tls_upstream_unref(&u);
    tls_server_unref(&t);
}

/* Everything goes through a second pair of sockets, byte by byte. */
static void byte_by_byte(void **state)
{
    (void)state;
    struct tls_server *t = one("upstream", NULL, "ca.pem");
    struct tls_upstream *u = trusting("ca.pem", "orders.internal", "partner");
    int near[2], far[2];
    struct tls_stream *client, *server;
    enum err ce = ERR_AGAIN, se = ERR_AGAIN;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, near), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, far), 0);
    assert_err(tls_upstream_stream(u, STR_NONE, near[0], NULL, &client), ERR_OK);
    assert_err(tls_server_stream(t, far[0], &server), ERR_OK);
    for (int i = 0; i < 100000 && (ce != ERR_OK || se != ERR_OK); i++) {
        char c;
        if (ce == ERR_AGAIN) ce = tls_stream_handshake(client, NOW);
        if (se == ERR_AGAIN) se = tls_stream_handshake(server, NOW);
        if (recv(near[1], &c, 1, 0) == 1) assert_int_equal(send(far[1], &c, 1, 0), 1);
        if (recv(far[1], &c, 1, 0) == 1) assert_int_equal(send(near[1], &c, 1, 0), 1);
    }
    assert_err(ce, ERR_OK);
    assert_err(se, ERR_OK);
    assert_true(tls_stream_peer(server)->certificate);
    tls_stream_free(&client, false);
    tls_stream_free(&server, false);
    for (int i = 0; i < 2; i++) {
        close(near[i]);
        close(far[i]);
    }
    tls_upstream_unref(&u);
    tls_server_unref(&t);
}

static void garbage_is_no_handshake(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        str bytes;
        enum err want;
    } cases[] = {
        {"http", STR_INIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), ERR_MALFORMED},
        {"zeros", STR_INIT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), ERR_MALFORMED},
        {"ssl 2", STR_INIT("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00\x80"),
         ERR_CLOSED},
        {"a long record", STR_INIT("\x16\x03\x01\xff\xff\x01\x00\x00\x00"), ERR_MALFORMED},
        {"an alert", STR_INIT("\x15\x03\x01\x00\x02\x02\x28"), ERR_MALFORMED},
        {"bytes of nobody", STR_INIT("\x17\x03\x03\x00\x05hello"), ERR_MALFORMED},
        {"half a record", STR_INIT("\x16\x03\x01\x02\x00\x01"), ERR_CLOSED},
        {"nothing", STR_INIT(""), ERR_CLOSED},
    };
    struct tls_server *t = one("upstream", NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fd[2];
        struct tls_stream *s;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
        assert_err(tls_server_stream(t, fd[1], &s), ERR_OK);
        assert_err(tls_stream_handshake(s, NOW), ERR_AGAIN);
        assert_int_equal(send(fd[0], cases[i].bytes.p, cases[i].bytes.n, 0), (int)cases[i].bytes.n);
        shutdown(fd[0], SHUT_WR);
        enum err e = tls_stream_handshake(s, NOW);
        if (e != cases[i].want) fail_msg("%s: %s (%s)", cases[i].name, err_name(e), tls_stream_reason(s));
        assert_null(tls_stream_peer(s));
        size_t n;
        char c;
        assert_err(tls_stream_recv(s, &c, 1, &n), ERR_IO);
        tls_stream_free(&s, true);
        close(fd[0]);
        close(fd[1]);
    }
    tls_server_unref(&t);
}

/* --- files --- */

static void what_is_wrong_with_files_is_told(void **state)
{
    (void)state;
    const struct {
        const char *name;
        str cert, key, ocsp, clients;
        const char *why;
    } cases[] = {
        {"good", file("public.pem"), file("public.key"), file("public.ocsp"), file("ca.pem"), ""},
        {"no certificate", file("public.key"), file("public.key"), STR_NONE, STR_NONE, "no PEM block CERTIFICATE"},
        {"nothing", STR_NONE, file("public.key"), STR_NONE, STR_NONE, "no PEM block CERTIFICATE"},
        {"another's key", file("public.pem"), file("wild.key"), STR_NONE, STR_NONE, "does not belong"},
        {"no key", file("public.pem"), file("public.pem"), STR_NONE, STR_NONE, "no private key"},
        {"encrypted", file("public.pem"), file("encrypted.key"), STR_NONE, STR_NONE, "encrypted"},
        {"curve", file("big.pem"), file("big.key"), STR_NONE, STR_NONE, "P-256"},
        {"broken", STR("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"), file("public.key"), STR_NONE,
         STR_NONE, "no certificate that can be read"},
        {"ocsp of another", file("public.pem"), file("public.key"), file("second.ocsp"), STR_NONE,
         "another certificate"},
        {"ocsp by another", file("public.pem"), file("public.key"), file("unsigned.ocsp"), STR_NONE,
         "another certificate"},
        {"ocsp revoked", file("public.pem"), file("public.key"), file("revoked.ocsp"), STR_NONE, "does not call"},
        {"ocsp junk", file("public.pem"), file("public.key"), file("ca.pem"), STR_NONE, "no OCSP answer"},
        {"no authorities", file("public.pem"), file("public.key"), STR_NONE, STR("x"), "authorities of clients"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tls_server_certificate c = {cases[i].cert, cases[i].key, cases[i].ocsp, STR("file.pem")};
        struct tls_server_options o = {.certificates = &c, .n = 1, .clients_ca_pem = cases[i].clients};
        struct tls_server *t = NULL;
        char why[256];
        enum err e = tls_server_new(&o, &t, why);
        if (e != (cases[i].why[0] ? ERR_MALFORMED : ERR_OK) || !strstr(why, cases[i].why))
            fail_msg("%s: %s, \"%s\"", cases[i].name, err_name(e), why);
        if (t) {
            assert_true(tls_server_is(t, &o));
            o.tls12 = true;
            assert_false(tls_server_is(t, &o));
            struct tls_certificate_facts f = tls_server_certificate_facts(t, 0);
            assert_str(f.name, STR("public.test"));
            assert_true(f.ocsp && f.ocsp_until_s > time(NULL) && f.not_after_s > time(NULL) + 19 * 86400);
        }
        tls_server_unref(&t);
    }
}

/* libcrypto's own allocations fail with ours only where that is asked for: there are tens of thousands. */
static bool theirs_too;
void *__real_malloc(size_t n);
void *__real_realloc(void *p, size_t n);

static void *their_malloc(size_t n, const char *where, int line)
{
    (void)where, (void)line;
    return theirs_too ? malloc(n) : __real_malloc(n);
}

static void *their_realloc(void *p, size_t n, const char *where, int line)
{
    (void)where, (void)line;
    return theirs_too ? realloc(p, n) : __real_realloc(p, n);
}

static void their_free(void *p, const char *where, int line)
{
    (void)where, (void)line;
    free(p);
}

struct contexts {
    struct tls_server_options server;
    struct tls_upstream_options upstream;
};

/* Whether an allocation was refused. */
static bool make_contexts(const struct contexts *c)
{
    struct tls_server *t = NULL;
    struct tls_upstream *u = NULL;
    char why[256];
    enum err e = tls_server_new(&c->server, &t, why);
    assert_true((e == ERR_OK) == (t != NULL));
    if (e != ERR_OK) assert_true(why[0]);
    enum err f = tls_upstream_new(&c->upstream, &u, why);
    assert_true((f == ERR_OK) == (u != NULL));
    bool hit = alloc_fail_hit();
    if (!hit && (e != ERR_OK || f != ERR_OK)) fail_msg("%s %s: %s", err_name(e), err_name(f), why);
    tls_server_unref(&t);
    tls_upstream_unref(&u);
    return hit;
}

static void contexts_without_memory(void **state)
{
    (void)state;
    struct tls_tickets *keys;
    assert_err(tls_tickets_new(&keys), ERR_OK);
    struct tls_server_certificate all[] = {certificate("public"), certificate("publicrsa"), certificate("wild")};
    all[0].ocsp_der = file("public.ocsp");
    struct contexts c = {
        {all, ARRAY_LEN(all), true, 3600, keys, file("ca.pem")},
        {file("ca.pem"), STR("orders.internal"), file("partner.pem"), file("partner.key")},
    };
    EACH_ALLOC_FAILING(make_contexts(&c));
    bool hit = true;
    theirs_too = true;
    for (long n = 0; hit; n += 1 + n / 40) {
        alloc_fail_at(n);
        hit = make_contexts(&c);
        alloc_fail_at(-1);
    }
    theirs_too = false;
    tls_tickets_unref(&keys);
}

int main(void)
{
    if (!CRYPTO_set_mem_functions(their_malloc, their_realloc, their_free)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_chooses_the_certificate),
        cmocka_unit_test(a_server_is_verified),
        cmocka_unit_test(without_a_name_nobody_is_asked),
        cmocka_unit_test(a_client_is_verified_if_it_shows_a_certificate),
        cmocka_unit_test(sessions_are_resumed_across_contexts),
        cmocka_unit_test(a_resumed_client_is_who_it_was),
        cmocka_unit_test(keys_of_tickets_go),
        cmocka_unit_test(bytes_and_ends),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(garbage_is_no_handshake),
        cmocka_unit_test(what_is_wrong_with_files_is_told),
        cmocka_unit_test(contexts_without_memory),
    };
    char command[600];
    snprintf(folder, sizeof folder, "/tmp/sallyport-tls-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    snprintf(command, sizeof command, "sh '%s' '%s'", CERTS, folder);
    if (system(command) != 0) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) != 0 ? 1 : failed;
}
