/* Listeners and services of a snapshot: addresses, instances, and what goes with them. */
#include "config/compile.h"

#include "base/clock.h"
#include "config/certificates.h"
#include "config/lookup.h"

#include <stdio.h>
#include <stdlib.h>

#define room compile_room
#define keep compile_keep

#define WEIGHT_MAX 100

/* --- listeners --- */

static void listener(struct compile *k, const struct config_address *a, struct snapshot_listener *out)
{
    struct lookup_addr found[LOOKUP_MAX];
    size_t n;
    const char *why;
    if (lookup_address(a, found, &n, &why) != ERR_OK) {
        diag_add(k->d, DIAG_ERROR, "lookup", a->at, (uint32_t)a->text.n,
                 STR("names are resolved when the file is loaded"), "'%.*s' cannot be resolved: %s", STR_ARG(a->text),
                 why);
        return;
    }
    *out = (struct snapshot_listener){.kind = a->kind,
                                      .text = keep(k, a->text),
                                      .addr = found[0].addr,
                                      .addr_len = found[0].len,
                                      .all = a->kind == ADDRESS_TCP && a->host.n == 0};
}

static void listener_like(struct compile *k, const struct snapshot_listener *from, struct snapshot_listener *out)
{
    *out = *from;
    out->text = keep(k, from->text);
}

void compile_listeners(struct compile *k)
{
    const struct config *c = k->c;
    const struct snapshot *like = k->like;
    struct snapshot_listener *all = room(k, c->n_gateway, sizeof *all);
    struct snapshot_listener *admin = c->has_admin ? room(k, 1, sizeof *admin) : NULL;
    for (uint32_t i = 0; all && i < c->n_gateway; i++) {
        if (like)
            listener_like(k, &like->listeners[i], &all[i]);
        else
            listener(k, &c->gateway[i].address, &all[i]);
        all[i].tls = c->gateway[i].tls;
    }
    if (admin && like)
        listener_like(k, like->admin, admin);
    else if (admin)
        listener(k, &c->admin, admin);
    k->s->listeners = all;
    k->s->n_listeners = c->n_gateway;
    k->s->admin = admin;
}

/* --- instances --- */

/* The instances of all services in the making: one service's are a row in it. */
struct row {
    struct snapshot_instance *v;
    uint32_t n, cap;
};

static struct snapshot_instance *next(struct compile *k, struct row *r)
{
    if (r->n == r->cap) {
        uint32_t cap = r->cap ? 2 * r->cap : 8;
        struct snapshot_instance *more = room(k, cap, sizeof *more);
        if (!more) return NULL;
        if (r->n) memcpy(more, r->v, r->n * sizeof *more);
        r->v = more;
        r->cap = cap;
    }
    return &r->v[r->n++];
}

static bool near(const struct compile *k, str zone)
{
    str own = k->c->zone.s;
    return !own.n || !zone.n || str_eq(own, zone);
}

/* What an instance has of its entry in the file, whatever its address. */
static struct snapshot_instance of_entry(struct compile *k, const struct config_instance *from, uint32_t name)
{
    str zone = keep(k, from->zone.s);
    return (struct snapshot_instance){.text = keep(k, from->address.text),
                                      .weight = from->weight ? from->weight : 1,
                                      .zone = zone,
                                      .same_zone = near(k, zone),
                                      .host = keep(k, from->address.host),
                                      .name = name};
}

static void looked_up(struct compile *k, const struct config_instance *from, uint32_t name, struct row *r)
{
    struct lookup_addr found[LOOKUP_MAX];
    size_t n;
    const char *why;
    const struct config_address *a = &from->address;
    if (lookup_address(a, found, &n, &why) != ERR_OK) {
        diag_add(k->d, DIAG_WARNING, "lookup", a->at, (uint32_t)a->text.n, STR("it is looked up again and again"),
                 "'%.*s' cannot be resolved: %s", STR_ARG(a->text), why);
        return;
    }
    struct snapshot_instance proto = of_entry(k, from, name);
    for (size_t i = 0; i < n; i++) {
        struct snapshot_instance *to = next(k, r);
        if (!to) return;
        *to = proto;
        to->shown = keep(k, str_of(found[i].text));
        to->addr = found[i].addr;
        to->addr_len = found[i].len;
    }
}

/* --- instances by name, with addresses from elsewhere --- */

static int order(const void *va, const void *vb)
{
    const struct snapshot_instance *a = va, *b = vb;
    if (a->priority != b->priority) return a->priority < b->priority ? -1 : 1;
    int c = memcmp(a->shown.p, b->shown.p, a->shown.n < b->shown.n ? a->shown.n : b->shown.n);
    if (c != 0) return c;
    return a->shown.n == b->shown.n ? 0 : a->shown.n < b->shown.n ? -1 : 1;
}

/* Weights of DNS are from 0 to 65535; ours have a bound, and who is listed gets something (RFC 2782: 0 is "very small
 * chance"). */
static void scale(struct snapshot_instance *v, uint32_t n)
{
    uint32_t most = WEIGHT_MAX;
    for (uint32_t i = 0; i < n; i++)
        if (v[i].weight > most) most = v[i].weight;
    for (uint32_t i = 0; i < n; i++) {
        v[i].weight = (uint32_t)(((uint64_t)v[i].weight * WEIGHT_MAX + most / 2) / most);
        if (v[i].weight == 0) v[i].weight = 1;
    }
}

/* Behind the `first` ones, unless it is there already. */
static void add_found(struct compile *k, const struct snapshot_instance *proto, bool srv,
                      const struct snapshot_address *found, struct row *r, uint32_t first)
{
    char text[LOOKUP_TEXT];
    if (!lookup_text(&found->addr, text)) return;
    for (uint32_t i = first; i < r->n; i++)
        if (str_eq(r->v[i].shown, str_of(text))) return;
    struct snapshot_instance *to = next(k, r);
    if (!to) return;
    *to = *proto;
    to->shown = keep(k, str_of(text));
    to->addr = found->addr;
    to->addr_len = found->len;
    if (!srv) return;
    to->priority = found->priority;
    to->weight = found->weight;
    to->host = keep(k, found->host);
}

static void finish_found(struct row *r, uint32_t first, bool srv)
{
    if (r->n == first) return;
    qsort(r->v + first, r->n - first, sizeof *r->v, order);
    if (srv) scale(r->v + first, r->n - first);
}

/* By the source's word, where it has one. */
static void asked(struct compile *k, const struct config_instance *from, uint32_t name, struct row *r)
{
    char why[SOURCE_WHY] = "";
    size_t n = 0;
    uint32_t first = r->n;
    if (!k->source || !k->source->names) return;
    struct source_address *found = calloc(SOURCE_ADDRS, sizeof *found);
    if (!found) {
        k->d->lost = true;
        return;
    }
    const struct config_address *a = &from->address;
    enum err e = k->source->names(k->source->names_ctx, a->host, a->port, from->srv, found, &n, why);
    if (e != ERR_OK) n = 0;
    if (e != ERR_OK && e != ERR_AGAIN)
        diag_add(k->d, DIAG_WARNING, "lookup", a->at, (uint32_t)a->text.n, STR("it is looked up again and again"),
                 "'%.*s' cannot be resolved: %s", STR_ARG(a->text), why);
    struct snapshot_instance proto = of_entry(k, from, name);
    for (size_t i = 0; i < n; i++) {
        const struct snapshot_address one = {.addr = found[i].addr,
                                             .len = found[i].len,
                                             .priority = found[i].priority,
                                             .weight = found[i].weight,
                                             .host = str_of(found[i].host)};
        add_found(k, &proto, from->srv, &one, r, first);
    }
    finish_found(r, first, from->srv);
    free(found);
}

/* Addresses of a name that somebody has looked up since; false: there are none. */
static bool readdressed(struct compile *k, const struct config_instance *from, uint32_t name, struct row *r)
{
    uint32_t first = r->n;
    struct snapshot_instance proto = {0};
    for (uint32_t i = 0; k->now && i < k->now->n; i++) {
        const struct snapshot_address *a = &k->now->v[i];
        if (a->name != name) continue;
        if (!proto.text.p) proto = of_entry(k, from, name);
        add_found(k, &proto, from->srv, a, r, first);
    }
    finish_found(r, first, from->srv);
    return r->n > first;
}

static void copied(struct compile *k, const struct snapshot_instance *from, struct row *r)
{
    struct snapshot_instance *to = next(k, r);
    if (!to) return;
    *to = *from;
    to->text = keep(k, from->text);
    to->shown = keep(k, from->shown);
    to->zone = keep(k, from->zone);
    to->host = keep(k, from->host);
}

/* --- names --- */

static bool is_name(const struct config_instance *i)
{
    return i->srv || (i->address.kind == ADDRESS_TCP && i->address.host.n && !lookup_is_number(i->address.host));
}

static void add_name(struct compile *k, struct snapshot_name *to, const struct config_instance *i, uint32_t service)
{
    *to = (struct snapshot_name){.text = keep(k, i->address.text),
                                 .srv = i->srv,
                                 .host = keep(k, i->address.host),
                                 .port = i->address.port,
                                 .service = service,
                                 .weight = i->weight ? i->weight : 1,
                                 .zone = keep(k, i->zone.s)};
}

/* --- services --- */

static void instances(struct compile *k, const struct config_service *from, struct snapshot_service *to,
                      struct snapshot_name *names)
{
    struct row r = {0};
    const struct snapshot_service *like = k->like ? &k->like->services[to->index] : NULL;
    uint32_t at = 0; /* in what `like` has */
    for (uint32_t i = 0; i < from->n_instances; i++) {
        const struct config_instance *entry = &from->instances[i];
        uint32_t name = SNAPSHOT_NO_NAME;
        if (is_name(entry)) {
            name = k->s->n_names++;
            add_name(k, &names[name], entry, to->index);
        }
        uint32_t from_n = at;
        if (like && name == SNAPSHOT_NO_NAME) at++;
        while (like && name != SNAPSHOT_NO_NAME && at < like->n_instances && like->instances[at].name == name) at++;
        if (like && name != SNAPSHOT_NO_NAME && readdressed(k, entry, name, &r)) continue;
        for (uint32_t j = from_n; j < at; j++) copied(k, &like->instances[j], &r);
        if (like) continue;
        bool by_source = name != SNAPSHOT_NO_NAME && k->source && k->source->names;
        if (entry->srv || by_source)
            asked(k, entry, name, &r);
        else
            looked_up(k, entry, name, &r);
    }
    to->instances = r.v;
    to->n_instances = r.n;
    to->first_instance = k->s->n_instances;
    k->s->n_instances += r.n;
}

static void tls_client(struct compile *k, const struct config_service *from, struct snapshot_service *to)
{
    const struct config_tls_client *c = &from->tls;
    struct snapshot_tls_client *t = &to->tls;
    t->on = c->on;
    if (!c->on) return;
    t->name = keep(k, c->name.s);
    if (k->like) {
        const struct snapshot_tls_client *like = &k->like->services[to->index].tls;
        t->ca_pem = keep(k, like->ca_pem);
        t->cert_pem = keep(k, like->cert_pem);
        t->key_pem = keep(k, like->key_pem);
        return;
    }
    if (c->ca.s.n) compile_authorities(k, &c->ca, &t->ca_pem);
    if (!c->cert.s.n || c->key.provider == SECRET_NONE) return;
    bool whole = compile_file(k, &c->cert, "the certificate", &t->cert_pem);
    whole = compile_secret(k, &c->key, "the private key", &t->key_pem) && whole;
    const struct certificate_files pair = {.cert = &c->cert,
                                           .key_at = c->key.at,
                                           .cert_pem = t->cert_pem,
                                           .key_pem = t->key_pem};
    if (whole) certificates_check(k->d, &pair, clock_wall_s());
}

static void service(struct compile *k, const struct config_service *from, struct snapshot_service *to)
{
    const struct config_timeouts *t = &k->c->timeouts;
    to->balance = from->balance;
    to->hash_by = from->hash_by;
    to->hash_header = keep(k, from->hash_header.s);
    to->health = from->health;
    to->health.method = keep(k, from->health.method);
    to->health.path = keep(k, from->health.path);
    to->eject = from->eject;
    to->slow_start_ms = from->slow_start_ms;
    to->pool = from->pool;
    to->retry = from->retry;
    to->breaker = from->breaker;
    to->connect_ms = from->connect_ms ? from->connect_ms : t->connect_ms;
    to->response_ms = from->response_ms ? from->response_ms : t->response_ms;
    tls_client(k, from, to);
}

void compile_services(struct compile *k)
{
    const struct config *c = k->c;
    uint32_t n_names = 0;
    for (uint32_t i = 0; i < c->n_services; i++)
        for (uint32_t j = 0; j < c->services[i].n_instances; j++) n_names += is_name(&c->services[i].instances[j]);
    struct snapshot_service *all = room(k, c->n_services, sizeof *all);
    struct snapshot_name *names = room(k, n_names, sizeof *names);
    if (!all || !names) return;
    k->s->services = all;
    k->s->n_services = c->n_services;
    k->s->names = names;
    for (uint32_t i = 0; i < c->n_services; i++) {
        all[i].name = keep(k, c->services[i].name);
        all[i].index = i;
        instances(k, &c->services[i], &all[i], names);
        service(k, &c->services[i], &all[i]);
        compile_put(k, &k->s->services_by_name, all[i].name, &all[i]);
    }
}
