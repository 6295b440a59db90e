#include "config/builtin.h"

#include "config/pattern.h"
#include "config/route_build.h"

#include <stdio.h>

#define HOUR_S 3600u
#define DAY_S  (24 * HOUR_S)

#define LOGIN_BODY_MAX 16384

const str builtin_login_actions[AUTHENTICATION_ACTIONS] = {
    STR_INIT(AUTHENTICATION_LOGIN),
    STR_INIT(AUTHENTICATION_REFRESH),
    STR_INIT(AUTHENTICATION_LOGOUT),
    STR_INIT(AUTHENTICATION_SESSIONS),
};

/* --- reading --- */

void read_rate(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_str text;
    struct config_rate rate;
    if (v->type == YAML_REFUSED || (v->type != YAML_INT && !read_text(r, v, NULL, &text))) return;
    if (v->type != YAML_INT && value_rate(text.s, &rate) == ERR_OK)
        *(struct config_rate *)(void *)((char *)base + def->offset) = rate;
    else
        read_complain(r, "rate", v, "", "must be a rate from 1/h to 1000000/s, such as 10/m");
}

void read_authentication(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config *c = base;
    static const struct config_str users = {.s = STR_INIT("users")};
    c->authentication = (struct config_authentication){.on = v->type == YAML_MAP,
                                                       .at = read_pos(v->key_at),
                                                       .access_s = 600,
                                                       .refresh_s = 30 * DAY_S,
                                                       .session_s = 90 * DAY_S,
                                                       .algorithm.s = STR("ES256"),
                                                       .rotate_s = 30 * DAY_S,
                                                       .memory = UINT64_C(19) << 20,
                                                       .passes = 2,
                                                       .concurrent = 2,
                                                       .queue = 64,
                                                       .account = {10, 60},
                                                       .address = {60, 60},
                                                       .user_bases = {.v = &users, .n = 1}};
    read_map(r, def->map, v, base);
}

/* --- what the keys must be together --- */

static void check_lives(struct reader *r, const struct yaml *section)
{
    struct config_authentication *a = &r->c->authentication;
    const struct yaml *refresh = yaml_get(section, STR("refresh_token")), *session = yaml_get(section, STR("session"));
    const struct yaml *ahead = yaml_get(section, STR("publish_ahead"));
    if (!refresh && a->refresh_s > a->session_s) a->refresh_s = a->session_s;
    if (!session && a->session_s < a->refresh_s) a->session_s = a->refresh_s;
    if (!ahead) a->publish_ahead_s = a->rotate_s / 2 < HOUR_S ? a->rotate_s / 2 : HOUR_S;
    if (a->refresh_s < a->access_s)
        read_complain_key(r, "lives", refresh ? refresh : section, "a session outlives its access tokens",
                          "has a refresh_token that ends before the access_token does");
    if (a->session_s < a->refresh_s)
        read_complain_key(r, "lives", session ? session : section, "",
                          "has a session that ends before an idle refresh_token does");
    if (a->publish_ahead_s > a->rotate_s)
        read_complain_key(r, "lives", ahead ? ahead : section, "",
                          "publishes a key longer ahead (publish_ahead) than one signs (rotate)");
}

static void complete(struct reader *r, const struct yaml *root)
{
    struct config *c = r->c;
    const struct yaml *section = yaml_get(root, STR("authentication")), *feed = yaml_get(root, STR("feed"));
    struct config_authentication *a = &c->authentication;
    c->fed = a->on || yaml_get(root, STR("store")) || feed;
    if (a->on) {
        size_t mark = read_push(r, STR("authentication"));
        check_lives(r, section);
        read_pop(r, mark);
        if (!a->audience.n && a->issuer.s.n) a->audience = (struct config_list){.v = &a->issuer, .n = 1};
    }
    if (c->fed && !c->lease_ms) {
        bool shorter = a->on && a->access_s < 900;
        c->lease_ms = shorter ? a->access_s * 1000 : 900000;
    }
}

/* --- adding --- */

/* The array with room for `more`, zeroed. */
static void *grow(struct reader *r, const void *old, uint32_t n, uint32_t more, size_t size)
{
    char *all = read_alloc(r, (size_t)n + more, size);
    if (all && n) memcpy(all, old, n * size);
    return all;
}

static struct config_list list_of(struct reader *r, const char *const *words, uint32_t n)
{
    struct config_str *v = read_alloc(r, n, sizeof *v);
    for (uint32_t i = 0; v && i < n; i++) v[i].s = str_of(words[i]);
    return (struct config_list){.v = v, .n = v ? n : 0};
}

static void add_issuer(struct reader *r)
{
    static const char *const algorithms[] = {"ES256", "ES384", "RS256", "PS256", "EdDSA"};
    static const char *const claims[CLAIM_KINDS] = {[CLAIM_USER] = "sub",
                                                    [CLAIM_ROLES] = "roles",
                                                    [CLAIM_PERMISSIONS] = "permissions",
                                                    [CLAIM_CLIENT] = "client_id",
                                                    [CLAIM_PRODUCT] = "product"};
    static const char *const granted[] = {AUTHENTICATION_SESSIONS};
    struct config *c = r->c;
    struct config_issuer *all = grow(r, c->issuers, c->n_issuers, 1, sizeof *all);
    if (!all) return;
    struct config_issuer *own = &all[c->n_issuers];
    own->name = STR(AUTHENTICATION_ISSUER);
    own->at = c->authentication.at;
    own->issuer = c->authentication.issuer;
    own->audience = c->authentication.audience;
    own->algorithms = list_of(r, algorithms, ARRAY_LEN(algorithms));
    own->is_default = true;
    for (uint32_t i = 0; i < c->n_issuers; i++) own->is_default = own->is_default && !all[i].is_default;
    own->products.any = own->roles.any = own->permissions.any = true;
    for (int k = 0; k < CLAIM_KINDS; k++) own->claims[k] = list_of(r, &claims[k], 1);
    own->grants = list_of(r, granted, 1);
    own->builtin = true;
    c->issuers = all;
    c->n_issuers++;
}

static void add_service(struct reader *r)
{
    struct config *c = r->c;
    struct config_service *all = grow(r, c->services, c->n_services, 1, sizeof *all);
    if (!all) return;
    struct config_service *own = &all[c->n_services++];
    own->name = STR(AUTHENTICATION_ISSUER);
    own->at = c->authentication.at;
    begin_service(own);
    own->implicit = false;
    own->builtin = true;
    c->services = all;
}

struct builtin_action {
    const char *name;
    const char *matches[3];
    bool is_public;
    uint8_t accept;
    bool proof;
    uint8_t pass;
};

static const struct builtin_action actions[] = {
    {AUTHENTICATION_LOGIN, {"POST /authentication/login"}, .accept = ACCEPT_APIKEY, .proof = true},
    {AUTHENTICATION_REFRESH, {"POST /authentication/refresh"}, .accept = ACCEPT_APIKEY, .proof = true},
    {AUTHENTICATION_LOGOUT, {"POST /authentication/logout"}, .accept = ACCEPT_APIKEY, .proof = true},
    {AUTHENTICATION_SESSIONS,
     {"GET,DELETE /authentication/sessions", "DELETE /authentication/sessions/{id}"},
     .accept = ACCEPT_TOKEN,
     .pass = PASS_AUTHORIZATION}, /* to say which session is the caller's */
    {AUTHENTICATION_KEYS, {"GET /.well-known/jwks.json", "GET /.well-known/openid-configuration"}, .is_public = true},
};

/* The routes of the file, to see which of ours are taken, and whose they are by the number of their entry. What is
 * wrong with them is told later. */
struct taken {
    struct route_builder *routes;
    const struct config_action **by;
    uint32_t n;
};

static void take_routes(struct reader *r, struct taken *t)
{
    const struct config *c = r->c;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_actions; i++) n += c->actions[i].matches.n;
    t->by = read_alloc(r, (size_t)n + 16, sizeof(struct config_action *));
    if (!t->by || route_builder_new(&t->routes) != ERR_OK) {
        r->d->lost = true;
        return;
    }
    for (uint32_t i = 0; i < c->n_actions; i++)
        for (uint32_t k = 0; k < c->actions[i].matches.n; k++) {
            struct pattern p;
            const char *why;
            size_t at;
            uint32_t other;
            if (pattern_parse(c->actions[i].matches.v[k].s, &p, &why, &at) != ERR_OK) continue;
            enum err e = route_add(t->routes, &p, i, 0, &other);
            if (e == ERR_OK) t->by[t->n++] = &c->actions[i];
            if (e == ERR_NO_MEMORY) r->d->lost = true;
        }
}

static void tell_taken(struct reader *r, const struct config_action *by, const char *name, const char *match)
{
    diag_add(r->d, DIAG_WARNING, "taken", by->at, (uint32_t)by->name.n, STR("take another path if that is not meant"),
             "actions.%.*s takes the place of the built-in action %s at '%s'", STR_ARG(by->name), name, match);
}

static void add_action(struct reader *r, struct taken *taken, const struct builtin_action *from,
                       struct config_action *to)
{
    struct config_str *matches = read_alloc(r, ARRAY_LEN(from->matches), sizeof *matches);
    if (!matches) return;
    *to = (struct config_action){.name = str_of(from->name),
                                 .at = r->c->authentication.at,
                                 .matches = {.v = matches},
                                 .to = {.s = STR(AUTHENTICATION_ISSUER)},
                                 .is_public = from->is_public,
                                 .accept = {0, from->accept, from->accept, from->accept},
                                 .body_max = LOGIN_BODY_MAX,
                                 .builtin = true,
                                 .proof = from->proof,
                                 .pass = from->pass};
    for (size_t i = 0; i < ARRAY_LEN(from->matches) && from->matches[i]; i++) {
        struct pattern p;
        const char *why;
        size_t at;
        uint32_t other = 0;
        enum err e = pattern_parse(str_of(from->matches[i]), &p, &why, &at);
        if (e == ERR_OK) e = route_add(taken->routes, &p, 0, 0, &other);
        if (e == ERR_CONFLICT && other < taken->n)
            tell_taken(r, taken->by[other], from->name, from->matches[i]);
        else if (e == ERR_OK)
            matches[to->matches.n++].s = str_of(from->matches[i]);
        else
            r->d->lost = true;
    }
}

static void add_actions(struct reader *r)
{
    struct config *c = r->c;
    struct taken taken = {0};
    take_routes(r, &taken);
    struct config_action *all = grow(r, c->actions, c->n_actions, ARRAY_LEN(actions), sizeof *all);
    for (size_t i = 0; all && taken.routes && i < ARRAY_LEN(actions); i++)
        add_action(r, &taken, &actions[i], &all[c->n_actions + i]);
    if (taken.routes) route_builder_free(&taken.routes);
    if (!all) return;
    c->actions = all;
    c->n_actions += (uint32_t)ARRAY_LEN(actions);
}

/* --- products --- */

static void let_log_in(struct reader *r, struct config_product *p)
{
    struct config_str *may = grow(r, p->may.v, p->may.n, AUTHENTICATION_ACTIONS, sizeof *may);
    if (!may) return;
    for (uint32_t i = 0; i < AUTHENTICATION_ACTIONS; i++)
        may[p->may.n + i] = (struct config_str){builtin_login_actions[i], p->at};
    p->may.v = may;
    p->may.n += AUTHENTICATION_ACTIONS;
    if (!p->users.s.n) p->users.s = r->c->authentication.user_bases.v[0].s;
}

static void check_base(struct reader *r, const struct config_product *p)
{
    const struct config_list *bases = &r->c->authentication.user_bases;
    struct value_nearest near = {0};
    for (uint32_t i = 0; i < bases->n; i++) {
        if (str_eq(bases->v[i].s, p->users.s)) return;
        value_nearest(&near, p->users.s, bases->v[i].s);
    }
    const char *fix = near.best.p ? read_did_you_mean(r, &near) : "list it under `authentication.user_bases`";
    diag_add(r->d, DIAG_ERROR, "unknown_base", p->users.at, (uint32_t)p->users.s.n, str_of(fix),
             "products.%.*s.users names a user base that does not exist: '%.*s'", STR_ARG(p->name),
             STR_ARG(p->users.s));
}

static void PRINTF_LIKE(4, 5)
    complain(struct reader *r, const struct config_product *p, const char *fix, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    diag_add(r->d, DIAG_ERROR, "login", p->at, (uint32_t)p->name.n, str_of(fix), "products.%.*s %s", STR_ARG(p->name),
             text);
}

static void check_product(struct reader *r, struct config_product *p)
{
    bool logs_in = p->login != LOGIN_NONE;
    if (!logs_in) {
        if (p->proof != PROOF_NONE)
            complain(r, p, "write login: password, or leave `secret` out",
                     "has `secret`, but without `login` nobody asks for it");
        if (p->users.s.n)
            complain(r, p, "write login: password, or leave `users` out",
                     "has `users`, but without `login` no user of it logs in here");
    } else if (!r->c->authentication.on) {
        complain(r, p, "write an `authentication` section, with its `issuer`",
                 "has login: password, but there is no Authentication Service");
    } else if (p->auth == PRODUCT_TOKEN) {
        complain(r, p, "write auth: apikey", "has login: password, but with auth: token no key to log in with");
    } else {
        if (p->users.s.n) check_base(r, p);
        let_log_in(r, p);
    }
}

/* Whether the file has given a name of ours to something of its own. */
static bool name_taken(struct reader *r)
{
    const struct config *c = r->c;
    const struct config_pos *at = NULL;
    const char *kind = "issuers";
    for (uint32_t i = 0; i < c->n_issuers; i++)
        if (str_eq(c->issuers[i].name, STR(AUTHENTICATION_ISSUER))) at = &c->issuers[i].at;
    for (uint32_t i = 0; i < c->n_services && !at; i++) {
        if (!str_eq(c->services[i].name, STR(AUTHENTICATION_ISSUER))) continue;
        at = &c->services[i].at;
        kind = "services";
    }
    if (!at) return false;
    diag_add(r->d, DIAG_ERROR, "taken", *at, sizeof AUTHENTICATION_ISSUER - 1, STR("give it another name"),
             "%s.%s has the name of the built-in Authentication Service", kind, AUTHENTICATION_ISSUER);
    return true;
}

void builtin_add(struct reader *r, const struct yaml *root)
{
    struct config *c = r->c;
    complete(r, root);
    for (uint32_t i = 0; i < c->n_products; i++) check_product(r, &c->products[i]);
    if (!c->authentication.on || name_taken(r)) return;
    add_issuer(r);
    add_service(r);
    add_actions(r);
}

void builtin_address(struct reader *r)
{
    struct config *c = r->c;
    for (uint32_t i = 0; i < c->n_services; i++) {
        struct config_service *s = &c->services[i];
        if (!s->builtin) continue;
        struct config_instance *one = read_alloc(r, 1, sizeof *one);
        str own = c->authentication_socket.s;
        str text = own.n ? arena_printf(r->mem, "unix:%.*s", STR_ARG(own))
                         : arena_printf(r->mem, "unix:%.*s/%s", STR_ARG(c->data.s), AUTHENTICATION_SOCKET);
        if (!one || !text.p) {
            r->d->lost = true;
        } else if (text.n - 5 > 107) {
            diag_add(r->d, DIAG_ERROR, "data", (struct config_pos){0}, 1, STR("choose a shorter `data`"),
                     "the path of the data folder is too long for a socket in it: %.*s", STR_ARG(c->data.s));
        } else {
            one->address = (struct config_address){.kind = ADDRESS_UNIX, .text = text, .path = str_from(text, 5)};
            one->weight = 1;
            s->instances = one;
            s->n_instances = 1;
        }
    }
}
