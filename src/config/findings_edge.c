/* Findings at the edge: what has no effect, what nobody can show, what is less safe than it looks. */
#include "base/map.h"
#include "codec/url.h"
#include "config/findings_private.h"

#include <stdio.h>

/* --- limits that are never reached --- */

/* Whether everything that is counted together by `inner` is counted together by `outer` too. */
static bool within(enum limit_per inner, enum limit_per outer, bool of_product)
{
    if (inner == outer || outer == LIMIT_PER_ACTION) return true;
    return of_product ? outer == LIMIT_PER_PRODUCT : outer == LIMIT_PER_PRODUCT && inner == LIMIT_PER_KEY;
}

/* Whether `outer` lets no more through than `inner`, in the long run and at once. */
static bool tighter(const struct config_limit *outer, const struct config_limit *inner)
{
    return (uint64_t)outer->count * inner->period_ms <= (uint64_t)inner->count * outer->period_ms &&
           outer->burst <= inner->burst;
}

static void look_at_limits(struct diags *d, const char *kind, str name, const struct config_limit *v, uint32_t n,
                           bool of_product)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < n; k++) {
            if (i == k || !within(v[i].per, v[k].per, of_product) || !tighter(&v[k], &v[i])) continue;
            finding(d, "limit", v[i].at, 1, STR("take it out, or make it lower than the other"),
                    "%s'%.*s': this limit per %s can never be reached, the one per %s in line %u is lower", kind,
                    STR_ARG(name), limit_per_name(v[i].per), limit_per_name(v[k].per), v[k].at.line);
            break;
        }
}

static uint64_t window_ms(enum quota_window w)
{
    return w == QUOTA_HOUR ? 3600000u : w == QUOTA_DAY ? 86400000u : UINT64_C(31) * 86400000;
}

static void look_at_quota(struct diags *d, const struct config_product *p)
{
    uint64_t window = window_ms(p->quota.window);
    for (uint32_t i = 0; i < p->n_limits && p->quota.requests; i++) {
        const struct config_limit *l = &p->limits[i];
        uint64_t most = l->burst + (uint64_t)l->count * (window / 1000) / (l->period_ms / 1000);
        if (l->per != LIMIT_PER_PRODUCT || most >= p->quota.requests) continue;
        finding(d, "limit", p->at, p->name.n, STR("lower the quota, or raise the limit"),
                "the quota of '%.*s' can never be reached: its limit lets through %llu requests in each %s",
                STR_ARG(p->name), (unsigned long long)most, quota_window_name(p->quota.window));
        return;
    }
}

/* --- kinds of callers --- */

/* Which credentials anybody of a kind can show: ACCEPT_* by kind. */
struct shown {
    uint8_t by[CALLER_KINDS];
};

static enum caller_kind kind_of(enum caller_kind k)
{
    return k == CALLER_NONE ? CALLER_USER : k;
}

/* What a product can show of its own. Keys and apisecrets may be in the store. */
static uint8_t own_credentials(const struct config *c, const struct config_product *p)
{
    uint8_t own = 0;
    if (p->auth == PRODUCT_TOKEN) return 0;
    if (p->n_keys || c->fed) own |= ACCEPT_APIKEY;
    if (p->mac_key.provider != SECRET_NONE || c->fed) own |= ACCEPT_SIGNATURE;
    if (p->n_certificates) own |= ACCEPT_CERTIFICATE;
    return own;
}

static void everything_shown(const struct config *c, struct shown *s)
{
    for (uint32_t i = 0; i < c->n_issuers; i++) s->by[kind_of(c->issuers[i].caller)] |= ACCEPT_TOKEN;
    for (uint32_t i = 0; i < c->n_products; i++)
        s->by[kind_of(c->products[i].caller)] |= own_credentials(c, &c->products[i]);
}

static bool vouches(const struct config_issuer *i, str product)
{
    bool yes = i->products.any;
    for (uint32_t k = 0; k < i->products.n && !yes; k++) yes = str_eq(i->products.v[k].s, product);
    return yes;
}

/* Whether requests of the product can have what the action accepts. */
static bool can_show(const struct config *c, const struct config_product *p, const struct config_action *a)
{
    if (a->is_public || a->accept[kind_of(p->caller)] & own_credentials(c, p) & ~(unsigned)ACCEPT_TOKEN) return true;
    for (uint32_t i = 0; i < c->n_issuers; i++)
        if (a->accept[kind_of(c->issuers[i].caller)] & ACCEPT_TOKEN && vouches(&c->issuers[i], p->name)) return true;
    return false;
}

static bool by_kind(const struct config_action *a)
{
    return a->accept[CALLER_USER] != a->accept[CALLER_SERVICE] ||
           a->accept[CALLER_USER] != a->accept[CALLER_THIRD_PARTY];
}

/* "apikey, signature" */
static void credentials_text(uint8_t set, char out[64])
{
    static const char *const names[ACCEPT_BITS] = {"token", "apikey", "signature", "certificate"};
    size_t n = 0;
    out[0] = 0;
    for (unsigned i = 0; i < ACCEPT_BITS; i++)
        if (set >> i & 1) n += (size_t)snprintf(out + n, 64 - n, "%s%s", n ? ", " : "", names[i]);
    if (!n) snprintf(out, 64, "nothing");
}

static void look_at_product(struct diags *d, const struct config *c, const struct config_product *p,
                            const struct map *actions)
{
    enum caller_kind kind = kind_of(p->caller);
    look_at_limits(d, "the product ", p->name, p->limits, p->n_limits, true);
    look_at_quota(d, p);
    for (uint32_t i = 0; i < p->may.n; i++) {
        const struct config_action *a = map_get(actions, p->may.v[i].s);
        char accepted[64];
        if (!a || a->builtin || (kind == CALLER_USER && !by_kind(a)) || can_show(c, p, a)) continue;
        credentials_text(a->accept[kind], accepted);
        finding(d, "credential", p->may.v[i].at, p->may.v[i].s.n,
                STR("give the product one of those, or let the action accept what it has"),
                "'%.*s' is a product of kind %s, and of those '%.*s' accepts %s: it has nothing to show there",
                STR_ARG(p->name), caller_kind_name(kind), STR_ARG(a->name), accepted);
    }
}

static void look_at_action(struct diags *d, const struct config_action *a, const struct shown *s)
{
    look_at_limits(d, "the action ", a->name, a->limits, a->n_limits, false);
    for (int k = CALLER_USER; k < CALLER_KINDS && !a->builtin; k++) {
        uint8_t nobodys = a->accept[k] & (ACCEPT_SIGNATURE | ACCEPT_CERTIFICATE) & (uint8_t)~s->by[k];
        char text[64];
        bool nobody = by_kind(a) && a->accept[k] && !(a->accept[k] & s->by[k]);
        if (nobody && s->by[k] == 0) {
            finding(d, "credential", a->at, a->name.n, STR("write `caller` for an issuer or a product"),
                    "'%.*s' accepts callers of kind %s, but no issuer and no product makes any", STR_ARG(a->name),
                    caller_kind_name((enum caller_kind)k));
        } else if (nobodys && (by_kind(a) || k == CALLER_USER)) {
            uint8_t anybodys = s->by[CALLER_USER] | s->by[CALLER_SERVICE] | s->by[CALLER_THIRD_PARTY];
            if (!by_kind(a)) nobodys &= (uint8_t)~anybodys;
            if (!nobodys) continue;
            credentials_text(nobodys, text);
            finding(d, "credential", a->at, a->name.n,
                    STR("products have `certificates`, and `signature` or an apisecret in the store"),
                    "'%.*s' accepts %s, but no product can show that", STR_ARG(a->name), text);
        }
    }
}

/* --- services --- */

static void look_at_breaker(struct diags *d, const struct config *c, const struct config_service *s,
                            const struct shown *shown)
{
    for (int k = CALLER_USER; k < CALLER_KINDS; k++) {
        uint32_t most = s->breaker.concurrent[k];
        if (most && shown->by[k] == 0)
            finding(d, "breaker", s->breaker_at, 7, STR("take it out, or write `caller` for an issuer or a product"),
                    "the breaker of '%.*s' bounds callers of kind %s, but no issuer and no product makes any",
                    STR_ARG(s->name), caller_kind_name((enum caller_kind)k));
        else if (most >= c->limits.connections)
            finding(d, "breaker", s->breaker_at, 7, STR("a lower number"),
                    "the breaker of '%.*s' bounds callers of kind %s to %u at a time, but no more than %u connections "
                    "are taken at all (limits.connections)",
                    STR_ARG(s->name), caller_kind_name((enum caller_kind)k), most, c->limits.connections);
    }
}

static void look_at_zones(struct diags *d, const struct config *c)
{
    const struct config_str *first = NULL;
    bool own = false;
    for (uint32_t i = 0; i < c->n_services; i++)
        for (uint32_t k = 0; k < c->services[i].n_instances; k++) {
            const struct config_str *zone = &c->services[i].instances[k].zone;
            if (zone->s.n && !first) first = zone;
            own |= zone->s.n && str_eq(zone->s, c->zone.s);
        }
    if (first && !c->zone.s.n)
        finding(d, "zone", first->at, first->s.n, STR("write `zone` at the top of the file"),
                "instances have zones, but this gateway has none: none is preferred");
    else if (c->zone.s.n && !own)
        finding(d, "zone", c->zone.at, c->zone.s.n, STR("write `zone` for instances"),
                "no instance is in this gateway's zone '%.*s'", STR_ARG(c->zone.s));
}

/* --- TLS and the rest --- */

static void look_at_tls(struct diags *d, const struct config *c)
{
    bool listens = false, pinned = false;
    for (uint32_t i = 0; i < c->n_gateway; i++) listens |= c->gateway[i].tls;
    for (uint32_t i = 0; i < c->n_products; i++) pinned |= c->products[i].n_certificates > 0;
    if (c->tls.on && !listens)
        finding(d, "tls", c->tls.at, 3, STR("listen: {gateway: {address: \":8443\", tls: true}}"),
                "nobody sees the certificates of `tls`: no listener speaks TLS");
    if (c->tls.clients_ca.s.n && !pinned)
        finding(d, "tls", c->tls.clients_ca.at, c->tls.clients_ca.s.n, STR("write `certificates` for a product"),
                "clients are asked for certificates, but no product has any: they prove nothing");
}

static void look_at_tracing(struct diags *d, const struct config *c)
{
    struct url url;
    const struct config_tracing *t = &c->tracing;
    if (!t->otlp.s.n || url_parse(t->otlp.s, &url, NULL) != ERR_OK) return;
    if (t->n_headers && !url.tls && !finding_is_loopback(url.host))
        finding(d, "tracing", t->otlp.at, t->otlp.s.n, STR("write an https:// URL"),
                "the secrets in tracing.headers go over the network in the clear");
}

void findings_of_edge(const struct config *c, struct diags *d)
{
    struct shown shown = {0};
    struct map actions = {0};
    for (uint32_t i = 0; i < c->n_actions; i++)
        if (map_put(&actions, c->actions[i].name, &c->actions[i], NULL) != ERR_OK) d->lost = true;
    everything_shown(c, &shown);
    look_at_tls(d, c);
    look_at_tracing(d, c);
    look_at_zones(d, c);
    if (c->sandbox != 0)
        finding(d, "sandbox", (struct config_pos){0}, 1, STR("write sandbox: on, or leave it out"),
                "the sandbox is off: whoever gets into the gateway has all that its user may");
    look_at_limits(d, "", STR("limit"), c->edge_limits, c->n_edge_limits, false);
    for (uint32_t i = 0; i < c->n_products; i++) look_at_product(d, c, &c->products[i], &actions);
    for (uint32_t i = 0; i < c->n_services; i++) look_at_breaker(d, c, &c->services[i], &shown);
    for (uint32_t i = 0; i < c->n_actions; i++) look_at_action(d, &c->actions[i], &shown);
    map_free(&actions);
}
