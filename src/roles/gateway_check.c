#include "roles/gateway_check.h"

#include "base/clock.h"
#include "crypto/digest.h"
#include "crypto/x509.h"
#include "roles/child.h"
#include "roles/gateway_private.h"
#include "roles/sandbox.h"

#include <stdarg.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DAY_S 86400

enum level { LEVEL_ERROR, LEVEL_WARNING };

struct check {
    const struct gateway *g;
    struct arena *mem;
    struct buf *out;
    uint64_t now_ms; /* monotonic */
    int64_t now_s;   /* Unix */
    bool any;
};

static void member(struct buf *b, const char *name, str value)
{
    buf_puts(b, name);
    buf_putc(b, '"');
    buf_put_json(b, value);
    buf_putc(b, '"');
}

static void finding(struct check *c, enum level level, const char *code, const char *fix, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

static void finding(struct check *c, enum level level, const char *code, const char *fix, const char *fmt, ...)
{
    struct buf text;
    va_list args;
    buf_init(&text, 1024);
    va_start(args, fmt);
    buf_vprintf(&text, fmt, args);
    va_end(args);
    buf_puts(c->out, c->any ? ",{\"level\":" : "{\"level\":");
    c->any = true;
    buf_puts(c->out, level == LEVEL_ERROR ? "\"error\"" : "\"warning\"");
    member(c->out, ",\"code\":", str_of(code));
    member(c->out, ",\"text\":", buf_str(&text));
    member(c->out, ",\"fix\":", str_of(fix));
    buf_putc(c->out, '}');
    buf_free(&text);
}

static void digest_hex(str text, char out[GATEWAY_DIGEST_HEX])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char d[SHA256_LEN];
    sha256(text, d);
    for (size_t i = 0; i < sizeof d; i++) {
        out[2 * i] = digits[d[i] >> 4];
        out[2 * i + 1] = digits[d[i] & 15];
    }
}

void gateway_check_loaded(struct gateway *g)
{
    str text, findings;
    memset(g->digest, 0, sizeof g->digest);
    if (g->options.config_path && child_config(&text, &findings)) digest_hex(text, g->digest);
    g->failures_before = g->reload_failures;
}

/* --- readiness and what it hangs on --- */

static void readiness(struct check *c)
{
    struct control_check checks[CONTROL_CHECKS_MAX];
    size_t n = c->g->source.checks(c->g->source.ctx, c->mem, checks);
    for (size_t i = 0; i < n; i++)
        if (!checks[i].ok)
            finding(c, LEVEL_ERROR, "not_ready", "see what it names; load balancers leave this gateway out until then",
                    "not ready: %s%s%.*s", checks[i].name, checks[i].detail.n ? ": " : "", STR_ARG(checks[i].detail));
}

static void issuers(struct check *c)
{
    const struct gateway *g = c->g;
    for (uint32_t i = 0; i < g->n_keys; i++) {
        str name = g->snap->issuers[i].name;
        struct jwks_status s = {.last_error = ""};
        if (g->keys[i].jwks) jwks_status(g->keys[i].jwks, &s);
        if (!g->keys[i].keys || !keyset_count(g->keys[i].keys))
            finding(c, LEVEL_ERROR, "issuer_without_keys",
                    "every token of this issuer is refused: see that its `keys` can be reached and read",
                    "issuer %.*s has no keys%s%s", STR_ARG(name), s.last_error[0] ? ": " : "", s.last_error);
        else if (s.failing)
            finding(c, LEVEL_WARNING, "issuer_keys_old",
                    "its last keys go on counting; see that `keys` can be reached before it signs with others",
                    "the keys of issuer %.*s could not be fetched again: %s", STR_ARG(name), s.last_error);
    }
}

static void feed(struct check *c)
{
    if (!c->g->fed_by) return;
    struct gateway_feed_status s;
    gateway_feed_status(c->g->fed_by, &s);
    if (!s.in_force)
        finding(
            c, LEVEL_ERROR, "feed_stale",
            "tokens and keys of the store are refused until it is heard: see that the role `data` runs and that its "
            "socket can be reached (`sallyport data status`)",
            "what the store feeds is not in force: %s", s.why ? s.why : "");
    else if (!s.linked)
        finding(c, LEVEL_WARNING, "feed_unlinked",
                "see that the role `data` runs; when the lease ends, tokens are refused",
                "the store is not connected; its last word still counts");
}

/* --- services --- */

static const char *out_of_service(const struct instance *i, uint64_t now_ms)
{
    if (atomic_load_explicit(&i->health, memory_order_relaxed) == INSTANCE_DOWN) return "its health check fails";
    if (atomic_load_explicit(&i->ejected_until_ms, memory_order_relaxed) > now_ms)
        return "it failed several requests in a row and is left out for a while";
    return NULL;
}

static void instances(struct check *c)
{
    const struct instance_set *set = c->g->instances;
    for (uint32_t s = 0; set && s < set->n_services; s++) {
        str name = set->services[s]->name;
        uint32_t from = set->first[s], to = set->first[s + 1], serving = 0;
        for (uint32_t i = from; i < to; i++) serving += !out_of_service(set->all[i], c->now_ms);
        if (from == to)
            finding(c, LEVEL_ERROR, "service_without_instances",
                    "see that its names resolve on this machine; they are looked up again by themselves",
                    "service %.*s has no address", STR_ARG(name));
        for (uint32_t i = from; i < to; i++) {
            const char *why = out_of_service(set->all[i], c->now_ms);
            if (why)
                finding(c, serving ? LEVEL_WARNING : LEVEL_ERROR, "instance_out",
                        serving
                            ? "the others serve; look at that instance"
                            : "none of this service serves, so all are tried: look at the instances and at the way to "
                              "them",
                        "service %.*s: %.*s: %s", STR_ARG(name), STR_ARG(set->all[i]->text), why);
        }
    }
}

static void names(struct check *c)
{
    struct gateway_dns_status s;
    if (!c->g->dns) return;
    gateway_dns_status(c->g->dns, &s);
    if (s.failing)
        finding(c, LEVEL_WARNING, "name_unresolved",
                "what was known of it stays in force; see that the name exists and that name servers answer "
                "(`dns.servers`, "
                "/etc/resolv.conf)",
                "%u of %u names of instances cannot be looked up: %.*s%s", s.failing, s.names, STR_ARG(s.one),
                s.failing > 1 ? " and others" : "");
}

/* --- certificates --- */

/* A certificate is renewed in time when a third of its life is left, or thirty days if that is less. */
static void certificate(struct check *c, const char *whose, str path, str pem)
{
    struct x509_chain *chain;
    if (!pem.n || x509_chain_parse(pem, &chain, NULL) != ERR_OK) return;
    int64_t until = x509_chain_not_after_s(chain), life = until - x509_chain_not_before_s(chain),
            left = until - c->now_s;
    int64_t soon = life / 3 < 30 * DAY_S ? life / 3 : 30 * DAY_S, late = soon / 4;
    x509_chain_free(&chain);
    if (left <= 0)
        finding(c, LEVEL_ERROR, "certificate_expired", "put a new one in its place, then `sallyport reload`",
                "%s certificate %.*s has expired", whose, STR_ARG(path));
    else if (left < soon)
        finding(c, left < late ? LEVEL_ERROR : LEVEL_WARNING, "certificate_expiring",
                "put a new one in its place, then `sallyport reload`: no connection is lost",
                "%s certificate %.*s expires in %lld %s", whose, STR_ARG(path),
                (long long)(left >= 2 * DAY_S ? left / DAY_S : left / 3600), left >= 2 * DAY_S ? "days" : "hours");
}

static void certificates(struct check *c)
{
    const struct snapshot *s = c->g->snap;
    for (uint32_t i = 0; i < s->tls.n_certificates; i++)
        certificate(c, "our", s->tls.certificates[i].cert_path, s->tls.certificates[i].cert_pem);
    for (uint32_t i = 0; i < s->n_services; i++)
        certificate(c, "our client", s->services[i].name, s->services[i].tls.cert_pem);
}

/* --- the process and its machine --- */

static void sandbox(struct check *c)
{
    const struct sandbox_state *s = sandbox_state();
    if (!s->on)
        finding(c, LEVEL_WARNING, "sandbox_off", "take `sandbox: off` out of the configuration and restart",
                "the sandbox is switched off: who takes over this process may do what its user may");
    else if (s->missing[0])
        finding(c, LEVEL_WARNING, "sandbox_partial",
                "use a kernel (and a container profile) with Landlock and seccomp, then restart",
                "a part of the sandbox is not in force: %s", s->missing);
}

static void open_files(struct check *c)
{
    const struct snapshot *s = c->g->snap;
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY) return;
    uint64_t clients = s->limits.connections, upstream = 0;
    for (uint32_t i = 0; i < s->n_services; i++)
        upstream += (uint64_t)s->services[i].pool.open * s->services[i].n_instances;
    if (upstream > clients) upstream = clients; /* a connection to an instance is there for a client's */
    if (r.rlim_cur < clients + upstream + 128)
        finding(c, r.rlim_cur < clients / 4 ? LEVEL_ERROR : LEVEL_WARNING, "open_files",
                "raise LimitNOFILE of the unit (or `ulimit -Hn`), or lower limits.connections",
                "%llu open files are allowed, and %llu clients with their connections to instances may want %llu",
                (unsigned long long)r.rlim_cur, (unsigned long long)clients,
                (unsigned long long)(clients + upstream + 128));
}

static void disk(struct check *c)
{
    char path[4096];
    struct statvfs v;
    str data = c->g->snap->data;
    if (data.n >= sizeof path) return;
    memcpy(path, data.p, data.n);
    path[data.n] = 0;
    if (statvfs(path, &v) != 0 || v.f_blocks == 0) return;
    uint64_t free_mb = (uint64_t)v.f_bavail * v.f_frsize >> 20, percent = (uint64_t)v.f_bavail * 100 / v.f_blocks;
    bool few = v.f_files && (uint64_t)v.f_favail * 100 / v.f_files < 2;
    if (free_mb >= 1024 && !few) return;
    if (percent >= 10 && free_mb >= 256 && !few) return;
    finding(c, free_mb < 64 ? LEVEL_ERROR : LEVEL_WARNING, "disk_full",
            "make room: without it nothing is written, and no login and no change is answered",
            "%llu MB%s are left on the disk of the data folder %.*s", (unsigned long long)free_mb,
            few ? " and hardly any files" : "", STR_ARG(data));
}

static void losses(struct check *c)
{
    uint64_t lines = log_dropped();
    if (lines)
        finding(c, LEVEL_WARNING, "log_lost", "whoever reads standard error is too slow; look at it, or log less",
                "%llu lines of log were lost since the start", (unsigned long long)lines);
    if (c->g->tracing && gateway_tracing_failing(c->g->tracing))
        finding(c, LEVEL_WARNING, "traces_stuck", "see that `tracing.otlp` can be reached; requests do not wait for it",
                "traces are not taken by %.*s", STR_ARG(c->g->snap->tracing.url));
    if (c->g->reload_failures != c->g->failures_before)
        finding(c, LEVEL_ERROR, "reload_refused",
                "`sallyport lint` tells what is wrong; mend it, then `sallyport reload`",
                "the last configuration that was to be taken was refused: the one before is in force");
}

/* --- what is to be compared --- */

static void put_file(struct buf *out, bool *any, str path, str content)
{
    char hex[GATEWAY_DIGEST_HEX];
    if (!path.n) return;
    digest_hex(content, hex);
    member(out, *any ? ",{\"path\":" : "{\"path\":", path);
    member(out, ",\"sha256\":", str_make(hex, sizeof hex));
    buf_putc(out, '}');
    *any = true;
}

/* As whoever asks can open it, wherever he is. */
static str config_file(const struct gateway *g, struct arena *mem)
{
    char here[4096];
    const char *path = g->options.config_path;
    if (!path || path[0] == '/' || !getcwd(here, sizeof here)) return str_of(path ? path : "");
    return arena_printf(mem, "%s/%s", here, path);
}

void gateway_check(void *gateway, struct arena *mem, struct buf *out)
{
    const struct gateway *g = gateway;
    struct check c = {g, mem, out, loop_now_ms(g->loop), clock_wall_s(), false};
    static void (*const all[])(struct check *) = {readiness,    issuers, feed, instances,  names,
                                                  certificates, sandbox, disk, open_files, losses};
    member(out, "{\"version\":", STR(SALLYPORT_VERSION));
    buf_printf(out, ",\"generation\":%llu,\"loaded_ms\":%llu", (unsigned long long)g->snap->generation,
               (unsigned long long)g->loaded_ms);
    member(out, ",\"config_file\":", config_file(g, mem));
    member(out, ",\"config_sha256\":", g->digest[0] ? str_make(g->digest, sizeof g->digest) : STR(""));
    buf_puts(out, ",\"files\":[");
    bool any = false;
    for (uint32_t i = 0; i < g->snap->tls.n_certificates; i++)
        put_file(out, &any, g->snap->tls.certificates[i].cert_path, g->snap->tls.certificates[i].cert_pem);
    buf_puts(out, "],\"findings\":[");
    for (size_t i = 0; i < ARRAY_LEN(all); i++) all[i](&c);
    buf_puts(out, "]}\n");
}
