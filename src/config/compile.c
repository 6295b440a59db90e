/* snapshot_build: from typed configuration to a snapshot, part by part. */
#include "config/compile.h"

#include "config/fed.h"
#include "config/pattern.h"
#include "config/route_build.h"
#include "crypto/digest.h"
#include "identity/issuer.h"

#include <stdio.h>
#include <stdlib.h>

#define SNAPSHOT_MEM (128u << 20)

#define room compile_room
#define keep compile_keep
#define put  compile_put

/* --- memory --- */

void *compile_room(struct compile *k, size_t count, size_t size)
{
    void *p = arena_array(&k->s->mem, count ? count : 1, size);
    if (!p) k->d->lost = true;
    return p;
}

str compile_keep(struct compile *k, str s)
{
    str copy = arena_copy(&k->s->mem, s);
    if (!copy.p) {
        k->d->lost = true;
        return STR("");
    }
    return copy;
}

void compile_put(struct compile *k, struct map *m, str name, const void *what)
{
    if (map_put(m, name, (void *)(uintptr_t)what, NULL) != ERR_OK) k->d->lost = true;
}

/* --- files and secrets --- */

bool compile_file(struct compile *k, const struct config_str *path, const char *what, str *out)
{
    char why[SOURCE_WHY];
    struct buf text;
    buf_init(&text, SOURCE_FILE_MAX + 32768);
    enum err e = source_file(k->source, path->s, SOURCE_FILE_MAX, &text, why);
    if (e == ERR_OK)
        *out = keep(k, buf_str(&text));
    else
        diag_add(k->d, DIAG_ERROR, "file", path->at, (uint32_t)path->s.n, STR_NONE, "%s cannot be read: %s", what, why);
    buf_free(&text);
    return e == ERR_OK;
}

bool compile_secret(struct compile *k, const struct config_secret *from, const char *what, str *out)
{
    char why[SOURCE_WHY];
    struct secret secret;
    if (source_secret(k->source, from, &secret, why) != ERR_OK) {
        diag_add(k->d, DIAG_ERROR, "secret", from->at, 1, STR_NONE, "%s cannot be had: %s", what, why);
        return false;
    }
    *out = keep(k, secret_view(&secret));
    secret_free(&secret);
    return true;
}

/* --- actions and routes --- */

/* "GET /a, POST /b/{id}": for people. */
static str match_text(struct compile *k, const struct config_list *matches)
{
    str text = STR("");
    for (uint32_t i = 0; i < matches->n; i++) {
        text = arena_printf(&k->s->mem, "%.*s%s%.*s", STR_ARG(text), i ? ", " : "", STR_ARG(matches->v[i].s));
        if (!text.p) {
            k->d->lost = true;
            return STR("");
        }
    }
    return text;
}

static void explicit_action(struct compile *k, const struct config_action *from, struct snapshot_action *to)
{
    const struct snapshot_service *service = snapshot_service(k->s, from->to.s);
    if (service) to->service = service->index;
    if (service) to->pass = k->c->services[service->index].pass;
    to->pass |= from->pass;
    if (from->proof) to->pass |= PASS_AUTHORIZATION;
    to->proof = from->proof;
    to->name = keep(k, from->name);
    to->match = match_text(k, &from->matches);
    to->is_public = from->is_public;
    memcpy(to->accept, from->accept, sizeof to->accept);
    to->limits = compile_limits(k, "action", from->name, from->limits, from->n_limits);
    to->n_limits = from->n_limits;
    to->strip = keep(k, from->strip.s);
    to->timeout_ms = from->timeout_ms ? from->timeout_ms : k->c->timeouts.total_ms;
    to->body_max = from->body_max == UINT64_MAX ? k->c->limits.body : from->body_max;
}

static void implicit_action(struct compile *k, const struct config_service *from, uint32_t service,
                            struct snapshot_action *to)
{
    char name[64 + 16], strip[64 + 2], match[64 + 16];
    snprintf(name, sizeof name, "%.*s:invoke", STR_ARG(from->name));
    snprintf(match, sizeof match, "* /%.*s/{rest*}", STR_ARG(from->name));
    snprintf(strip, sizeof strip, "/%.*s", STR_ARG(from->name));
    *to = (struct snapshot_action){
        .name = keep(k, str_of(name)),
        .match = keep(k, str_of(match)),
        .service = service,
        .implicit = true,
        .accept = {[CALLER_USER] = ACCEPT_TOKEN, [CALLER_SERVICE] = ACCEPT_TOKEN, [CALLER_THIRD_PARTY] = ACCEPT_TOKEN},
        .pass = from->pass,
        .strip = keep(k, str_of(strip)),
        .timeout_ms = k->c->timeouts.total_ms,
        .body_max = k->c->limits.body};
}

static void compile_actions(struct compile *k)
{
    const struct config *c = k->c;
    uint32_t n = c->n_actions;
    for (uint32_t i = 0; i < c->n_services; i++) n += c->services[i].implicit;
    struct snapshot_action *all = room(k, n, sizeof *all);
    if (!all) return;
    n = c->n_actions;
    for (uint32_t i = 0; i < c->n_actions; i++) explicit_action(k, &c->actions[i], &all[i]);
    for (uint32_t i = 0; i < c->n_services; i++)
        if (c->services[i].implicit) implicit_action(k, &c->services[i], i, &all[n++]);
    for (uint32_t i = 0; i < n; i++) {
        all[i].index = i;
        put(k, &k->s->actions_by_name, all[i].name, &all[i]);
    }
    k->s->actions = all;
    k->s->n_actions = n;
}

static enum err add_matches(struct route_builder *b, const struct config_action *a, uint32_t index)
{
    for (uint32_t i = 0; i < a->matches.n; i++) {
        struct pattern p;
        const char *why;
        size_t at;
        uint32_t other;
        enum err e = pattern_parse(a->matches.v[i].s, &p, &why, &at);
        if (e == ERR_OK) e = route_add(b, &p, index, a->strip.s.n, &other);
        if (e != ERR_OK) return e;
    }
    return ERR_OK;
}

static void compile_routes(struct compile *k)
{
    struct route_builder *b;
    struct snapshot *s = k->s;
    enum err e = route_builder_new(&b);
    if (e != ERR_OK) {
        k->d->lost = true;
        return;
    }
    for (uint32_t i = 0; i < k->c->n_actions && e == ERR_OK; i++) e = add_matches(b, &k->c->actions[i], i);
    for (uint32_t i = k->c->n_actions; i < s->n_actions && e == ERR_OK; i++)
        e = route_add_implicit(b, s->services[s->actions[i].service].name, i);
    if (e == ERR_OK) e = route_build(b, &s->mem, &s->routes);
    route_builder_free(&b);
    if (e == ERR_NO_MEMORY)
        k->d->lost = true;
    else if (e != ERR_OK) /* config_load checks this: a configuration that did not come from there */
        diag_add(k->d, DIAG_ERROR, "routes", (struct config_pos){0}, 1, STR_NONE, "the routes do not fit together");
}

/* --- products and their keys --- */

/* As long as what is computed with it at least: whoever has seen one signed request may guess at leisure. */
static str mac_key(struct compile *k, const struct config_product *from)
{
    str key;
    if (from->mac_key.provider == SECRET_NONE) return STR("");
    if (k->like) {
        const struct snapshot_product *p = snapshot_product(k->like, from->name);
        return p && !p->mac_fed ? keep(k, p->mac_key) : STR("");
    }
    if (!compile_secret(k, &from->mac_key, "the key of a product's signatures", &key)) return STR("");
    key = str_trim(key);
    if (key.n < SHA256_LEN)
        diag_add(k->d, DIAG_ERROR, "secret", from->mac_key.at, 1, STR_NONE,
                 "the key of a product's signatures is too short: %d bytes at least", SHA256_LEN);
    return key;
}

static void compile_products(struct compile *k)
{
    const struct config *c = k->c;
    uint32_t n_keys = 0, at = 0;
    for (uint32_t i = 0; i < c->n_products; i++) n_keys += c->products[i].n_keys;
    struct snapshot_product *all = room(k, c->n_products, sizeof *all);
    struct snapshot_key *keys = room(k, n_keys, sizeof *keys);
    if (!all || !keys) return;
    for (uint32_t i = 0; i < c->n_products; i++) {
        const struct config_product *from = &c->products[i];
        all[i] =
            (struct snapshot_product){.name = keep(k, from->name),
                                      .index = i,
                                      .auth = from->auth,
                                      .grantor = (uint16_t)i,
                                      .login = from->login,
                                      .proof = from->proof,
                                      .users = keep(k, from->users.s),
                                      .stored = from->stored,
                                      .caller = from->caller ? from->caller : CALLER_USER,
                                      .limits = compile_limits(k, "product", from->name, from->limits, from->n_limits),
                                      .n_limits = from->n_limits,
                                      .quota = from->quota,
                                      .mac_key = mac_key(k, from),
                                      .mark = fed_mark(FED_PRODUCT, STR_NONE, from->name)};
        put(k, &k->s->products_by_name, all[i].name, &all[i]);
        for (uint32_t j = 0; j < from->n_keys; j++, at++) {
            keys[at] = (struct snapshot_key){.id = keep(k, from->keys[j].id), .product = i};
            memcpy(keys[at].sha256, from->keys[j].sha256, SHA256_LEN);
            put(k, &k->s->keys_by_id, keys[at].id, &keys[at]);
        }
    }
    k->s->products = all;
    k->s->keys = keys;
    k->s->n_products = c->n_products;
    k->s->n_keys = n_keys;
}

/* --- grants: products, then roles, then permissions; behind them each action grants itself --- */

static void grant_all(struct compile *k, uint32_t grantor, const struct config_list *names)
{
    for (uint32_t i = 0; i < names->n; i++) {
        const struct snapshot_action *a = snapshot_action(k->s, names->v[i].s);
        if (a) grants_add(&k->s->grants, grantor, a->index);
    }
}

static void grantors_of(struct compile *k, const struct config_grant *from, uint32_t n, uint32_t first, struct map *m)
{
    for (uint32_t i = 0; i < n; i++) {
        uintptr_t number = first + i;
        put(k, m, keep(k, from[i].name), (void *)(number + 1));
        grant_all(k, first + i, &from[i].actions);
    }
}

static void compile_grants(struct compile *k)
{
    const struct config *c = k->c;
    struct snapshot *s = k->s;
    uint32_t roles = c->n_products, permissions = roles + c->n_roles, issuers = permissions + c->n_permissions;
    uint32_t n = issuers + c->n_issuers;
    if (n + s->n_actions >= SNAPSHOT_NO_GRANTOR) {
        diag_add(k->d, DIAG_ERROR, "limit", (struct config_pos){0}, 1, STR_NONE,
                 "more than %d products, roles, permissions, issuers, actions and implicit routes together",
                 SNAPSHOT_NO_GRANTOR - 1);
        return;
    }
    if (grants_init(&s->grants, &s->mem, n, s->n_actions) != ERR_OK) {
        k->d->lost = true;
        return;
    }
    s->grants.direct = true;
    for (uint32_t i = 0; i < c->n_products; i++) grant_all(k, i, &c->products[i].may);
    grantors_of(k, c->roles, c->n_roles, roles, &s->roles);
    grantors_of(k, c->permissions, c->n_permissions, permissions, &s->permissions);
    for (uint32_t i = 0; i < c->n_issuers; i++) grant_all(k, issuers + i, &c->issuers[i].grants);
    for (uint32_t i = 0; i < c->n_permissions; i++) { /* a permission named like an action grants it, listed or not */
        const struct snapshot_action *a = snapshot_action(s, c->permissions[i].name);
        if (a) grants_add(&s->grants, permissions + i, a->index);
    }
}

/* Behind the permissions: what each user of an issuer is granted. */
static uint16_t issuer_grantor(const struct compile *k, uint32_t issuer)
{
    const struct config *c = k->c;
    uint32_t at = c->n_products + c->n_roles + c->n_permissions + issuer;
    return c->issuers[issuer].grants.n ? (uint16_t)at : SNAPSHOT_NO_GRANTOR;
}

/* --- issuers --- */

static void names_of(struct compile *k, const struct config_list *from, struct name_set *out)
{
    str *names = room(k, from->n, sizeof *names);
    if (!names) return;
    for (uint32_t i = 0; i < from->n; i++) names[i] = keep(k, from->v[i].s);
    if (name_set_make(&k->s->mem, names, from->n, from->any, out) != ERR_OK) k->d->lost = true;
}

static void paths_of(struct compile *k, const struct config_list *from, struct claim_paths *out)
{
    struct claim_path *paths = room(k, from->n, sizeof *paths);
    if (!paths) return;
    for (uint32_t i = 0; i < from->n; i++) {
        enum err e = claim_path_parse(&k->s->mem, keep(k, from->v[i].s), &paths[i]);
        if (e == ERR_NO_MEMORY) {
            k->d->lost = true;
        } else if (e != ERR_OK) {
            diag_add(k->d, DIAG_ERROR, "claims", from->v[i].at, (uint32_t)from->v[i].s.n, STR_NONE,
                     "'%.*s' is no path of a claim", STR_ARG(from->v[i].s));
        }
    }
    *out = (struct claim_paths){paths, from->n};
}

static const struct issuer *rules_of(struct compile *k, const struct config_issuer *from, uint32_t index)
{
    struct issuer *r = room(k, 1, sizeof *r);
    str *audiences = room(k, from->audience.n, sizeof *audiences);
    if (!r || !audiences) return NULL;
    for (uint32_t i = 0; i < from->audience.n; i++) audiences[i] = keep(k, from->audience.v[i].s);
    r->index = index;
    r->name = keep(k, from->name);
    r->prefix = from->is_default ? STR("") : r->name;
    r->iss = keep(k, from->issuer.s);
    r->audiences = audiences;
    r->n_audiences = from->audience.n;
    for (uint32_t i = 0; i < from->algorithms.n; i++) r->algs |= alg_bit(alg_from_name(from->algorithms.v[i].s));
    r->typ = from->typ == CONFIG_TYP_LEGACY ? TYP_LEGACY : TYP_AT_JWT;
    r->leeway_s = from->leeway_s;
    names_of(k, &from->products, &r->products);
    names_of(k, &from->roles, &r->roles);
    names_of(k, &from->permissions, &r->permissions);
    paths_of(k, &from->claims[CLAIM_USER], &r->user);
    paths_of(k, &from->claims[CLAIM_CLIENT], &r->client);
    paths_of(k, &from->claims[CLAIM_PRODUCT], &r->product);
    paths_of(k, &from->claims[CLAIM_ROLES], &r->roles_paths);
    paths_of(k, &from->claims[CLAIM_PERMISSIONS], &r->permissions_paths);
    return r;
}

/* A secret at least as long as the longest digest it is used with (RFC 7518 §3.2). */
static size_t least_secret(uint32_t algs)
{
    if (algs & alg_bit(ALG_HS512)) return SHA512_LEN;
    return algs & alg_bit(ALG_HS384) ? SHA384_LEN : SHA256_LEN;
}

static void fetch_secret(struct compile *k, const struct config_issuer *from, struct snapshot_issuer *to)
{
    struct secret secret;
    char why[SOURCE_WHY];
    if (k->like) {
        to->secret = keep(k, k->like->issuers[to->index].secret);
        return;
    }
    if (source_secret(k->source, &from->secret, &secret, why) != ERR_OK) {
        diag_add(k->d, DIAG_ERROR, "secret", from->secret.at, 1, STR_NONE,
                 "the secret of issuer '%.*s' cannot be had: %s", STR_ARG(from->name), why);
        return;
    }
    size_t least = to->issuer ? least_secret(to->issuer->algs) : 0;
    if (secret.n < least)
        diag_add(k->d, DIAG_ERROR, "secret", from->secret.at, 1, STR_NONE,
                 "the secret of issuer '%.*s' is too short: its algorithms need %zu bytes at least",
                 STR_ARG(from->name), least);
    else
        to->secret = keep(k, secret_view(&secret));
    secret_free(&secret);
}

static void compile_issuers(struct compile *k)
{
    const struct config *c = k->c;
    struct snapshot_issuer *all = room(k, c->n_issuers, sizeof *all);
    if (!all) return;
    k->s->issuers = all;
    k->s->n_issuers = c->n_issuers;
    for (uint32_t i = 0; i < c->n_issuers; i++) {
        const struct config_issuer *from = &c->issuers[i];
        struct snapshot_issuer *to = &all[i];
        to->name = keep(k, from->name);
        to->index = i;
        to->issuer = rules_of(k, from, i);
        to->grantor = issuer_grantor(k, i);
        to->caller = from->caller ? from->caller : CALLER_USER;
        to->refresh_ms = from->keys_refresh_ms;
        to->min_interval_ms = from->keys_min_interval_ms;
        to->may_be_private = from->keys_private;
        to->file = keep(k, from->keys_file.s);
        to->url = keep(k, from->keys_url.s);
        to->ca = keep(k, from->keys_ca.s);
        to->source = from->builtin ? KEY_SOURCE_FEED : KEY_SOURCE_URL;
        if (to->file.n) to->source = KEY_SOURCE_FILE;
        if (from->secret.provider != SECRET_NONE) {
            to->source = KEY_SOURCE_SECRET;
            fetch_secret(k, from, to);
        }
        if (to->issuer) put(k, &k->s->issuers_by_iss, to->issuer->iss, to);
    }
}

static const str *keep_list(struct compile *k, const struct config_list *from)
{
    str *all = room(k, from->n, sizeof *all);
    for (uint32_t i = 0; all && i < from->n; i++) all[i] = keep(k, from->v[i].s);
    return all;
}

static void keep_secret_source(struct compile *k, const struct config_secret *from, struct config_secret *to)
{
    *to = (struct config_secret){.provider = from->provider, .at = from->at};
    to->value = (struct config_str){keep(k, from->value.s), from->value.at};
    struct config_str *argv = room(k, from->argv.n, sizeof *argv);
    for (uint32_t i = 0; argv && i < from->argv.n; i++)
        argv[i] = (struct config_str){keep(k, from->argv.v[i].s), from->argv.v[i].at};
    to->argv = (struct config_list){.v = argv, .n = argv ? from->argv.n : 0};
}

static void compile_authentication(struct compile *k)
{
    const struct config_authentication *a = &k->c->authentication;
    struct snapshot *s = k->s;
    s->fed = k->c->fed;
    s->engine = k->c->engine;
    s->lease_ms = k->c->lease_ms;
    keep_secret_source(k, &k->c->seal, &s->seal);
    s->store_socket = keep(k, k->c->store_socket.s);
    s->authentication_socket = keep(k, k->c->authentication_socket.s);
    if (!a->on) return;
    s->authentication = (struct authentication_settings){.on = true,
                                                         .issuer = keep(k, a->issuer.s),
                                                         .audience = keep_list(k, &a->audience),
                                                         .n_audience = a->audience.n,
                                                         .access_s = a->access_s,
                                                         .refresh_s = a->refresh_s,
                                                         .session_s = a->session_s,
                                                         .algorithm = keep(k, a->algorithm.s),
                                                         .rotate_s = a->rotate_s,
                                                         .publish_ahead_s = a->publish_ahead_s,
                                                         .memory_kib = (uint32_t)(a->memory >> 10),
                                                         .passes = a->passes,
                                                         .concurrent = a->concurrent,
                                                         .queue = a->queue,
                                                         .account = a->account,
                                                         .address = a->address,
                                                         .user_bases = keep_list(k, &a->user_bases),
                                                         .n_user_bases = a->user_bases.n};
}

static void compile_rest(struct compile *k)
{
    const struct config *c = k->c;
    struct snapshot *s = k->s;
    s->name = keep(k, c->name.s);
    s->environment = keep(k, c->environment.s);
    s->data = keep(k, c->data.s);
    s->workers = c->workers;
    s->hops = c->hops;
    s->limits = c->limits;
    s->timeouts = c->timeouts;
    s->log_access = c->log_access;
    s->log_level = c->log_level;
    struct config_network *networks = room(k, c->n_hops_trusted, sizeof *networks);
    if (!networks) return;
    if (c->n_hops_trusted) memcpy(networks, c->hops_trusted, c->n_hops_trusted * sizeof *networks);
    s->networks = networks;
    s->n_networks = c->n_hops_trusted;
}

static enum err build(struct compile *k, uint64_t generation, struct snapshot **out)
{
    struct diags *d = k->d;
    uint32_t errors = d->errors;
    struct snapshot *s = calloc(1, sizeof *s);
    if (!s) {
        d->lost = true;
        return ERR_NO_MEMORY;
    }
    atomic_init(&s->refs, 1);
    s->generation = generation;
    arena_init(&s->mem, NULL, 0, SNAPSHOT_MEM);
    k->s = s;
    compile_rest(k);
    compile_edge(k);
    compile_authentication(k);
    compile_listeners(k);
    compile_services(k);
    compile_actions(k);
    compile_routes(k);
    compile_products(k);
    compile_certificates(k);
    compile_grants(k);
    compile_issuers(k);
    diags_sort(d);
    if (!d->lost && d->errors == errors) {
        *out = s;
        return ERR_OK;
    }
    snapshot_unref(&s);
    return d->lost ? ERR_NO_MEMORY : ERR_MALFORMED;
}

enum err snapshot_build(const struct config *c, const struct config_source *source, uint64_t generation,
                        struct diags *d, struct snapshot **out)
{
    struct compile k = {.c = c, .source = source, .d = d};
    return build(&k, generation, out);
}

enum err snapshot_rebuild(const struct config *c, const struct snapshot *like, uint64_t generation, struct diags *d,
                          struct snapshot **out)
{
    struct compile k = {.c = c, .like = like, .d = d};
    return build(&k, generation, out);
}

enum err snapshot_readdress(const struct config *c, const struct snapshot *like, const struct snapshot_addresses *now,
                            uint64_t generation, struct diags *d, struct snapshot **out)
{
    struct compile k = {.c = c, .like = like, .now = now, .d = d};
    return build(&k, generation, out);
}
