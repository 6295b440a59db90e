/* Parts of a configuration that are more than a key with a value: addresses, networks, secrets, API keys, and what
 * the keys of one entry must be together. */
#include "config/read.h"

#include "config/pattern.h"
#include "crypto/key.h"

#include <stdio.h>

void read_version(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    (void)def, (void)base;
    int64_t version;
    if (v->type == YAML_REFUSED) return;
    if (yaml_int(v, &version) != ERR_OK || version != 1)
        read_complain(r, "version", v, "write sallyport: 1",
                      "must be 1: the version of the configuration this program reads");
}

/* --- addresses --- */

bool read_address(struct reader *r, const struct yaml *v, bool need_host, struct config_address *out)
{
    struct config_str text;
    const char *why;
    if (v->type == YAML_INT) {
        read_complain(r, "address", v, "", "must be an address in quotes, such as \"%s:%.*s\"",
                      need_host ? "127.0.0.1" : "", STR_ARG(v->text));
        return false;
    }
    if (!read_text(r, v, NULL, &text)) return false;
    if (value_address(text.s, need_host, out, &why) != ERR_OK) {
        bool url = str_starts(text.s, STR("http://")) || str_starts(text.s, STR("https://"));
        read_complain(r, "address", v, url ? "an address has no scheme and no path" : "", "must be %s", why);
        return false;
    }
    out->at = text.at;
    return true;
}

void read_admin(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    (void)def;
    struct config *c = base;
    if (v->type == YAML_STRING && str_eq(v->text, STR("none")))
        c->has_admin = false;
    else
        read_address(r, v, false, &c->admin);
}

void read_networks(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config *c = base;
    uint32_t n;
    const struct yaml *item = read_items(v, &n);
    if (n > def->max) {
        read_complain(r, "list", v, "", "must have at most %u entries", (unsigned)def->max);
        return;
    }
    c->hops_trusted = read_alloc(r, n, sizeof *c->hops_trusted);
    for (; item && c->hops_trusted; item = read_next(v, item)) {
        struct config_str text;
        const char *why;
        if (!read_text(r, item, NULL, &text)) continue;
        if (value_network(text.s, &c->hops_trusted[c->n_hops_trusted], &why) == ERR_OK)
            c->n_hops_trusted++;
        else
            read_complain(r, "network", item, "", "must be %s", why);
    }
}

/* --- secrets --- */

static const char four_providers[] =
    "name where it comes from: {file: PATH}, {env: NAME}, {credential: NAME} or {command: [PROGRAM, ARGUMENT]}";

static bool provider_value_ok(enum secret_provider p, str s)
{
    if (p == SECRET_FILE) return true;
    /* names only: neither a path nor the secret itself */
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], low = (char)(c | 0x20);
        bool word = (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '_';
        if (!word && !(p == SECRET_CREDENTIAL && i > 0 && (c == '-' || c == '.'))) return false;
    }
    return s.n <= 255;
}

static void read_provider(struct reader *r, enum secret_provider p, const struct yaml *v, struct config_secret *out)
{
    struct config_secret s = {.provider = p, .at = read_pos(v->at)};
    if (p == SECRET_COMMAND) {
        if (v->type != YAML_LIST || v->count == 0 || v->count > 64) {
            read_hide(r, v);
            read_complain(r, "secret", v, "no shell reads it: write each argument by itself",
                          "must be a list: the program and its arguments");
            return;
        }
        struct config_str *argv = read_alloc(r, v->count, sizeof *argv);
        for (const struct yaml *item = v->first; argv && item; item = item->next)
            if (read_text(r, item, NULL, &argv[s.argv.n])) s.argv.n++;
        s.argv.v = argv;
        if (s.argv.n == v->count) *out = s;
        return;
    }
    if (!read_text(r, v, NULL, &s.value)) return;
    if (!provider_value_ok(p, s.value.s)) {
        read_hide(r, v);
        read_complain(r, "secret", v, "", "must be a name, not the secret itself");
        return;
    }
    *out = s;
}

void read_secret(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    static const char *const names[] = {"", "file", "env", "credential", "command"};
    struct config_secret *out = (struct config_secret *)(void *)((char *)base + def->offset);
    if (v->type == YAML_REFUSED) return;
    if (v->type != YAML_MAP) {
        read_hide(r, v);
        read_complain(r, "secret_inline", v, four_providers, "must not stand in this file");
        return;
    }
    if (v->count != 1) {
        read_hide(r, v);
        read_complain(r, "secret", v, four_providers, "must have exactly one source");
        return;
    }
    const struct yaml *only = v->first;
    for (unsigned p = SECRET_FILE; p <= SECRET_COMMAND; p++) {
        if (!str_eq(only->key, str_of(names[p]))) continue;
        size_t mark = read_push(r, only->key);
        read_provider(r, (enum secret_provider)p, only, out);
        read_pop(r, mark);
        return;
    }
    read_hide(r, v);
    read_complain(r, "secret", v, four_providers, "must be one of the sources for secrets");
}

/* --- issuers --- */

void begin_issuer(void *elem)
{
    struct config_issuer *i = elem;
    i->keys_refresh_ms = 300000;
    i->keys_min_interval_ms = 10000;
}

static void default_claims(struct config_issuer *issuer)
{
    static const struct config_str user[] = {{STR_INIT("sub"), {0}}};
    static const struct config_str roles[] = {{STR_INIT("roles"), {0}}, {STR_INIT("realm_access.roles"), {0}}};
    static const struct config_str permissions[] = {{STR_INIT("permissions"), {0}}, {STR_INIT("scope"), {0}}};
    static const struct config_str client[] = {{STR_INIT("client_id"), {0}}, {STR_INIT("azp"), {0}}};
    static const struct config_list standard[CLAIM_KINDS] = {[CLAIM_USER] = {.v = user, .n = 1},
                                                             [CLAIM_ROLES] = {.v = roles, .n = 2},
                                                             [CLAIM_PERMISSIONS] = {.v = permissions, .n = 2},
                                                             [CLAIM_CLIENT] = {.v = client, .n = 2}};
    for (int k = 0; k < CLAIM_KINDS; k++)
        if (issuer->claims[k].at.line == 0) issuer->claims[k] = standard[k];
}

/* false: public and symmetric ones are mixed, told; otherwise *symmetric says which kind they are. */
static bool check_algorithms(struct reader *r, const struct yaml *v, const struct config_issuer *i, bool *symmetric)
{
    bool public_too = false;
    for (uint32_t k = 0; k < i->algorithms.n; k++) {
        bool hs = alg_bit(alg_from_name(i->algorithms.v[k].s)) & ALGS_SYMMETRIC;
        *symmetric |= hs;
        public_too |= !hs;
    }
    if (!*symmetric || !public_too) return true;
    read_complain(r, "algorithms", yaml_get(v, STR("algorithms")), "declare two issuers, or choose one kind",
                  "mixes shared-secret (HS…) and public-key algorithms");
    return false;
}

static void check_key_source(struct reader *r, const struct yaml *v, const struct config_issuer *i, bool symmetric)
{
    const struct yaml *keys = yaml_get(v, STR("keys")), *secret = yaml_get(v, STR("secret"));
    bool known = i->algorithms.n > 0;
    if (keys && secret) {
        read_complain_key(r, "key_source", secret, "HS256, HS384 and HS512 need `secret`, all others `keys`",
                          "has both `keys` and `secret`");
        return;
    }
    if (known && symmetric && !secret)
        read_complain_key(r, "key_source", keys ? keys : v, four_providers, "needs `secret` for its HS algorithms%s",
                          keys ? ", not `keys`" : "");
    if (known && !symmetric && !keys)
        read_complain_key(r, "key_source", secret ? secret : v, "keys: {file: keys.jwks} or keys: {url: \"https://…\"}",
                          "needs `keys`%s", secret ? ": a `secret` is for HS algorithms only" : "");
    if (!keys || keys->type != YAML_MAP) return;
    const struct yaml *file = yaml_get(keys, STR("file")), *url = yaml_get(keys, STR("url"));
    size_t mark = read_push(r, STR("keys"));
    if (!file == !url)
        read_complain_key(r, "key_source", keys, "", "needs one of `file` and `url`%s", file ? ", not both" : "");
    static const char *const only_url[] = {"ca", "private", "refresh", "min_interval"};
    for (size_t k = 0; k < ARRAY_LEN(only_url); k++) {
        const struct yaml *stray = yaml_get(keys, str_of(only_url[k]));
        if (file && !url && stray)
            read_complain_key(r, "key_source", stray, "", "has '%s', which goes with `url` only", only_url[k]);
    }
    if (i->keys_min_interval_ms > i->keys_refresh_ms)
        read_complain_key(r, "key_source", keys, "", "has a min_interval longer than its refresh");
    read_pop(r, mark);
}

void end_issuer(struct reader *r, const struct yaml *v, void *elem)
{
    struct config_issuer *i = elem;
    bool symmetric = false;
    if (check_algorithms(r, v, i, &symmetric)) check_key_source(r, v, i, symmetric);
    default_claims(i);
    if (i->claims[CLAIM_USER].n == 0) {
        const struct yaml *user = yaml_get(yaml_get(v, STR("claims")), STR("user"));
        if (user) read_complain_key(r, "claims", user, "user: sub", "has claims.user empty: nobody would be known");
    }
}

/* --- products --- */

static bool read_product_key(struct reader *r, const struct yaml *v, struct config_key *out)
{
    const struct yaml *id = yaml_get(v, STR("id")), *digest = yaml_get(v, STR("sha256"));
    struct config_str id_text, digest_text;
    bool ok = v->type == YAML_MAP && id && digest && v->count == 2;
    if (!ok) {
        read_hide(r, v);
        read_complain(r, "key", v, "`sallyport key new PRODUCT` prints the key and this line",
                      "must be {id: …, sha256: …}: the key itself does not stand in this file");
        return false;
    }
    out->at = read_pos(v->at);
    size_t mark = read_push(r, STR("id"));
    ok = read_text(r, id, NULL, &id_text);
    if (ok && !value_lower_ok(id_text.s, 8, 16)) {
        read_hide(r, id);
        read_complain(r, "key", id, "", "must be 8 to 16 characters of a-z and 0-9");
        ok = false;
    }
    read_pop(r, mark);
    mark = read_push(r, STR("sha256"));
    bool good = read_text(r, digest, NULL, &digest_text);
    if (good && value_sha256(digest_text.s, out->sha256) != ERR_OK) {
        read_complain(r, "key", digest, "`sallyport key new PRODUCT` prints the key and this line",
                      "must be 64 hexadecimal digits: the SHA-256 of the whole key");
        good = false;
    }
    if (!good) read_hide(r, digest); /* somebody may have written the key itself */
    read_pop(r, mark);
    if (ok) out->id = id_text.s;
    return ok && good;
}

void read_product_keys(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_product *p = base;
    if (v->type == YAML_REFUSED) return;
    if (v->type != YAML_LIST || v->count > def->max) {
        read_hide(r, v);
        read_complain(r, "type", v, "", "must be a list of at most %u entries {id: …, sha256: …}", (unsigned)def->max);
        return;
    }
    p->keys = read_alloc(r, v->count, sizeof *p->keys);
    for (const struct yaml *item = v->first; p->keys && item; item = item->next)
        if (item->type != YAML_REFUSED && read_product_key(r, item, &p->keys[p->n_keys])) p->n_keys++;
}

void end_product(struct reader *r, const struct yaml *v, void *elem)
{
    const struct config_product *p = elem;
    static const char *const of_its_own[] = {"keys", "certificates", "signature"};
    for (size_t i = 0; i < ARRAY_LEN(of_its_own) && p->auth == PRODUCT_TOKEN; i++) {
        const struct yaml *key = yaml_get(v, str_of(of_its_own[i]));
        char fix[64];
        snprintf(fix, sizeof fix, "leave `%s` out, or write auth: apikey", of_its_own[i]);
        if (key)
            read_complain_key(r, "product", key, fix, "has %s, but with auth: token nobody looks at %s", of_its_own[i],
                              of_its_own[i][0] == 's' ? "it" : "them");
    }
}

/* --- actions --- */

/* Where in the file byte `at` of a text stands, if the text stands there without escapes. */
static struct config_pos inside(const struct yaml *v, size_t at)
{
    struct config_pos pos = read_pos(v->at);
    bool plain = v->at.line == v->end.line && v->end.column - v->at.column == v->text.n + (v->quoted ? 2 : 0);
    if (plain) pos.column += (uint32_t)at + (v->quoted ? 1 : 0);
    return pos;
}

void read_matches(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    static const struct key_def list = {.name = "match", .shape = SHAPE_LIST, .min = 1, .max = 64};
    struct config_list *out = &((struct config_action *)base)->matches;
    uint32_t n;
    (void)def;
    read_list(r, &list, v, out);
    if (!out->n) return;
    for (const struct yaml *item = read_items(v, &n); item; item = read_next(v, item)) {
        struct pattern p;
        const char *why;
        size_t at;
        if (item->type != YAML_STRING || pattern_parse(item->text, &p, &why, &at) == ERR_OK) continue;
        diag_add(r->d, DIAG_ERROR, "match", inside(item, at), 1, STR_NONE, "%s: %s", r->path, why);
    }
}

void begin_action(void *elem)
{
    ((struct config_action *)elem)->body_max = UINT64_MAX;
}

void end_action(struct reader *r, const struct yaml *v, void *elem)
{
    struct config_action *a = elem;
    const struct yaml *accept = yaml_get(v, STR("accept"));
    if (a->is_public && accept)
        read_complain_key(r, "public", accept, "a public action looks at no credential",
                          "has both `public: true` and `accept`");
    for (int kind = CALLER_USER; kind < CALLER_KINDS && !a->is_public && !accept; kind++)
        a->accept[kind] = ACCEPT_TOKEN;
}
