#include "harness.h"

#include "base/clock.h"
#include "codec/json.h"
#include "config/diag.h"
#include "crypto/password.h"
#include "store/local.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char config_text[] = "sallyport: 1\n"
                                  "listen: {gateway: 127.0.0.1:8080}\n"
                                  "products:\n"
                                  "  web: {login: password}\n"
                                  "  app: {login: password}\n"
                                  "  back: {login: password, users: staff, secret: basic}\n"
                                  "  signed: {login: password, secret: signature}\n"
                                  "  plain: {may: [viewOrder]}\n"
                                  "services:\n"
                                  "  orders: {instances: [127.0.0.1:9]}\n"
                                  "actions:\n"
                                  "  viewOrder: {to: orders, match: GET /orders}\n"
                                  "authentication:\n"
                                  "  issuer: https://api.example.com\n"
                                  "  audience: [api]\n"
                                  "  user_bases: [users, staff]\n"
                                  "  password: {memory: 8MB, passes: 1}\n";

static void open_snapshot(struct harness *h, const char *more)
{
    char text[8192];
    struct diags d;
    struct config *c = NULL;
    snprintf(text, sizeof text, "%s%sdata: %s\n", config_text, more ? more : "", h->dir);
    diags_init(&d, STR("test.yaml"));
    enum err e = config_parse(str_of(text), str_of(h->dir), NULL, &d, &c);
    if (e == ERR_OK) e = snapshot_build(c, NULL, 1, &d, &h->snapshot);
    for (uint32_t i = 0; e != ERR_OK && i < d.n; i++) fprintf(stderr, "%.*s\n", STR_ARG(d.v[i].text));
    assert_err(e, ERR_OK);
    config_free(&c);
    diags_free(&d);
}

static struct authentication *open_service(struct harness *h, const char *path)
{
    struct store *store;
    struct authentication *a;
    assert_err(store_local_new(h->keeper, h->loop, KEEPER_ALL, &store), ERR_OK);
    struct authentication_options o = {.loop = h->loop,
                                       .snapshot = h->snapshot,
                                       .store = store,
                                       .seal = &h->seal,
                                       .socket_path = path,
                                       .grace_ms = 400};
    assert_err(authentication_new(&o, &a), ERR_OK);
    return a;
}

void harness_start(struct harness *h, const char *more)
{
    char why[KEEPER_WHY];
    struct keeper_config config = {.engine = KEEPER_MEMORY, .spaces = KEEPER_ALL};
    memset(h, 0, sizeof *h);
    snprintf(h->dir, sizeof h->dir, "/tmp/sallyport-test-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    snprintf(h->socket, sizeof h->socket, "%s/a.sock", h->dir);
    snprintf(h->socket2, sizeof h->socket2, "%s/b.sock", h->dir);
    h->loop = loop_new(NULL);
    assert_non_null(h->loop);
    assert_err(keeper_new(&config, &h->keeper, why), ERR_OK);
    assert_err(store_local_new(h->keeper, h->loop, KEEPER_ALL, &h->store), ERR_OK);
    assert_err(seal_init(&h->seal, STR("0123456789abcdef0123456789abcdef")), ERR_OK);
    open_snapshot(h, more);
    h->service = open_service(h, h->socket);
}

void harness_second(struct harness *h)
{
    h->second = open_service(h, h->socket2);
}

void harness_stop(struct harness *h)
{
    authentication_free(&h->service);
    authentication_free(&h->second);
    store_free(&h->store);
    keeper_free(&h->keeper);
    snapshot_unref(&h->snapshot);
    loop_free(&h->loop);
    rmdir(h->dir);
}

void harness_run(struct harness *h, unsigned ms)
{
    uint64_t until = clock_mono_ns() + (uint64_t)ms * 1000000;
    do loop_turn(h->loop, 5);
    while (clock_mono_ns() < until);
}

void harness_wait_ready(struct harness *h)
{
    for (unsigned i = 0; i < 1000; i++) {
        if (authentication_ready(h->service) && (!h->second || authentication_ready(h->second))) return;
        harness_run(h, 5);
    }
    fail_msg("no key signs");
}

/* --- asking --- */

struct asked {
    int fd;
    char *in;
    size_t n, cap;
    bool done;
};

static void begin(struct harness *h, struct asked *q, const char *method, const char *path, const char *fields,
                  const char *body)
{
    char text[80000];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", h->use_second ? h->socket2 : h->socket);
    *q = (struct asked){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .cap = 70000};
    q->in = malloc(q->cap);
    assert_non_null(q->in);
    assert_int_equal(connect(q->fd, (struct sockaddr *)&a, sizeof a), 0);
    int n = snprintf(text, sizeof text,
                     "%s %s HTTP/1.1\r\nHost: authentication\r\nConnection: close\r\n%s"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     method, path, fields ? fields : "", body ? strlen(body) : 0, body ? body : "");
    assert_int_equal(write(q->fd, text, (size_t)n), n);
    fcntl(q->fd, F_SETFL, O_NONBLOCK);
}

static void look(struct asked *q)
{
    while (!q->done) {
        ssize_t n = read(q->fd, q->in + q->n, q->cap - 1 - q->n);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) q->done = true;
        if (n > 0) q->n += (size_t)n;
    }
}

static void end(struct asked *q, struct answer *out)
{
    q->in[q->n] = '\0';
    char *body = strstr(q->in, "\r\n\r\n");
    if (!body) fail_msg("no answer: %s", q->in);
    memset(out, 0, sizeof *out);
    out->status = (int)strtol(q->in + 9, NULL, 10);
    snprintf(out->head, sizeof out->head, "%.*s", (int)(body - q->in), q->in);
    snprintf(out->body, sizeof out->body, "%s", body + 4);
    close(q->fd);
    free(q->in);
}

void harness_ask_many(struct harness *h, unsigned n, const char *method, const char *path, const char *fields,
                      const char *const *bodies, struct answer *out)
{
    struct asked *q = calloc(n, sizeof *q);
    assert_non_null(q);
    for (unsigned i = 0; i < n; i++) {
        begin(h, &q[i], method, path, fields, bodies ? bodies[i] : NULL);
        if (i % 16 == 15) loop_turn(h->loop, 0); /* a full queue of the socket would hold this one thread up */
    }
    uint64_t until = clock_mono_ns() + 20000000000u;
    for (unsigned done = 0; done < n;) {
        loop_turn(h->loop, 2);
        done = 0;
        for (unsigned i = 0; i < n; i++) {
            look(&q[i]);
            done += q[i].done;
        }
        if (clock_mono_ns() > until) fail_msg("no answer within 20 s");
    }
    for (unsigned i = 0; i < n; i++) end(&q[i], &out[i]);
    free(q);
}

void harness_leave(struct harness *h, unsigned n, const char *method, const char *path, const char *fields,
                   const char *body, unsigned turns)
{
    struct asked q;
    int fds[64];
    for (unsigned i = 0; i < n; i++) {
        begin(h, &q, method, path, fields, body);
        free(q.in);
        fds[i] = q.fd;
    }
    for (unsigned i = 0; i < turns; i++) loop_turn(h->loop, 0);
    for (unsigned i = 0; i < n; i++) close(fds[i]);
}

struct answer harness_ask(struct harness *h, const char *method, const char *path, const char *fields, const char *body)
{
    static struct answer a;
    harness_ask_many(h, 1, method, path, fields, &body, &a);
    return a;
}

struct answer harness_post(struct harness *h, const char *path, const char *product, const char *body)
{
    char fields[256];
    snprintf(fields, sizeof fields, "X-Product: %s\r\nX-Forwarded-For: 192.0.2.1\r\n", product);
    return harness_ask(h, "POST", path, fields, body);
}

struct answer harness_login(struct harness *h, const char *product, const char *user, const char *password)
{
    char body[2048];
    snprintf(body, sizeof body, "{\"username\":\"%s\",\"password\":\"%s\"}", user, password);
    return harness_post(h, "/authentication/login", product, body);
}

struct answer harness_refresh(struct harness *h, const char *product, const char *token)
{
    char body[256];
    snprintf(body, sizeof body, "{\"refresh_token\":\"%s\"}", token);
    return harness_post(h, "/authentication/refresh", product, body);
}

const char *member(const struct answer *a, const char *name, unsigned slot)
{
    static char text[8][8192];
    struct arena mem;
    const struct json *v;
    text[slot][0] = '\0';
    arena_init(&mem, NULL, 0, 1 << 20);
    if (json_parse(str_of(a->body), &json_limits_document, &mem, &v, NULL, NULL) == ERR_OK) {
        str s = json_text(json_get(v, str_of(name)));
        snprintf(text[slot], sizeof text[slot], "%.*s", STR_ARG(s));
    }
    arena_reset(&mem);
    return text[slot];
}

/* --- the store --- */

static bool job_done;

static void on_done(struct store_job *job)
{
    (void)job;
    job_done = true;
}

static void run_job(struct harness *h, struct store_job *job)
{
    job->done = on_done;
    job_done = false;
    store_submit(h->store, job);
    while (!job_done) loop_turn(h->loop, 5);
}

static void batch(struct harness *h, enum store_space space, const struct store_op *op)
{
    struct store_job job = {.kind = STORE_BATCH, .space = space, .ops = op, .n_ops = 1};
    run_job(h, &job);
    assert_err(job.err, ERR_OK);
    store_job_clear(&job);
}

void harness_put(struct harness *h, enum store_space space, str key, str value, int64_t expires_s)
{
    batch(h, space, &(struct store_op){.verb = STORE_PUT, .key = key, .value = value, .expires_s = expires_s});
}

void harness_delete(struct harness *h, enum store_space space, str key)
{
    batch(h, space, &(struct store_op){.verb = STORE_DELETE, .key = key});
}

str harness_get(struct harness *h, enum store_space space, str key)
{
    static char room[65536];
    struct store_job job = {.kind = STORE_GET, .space = space, .keys = &key, .n_keys = 1};
    run_job(h, &job);
    assert_err(job.err, ERR_OK);
    size_t n = job.entries[0].version ? job.entries[0].value.n : 0;
    if (n) memcpy(room, job.entries[0].value.p, n);
    store_job_clear(&job);
    return str_make(room, n);
}

unsigned harness_count(struct harness *h, enum store_space space, str prefix)
{
    struct record_key room;
    struct store_job job = {.kind = STORE_RANGE, .space = space, .from = prefix, .to = record_key_end(&room, prefix)};
    run_job(h, &job);
    assert_err(job.err, ERR_OK);
    unsigned n = job.n_entries;
    store_job_clear(&job);
    return n;
}

void harness_user(struct harness *h, const char *base, const char *name, const char *password, bool disabled)
{
    char hash[PASSWORD_HASH_MAX], room[USER_SUBJECT_MAX];
    struct record_key key;
    struct buf value;
    str role = STR("buyer");
    uint64_t now = clock_wall_ms();
    if (password) assert_err(password_hash(str_of(password), (struct password_cost){8u << 20, 1}, hash), ERR_OK);
    struct user_record u = {.sub = user_subject(room, str_of(base), str_of(name)),
                            .password = password ? str_of(hash) : STR_NONE,
                            .roles = &role,
                            .n_roles = 1,
                            .disabled = disabled,
                            .created_ms = now,
                            .changed_ms = now,
                            .password_ms = now};
    buf_init(&value, RECORD_MAX);
    assert_err(user_record_put(&value, &u), ERR_OK);
    harness_put(h, STORE_IDENTITY, user_record_key(&key, str_of(base), str_of(name)), buf_str(&value), 0);
    buf_free(&value);
}
