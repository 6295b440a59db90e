#include "identity/http_signature.h"

#include "base/buf.h"
#include "base/map.h"
#include "crypto/mac.h"
#include "crypto/secret.h"
#include "identity/http_signature_parse.h"

#include <stdlib.h>

static const char *const fault_names[] =
    {[HTTP_SIGNATURE_FAULT_NONE] = "none",           [HTTP_SIGNATURE_FAULT_MISSING] = "missing",
     [HTTP_SIGNATURE_FAULT_FORM] = "form",           [HTTP_SIGNATURE_FAULT_LABEL] = "label",
     [HTTP_SIGNATURE_FAULT_COMPONENT] = "component", [HTTP_SIGNATURE_FAULT_COVERAGE] = "coverage",
     [HTTP_SIGNATURE_FAULT_PARAMETER] = "parameter", [HTTP_SIGNATURE_FAULT_ALGORITHM] = "algorithm",
     [HTTP_SIGNATURE_FAULT_KEYID] = "keyid",         [HTTP_SIGNATURE_FAULT_TIME] = "time",
     [HTTP_SIGNATURE_FAULT_DIGEST] = "digest",       [HTTP_SIGNATURE_FAULT_SIGNATURE] = "signature",
     [HTTP_SIGNATURE_FAULT_REPLAYED] = "replayed",   [HTTP_SIGNATURE_FAULT_BUSY] = "busy",
     [HTTP_SIGNATURE_FAULT_MEMORY] = "memory"};

const char *http_signature_fault_name(enum http_signature_fault f)
{
    return (size_t)f < ARRAY_LEN(fault_names) ? fault_names[f] : "unknown";
}

/* --- the components of a message (RFC 9421 §2.1, §2.2) --- */

enum derived {
    DERIVED_METHOD,
    DERIVED_TARGET_URI,
    DERIVED_AUTHORITY,
    DERIVED_SCHEME,
    DERIVED_REQUEST_TARGET,
    DERIVED_PATH,
    DERIVED_QUERY,
    DERIVED_COUNT
};
static const str derived_names[DERIVED_COUNT] = {[DERIVED_METHOD] = STR_INIT("@method"),
                                                 [DERIVED_TARGET_URI] = STR_INIT("@target-uri"),
                                                 [DERIVED_AUTHORITY] = STR_INIT("@authority"),
                                                 [DERIVED_SCHEME] = STR_INIT("@scheme"),
                                                 [DERIVED_REQUEST_TARGET] = STR_INIT("@request-target"),
                                                 [DERIVED_PATH] = STR_INIT("@path"),
                                                 [DERIVED_QUERY] = STR_INIT("@query")};

static void put_lower(struct buf *out, str s)
{
    for (size_t i = 0; i < s.n; i++) buf_putc(out, s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32) : s.p[i]);
}

/* §2.2.3: lower case, without the scheme's own port. */
static void put_authority(struct buf *out, const struct http_signature_message *m)
{
    str port = str_ieq(m->scheme, STR("https")) ? STR(":443") : STR(":80"), a = m->authority;
    if (str_ends(a, port)) a = str_first(a, a.n - port.n);
    put_lower(out, a);
}

static void put_target(struct buf *out, const struct http_signature_message *m)
{
    buf_put(out, m->path);
    if (!m->has_query) return;
    buf_putc(out, '?');
    buf_put(out, m->query);
}

static void put_derived(struct buf *out, enum derived d, const struct http_signature_message *m)
{
    switch (d) {
    case DERIVED_METHOD: buf_put(out, m->method); break;
    case DERIVED_TARGET_URI:
        put_lower(out, m->scheme);
        buf_puts(out, "://");
        put_authority(out, m);
        put_target(out, m);
        break;
    case DERIVED_AUTHORITY: put_authority(out, m); break;
    case DERIVED_SCHEME: put_lower(out, m->scheme); break;
    case DERIVED_REQUEST_TARGET: put_target(out, m); break;
    case DERIVED_PATH: buf_put(out, m->path); break;
    case DERIVED_QUERY:
        buf_putc(out, '?');
        buf_put(out, m->query);
        break;
    case DERIVED_COUNT: break;
    }
}

/* §2.1: the values of all lines of that name, trimmed, joined by ", ". False: there is none. */
static bool put_field(struct buf *out, str name, const struct http_signature_message *m)
{
    bool found = false;
    for (size_t i = 0; i < m->n_fields; i++) {
        if (!str_ieq(m->fields[i].name, name)) continue;
        if (found) buf_puts(out, ", ");
        buf_put(out, str_trim(m->fields[i].value));
        found = true;
    }
    return found;
}

/* The only line of that name; .p NULL: none, or several. */
static str only_field(const struct http_signature_message *m, str name)
{
    str found = STR_NONE;
    for (size_t i = 0; i < m->n_fields; i++) {
        if (!str_ieq(m->fields[i].name, name)) continue;
        if (found.p) return STR_NONE;
        found = m->fields[i].value;
    }
    return found;
}

/* --- reading --- */

struct reading {
    const struct http_signature_message *m;
    struct buf base;
    str seen[HTTP_SIGNATURE_COMPONENTS_MAX];
    size_t n;
    struct http_signature sig;
    str alg;
    unsigned params; /* bits of those that came */
    enum http_signature_fault fault;
};

static bool fails(struct reading *r, enum http_signature_fault f)
{
    r->fault = f;
    return false;
}

static bool covers(const struct reading *r, str name)
{
    for (size_t i = 0; i < r->n; i++)
        if (str_eq(r->seen[i], name)) return true;
    return false;
}

/* Lower case (§2.1), the characters of a field name; nothing that could end a line of the base. */
static bool component_name_ok(str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_') return false;
    }
    return s.n > 0;
}

static bool read_component(struct reading *r, struct sf *in)
{
    str name;
    if (!sf_string(in, &name)) return fails(r, HTTP_SIGNATURE_FAULT_FORM);
    if (r->n == HTTP_SIGNATURE_COMPONENTS_MAX || covers(r, name)) return fails(r, HTTP_SIGNATURE_FAULT_COMPONENT);
    r->seen[r->n++] = name;
    buf_putc(&r->base, '"');
    buf_put(&r->base, name);
    buf_puts(&r->base, "\": ");
    for (unsigned d = 0; d < DERIVED_COUNT; d++) {
        if (!str_eq(name, derived_names[d])) continue;
        put_derived(&r->base, (enum derived)d, r->m);
        buf_putc(&r->base, '\n');
        return true;
    }
    if (!component_name_ok(name) || !put_field(&r->base, name, r->m)) return fails(r, HTTP_SIGNATURE_FAULT_COMPONENT);
    buf_putc(&r->base, '\n');
    return true;
}

/* ("@method" "@path"): one blank between, none inside the brackets, no parameters on a component. */
static bool read_components(struct reading *r, struct sf *in)
{
    if (!sf_char(in, '(')) return fails(r, HTTP_SIGNATURE_FAULT_FORM);
    if (sf_char(in, ')')) return true;
    for (;;) {
        if (!read_component(r, in)) return false;
        if (sf_char(in, ')')) return true;
        if (in->rest.n && in->rest.p[0] == ';') return fails(r, HTTP_SIGNATURE_FAULT_COMPONENT);
        if (!sf_char(in, ' ')) return fails(r, HTTP_SIGNATURE_FAULT_FORM);
    }
}

static bool read_param(struct reading *r, struct sf *in)
{
    str tag = STR_NONE;
    struct {
        str name;
        str *text;
        int64_t *number;
    } known[] = {{STR("created"), NULL, &r->sig.created_s}, {STR("expires"), NULL, &r->sig.expires_s},
                 {STR("keyid"), &r->sig.keyid, NULL},       {STR("alg"), &r->alg, NULL},
                 {STR("nonce"), &r->sig.nonce, NULL},       {STR("tag"), &tag, NULL}};
    str name;
    if (!sf_key(in, &name)) return fails(r, HTTP_SIGNATURE_FAULT_FORM);
    for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
        if (!str_eq(name, known[i].name)) continue;
        bool again = r->params >> i & 1, good = sf_char(in, '=');
        r->params |= 1u << i;
        if (good) good = known[i].text ? sf_string(in, known[i].text) : sf_integer(in, known[i].number);
        return (!again && good) || fails(r, HTTP_SIGNATURE_FAULT_PARAMETER);
    }
    return fails(r, HTTP_SIGNATURE_FAULT_PARAMETER); /* one that might mean something we would not heed */
}

enum { PARAM_CREATED = 1, PARAM_EXPIRES = 2, PARAM_KEYID = 4, PARAM_ALG = 8 };

static bool read_input(struct reading *r, str value)
{
    struct sf in = {value};
    if (value.n > HTTP_SIGNATURE_INPUT_MAX || !sf_key(&in, &r->sig.label) || !sf_char(&in, '='))
        return fails(r, HTTP_SIGNATURE_FAULT_FORM);
    str params = in.rest;
    if (!read_components(r, &in)) return false;
    while (sf_char(&in, ';'))
        if (!read_param(r, &in)) return false;
    if (!sf_end(&in)) return fails(r, sf_comma(&in) ? HTTP_SIGNATURE_FAULT_LABEL : HTTP_SIGNATURE_FAULT_FORM);
    unsigned wanted = PARAM_CREATED | PARAM_KEYID | PARAM_ALG;
    if ((r->params & wanted) != wanted || !r->sig.keyid.n) return fails(r, HTTP_SIGNATURE_FAULT_PARAMETER);
    if (!str_eq(r->alg, STR("hmac-sha256"))) return fails(r, HTTP_SIGNATURE_FAULT_ALGORITHM);
    if (!(r->params & PARAM_EXPIRES)) r->sig.expires_s = 0;
    buf_puts(&r->base, "\"@signature-params\": "); /* §2.5: last, without a line end */
    buf_put(&r->base, params);
    return true;
}

static bool read_signature(struct reading *r, str value)
{
    struct sf in = {value};
    str label;
    unsigned char mac[SF_BYTES_MAX];
    size_t n;
    if (value.n > HTTP_SIGNATURE_INPUT_MAX || !sf_key(&in, &label) || !sf_char(&in, '=') || !sf_bytes(&in, mac, &n))
        return fails(r, HTTP_SIGNATURE_FAULT_FORM);
    if (!sf_end(&in)) return fails(r, sf_comma(&in) ? HTTP_SIGNATURE_FAULT_LABEL : HTTP_SIGNATURE_FAULT_FORM);
    if (!str_eq(label, r->sig.label)) return fails(r, HTTP_SIGNATURE_FAULT_LABEL);
    if (n != sizeof r->sig.mac) return fails(r, HTTP_SIGNATURE_FAULT_SIGNATURE);
    memcpy(r->sig.mac, mac, n);
    return true;
}

/* What the signature must speak of: otherwise it could be taken to another request. */
static bool check_coverage(struct reading *r)
{
    const struct http_signature_message *m = r->m;
    bool parts = covers(r, STR("@authority")) && covers(r, STR("@path")) && (!m->has_query || covers(r, STR("@query")));
    bool digest = covers(r, STR("content-digest"));
    bool body = m->body_follows || m->body.n;
    if (!covers(r, STR("@method")) || !(covers(r, STR("@target-uri")) || parts) || (body && !digest))
        return fails(r, HTTP_SIGNATURE_FAULT_COVERAGE);
    if (!digest) return true;
    r->sig.digest = only_field(m, STR("content-digest"));
    if (!r->sig.digest.n) return fails(r, HTTP_SIGNATURE_FAULT_DIGEST);
    if (!m->body_follows && content_digest_check(r->sig.digest, m->body) != ERR_OK)
        return fails(r, HTTP_SIGNATURE_FAULT_DIGEST);
    return true;
}

static bool read_all(struct reading *r)
{
    str input = only_field(r->m, STR("signature-input")), signature = only_field(r->m, STR("signature"));
    if (!input.p || !signature.p) {
        struct buf none;
        buf_init(&none, HTTP_SIGNATURE_BASE_MAX); /* several lines are a form, none is a lack */
        bool any = put_field(&none, STR("signature-input"), r->m) && put_field(&none, STR("signature"), r->m);
        buf_free(&none);
        return fails(r, any ? HTTP_SIGNATURE_FAULT_LABEL : HTTP_SIGNATURE_FAULT_MISSING);
    }
    return read_input(r, input) && read_signature(r, signature) && check_coverage(r);
}

enum err http_signature_read(const struct http_signature_message *m, struct arena *mem, struct http_signature *out,
                             enum http_signature_fault *fault)
{
    struct reading r = {.m = m};
    buf_init(&r.base, HTTP_SIGNATURE_BASE_MAX);
    bool good = read_all(&r);
    enum err e = ERR_OK;
    if (good && r.base.bad) {
        r.fault = HTTP_SIGNATURE_FAULT_MEMORY;
        e = ERR_NO_MEMORY;
    } else if (good) {
        r.sig.base = arena_copy(mem, buf_str(&r.base));
        if (!r.sig.base.p) r.fault = HTTP_SIGNATURE_FAULT_MEMORY;
        e = r.sig.base.p ? ERR_OK : ERR_NO_MEMORY;
    } else {
        e = r.fault == HTTP_SIGNATURE_FAULT_MISSING ? ERR_NOT_FOUND
            : r.fault == HTTP_SIGNATURE_FAULT_FORM  ? ERR_MALFORMED
                                                    : ERR_DENIED;
    }
    buf_free(&r.base);
    if (e == ERR_OK)
        *out = r.sig;
    else
        *fault = r.fault;
    return e;
}

/* --- verifying --- */

enum err http_signature_verify(const struct http_signature *s, str keyid, str key, int64_t now_s,
                               enum http_signature_fault *fault)
{
    unsigned char mac[SHA256_LEN];
    enum http_signature_fault f = HTTP_SIGNATURE_FAULT_NONE;
    hmac_sha256(key, s->base, mac);
    if (!str_eq(s->keyid, keyid))
        f = HTTP_SIGNATURE_FAULT_KEYID;
    else if (!secret_equal(mac, s->mac, sizeof mac))
        f = HTTP_SIGNATURE_FAULT_SIGNATURE;
    else if (s->created_s < now_s - HTTP_SIGNATURE_WINDOW_S || s->created_s > now_s + HTTP_SIGNATURE_WINDOW_S ||
             (s->expires_s && s->expires_s <= now_s))
        f = HTTP_SIGNATURE_FAULT_TIME;
    secret_wipe(mac, sizeof mac);
    if (f == HTTP_SIGNATURE_FAULT_NONE) return ERR_OK;
    *fault = f;
    return ERR_DENIED;
}

/* --- signatures seen: open addressing with a bounded run; a slot is free again once its signature is too old to be
 * taken. The hash is keyed (base/map.h): nobody outside can make runs long. --- */

#define SEEN_RUN 64

struct seen_slot {
    uint64_t hash; /* 0: never used */
    int64_t until_s;
};

struct http_signature_seen {
    size_t mask;
    struct seen_slot slots[];
};

enum err http_signature_seen_new(size_t n, struct http_signature_seen **out)
{
    size_t cap = SEEN_RUN;
    while (cap < n && cap < ((size_t)1 << 24)) cap *= 2;
    struct http_signature_seen *s = calloc(1, sizeof *s + cap * sizeof s->slots[0]);
    if (!s) return ERR_NO_MEMORY;
    s->mask = cap - 1;
    *out = s;
    return ERR_OK;
}

void http_signature_seen_free(struct http_signature_seen **s)
{
    free(*s);
    *s = NULL;
}

enum err http_signature_first(struct http_signature_seen *seen, const struct http_signature *s, int64_t now_s)
{
    uint64_t h = map_hash(str_make((const char *)s->mac, sizeof s->mac));
    struct seen_slot *room = NULL;
    for (size_t i = 0; i < SEEN_RUN; i++) {
        struct seen_slot *slot = &seen->slots[(h + i) & seen->mask];
        bool live = slot->hash != 0 && slot->until_s > now_s;
        if (live && slot->hash == h) return ERR_CONFLICT;
        if (!live && !room) room = slot;
        if (slot->hash == 0) break;
    }
    if (!room) return ERR_LIMIT;
    *room = (struct seen_slot){h, s->created_s + HTTP_SIGNATURE_WINDOW_S + 1};
    return ERR_OK;
}
