#include "roles/gateway_private.h"

#include "base/pages.h"
#include "roles/child.h"

#include <stdlib.h>

#define WANT_TICK_MS     10
#define KEYS_MAX         (256u << 10)
#define PREPARE_AFTER_MS 500 /* a start and a burst of changes have other things to do */

static void ask_later(struct gateway *g)
{
    if (!timer_is_set(&g->keys_timer)) timer_set(g->loop, &g->keys_timer, loop_now_ms(g->loop) + WANT_TICK_MS);
}

/* --- made ready beside the loop: no request waits for it, it only costs less afterwards --- */

struct prepare {
    struct offload_job job;
    struct prepare *next; /* of the gateway's */
    struct gateway *gateway;
    struct keyset *keys;
};

static void prepare_run(struct offload_job *job)
{
    (void)keyset_prepare(CONTAINER_OF(job, struct prepare, job)->keys);
}

static void prepare_done(struct offload_job *job)
{
    struct prepare *p = CONTAINER_OF(job, struct prepare, job);
    struct gateway *g = p->gateway;
    struct prepare **link = &g->prepares;
    while (*link != p) link = &(*link)->next;
    *link = p->next;
    keyset_unref(&p->keys);
    free(p);
    if (--g->preparing || g->start_over) return;
    g->start_over = true;
    pages_forget_start(); /* the first keys' tables are the end of the start */
}

static void on_prepare(struct timer *t)
{
    struct gateway *g = CONTAINER_OF(t, struct gateway, prepare_timer);
    for (uint32_t i = 0; i < g->n_keys; i++) {
        struct prepare *p = g->keys[i].keys && !g->keys[i].prepared ? calloc(1, sizeof *p) : NULL;
        if (!p) continue;
        *p = (struct prepare){{.run = prepare_run, .done = prepare_done}, g->prepares, g, keyset_ref(g->keys[i].keys)};
        g->prepares = p;
        g->keys[i].prepared = true;
        g->preparing++;
        if (offload_submit(g->pool, g->loop, &p->job) != ERR_OK) prepare_done(&p->job);
    }
}

void gateway_keys_forget(struct gateway *g)
{
    while (g->prepares) {
        struct prepare *p = g->prepares;
        g->prepares = p->next;
        keyset_unref(&p->keys);
        free(p);
    }
}

static void prepare_later(struct gateway *g)
{
    g->prepare_timer.on_time = on_prepare;
    timer_set(g->loop, &g->prepare_timer, loop_now_ms(g->loop) + PREPARE_AFTER_MS);
}

/* --- from a file --- */

static void tell_notes(const struct snapshot_issuer *i, const struct keyset *k)
{
    size_t n;
    const struct jwk_note *notes = keyset_notes(k, &n);
    for (size_t at = 0; at < n; at++)
        log_event(LOG_LEVEL_WARN, log_msg("a key of an issuer is left out"), log_str("issuer", i->name),
                  log_u64("index", notes[at].index), log_str("kid", notes[at].kid),
                  log_str("reason", str_of(jwk_fault_name(notes[at].fault))));
}

/* A source says "path: why". */
static const char *what_of(const char *why, str path)
{
    bool both = str_starts(str_of(why), path) && strlen(why) > path.n + 2 && why[path.n] == ':';
    return both ? why + path.n + 2 : why;
}

static enum err load_file(const struct snapshot_issuer *i, struct diags *d, struct keyset **out)
{
    struct buf text;
    enum json_fault fault = JSON_FAULT_NONE;
    buf_init(&text, KEYS_MAX + 65536);
    char why[SOURCE_WHY];
    enum err e = source_file(child_source(), i->file, KEYS_MAX, &text, why);
    if (e != ERR_OK) {
        diag_add(d, DIAG_ERROR, "keys_unreadable", (struct config_pos){0}, 0, STR_NONE,
                 "issuer %.*s: its key file %.*s cannot be read: %s", STR_ARG(i->name), STR_ARG(i->file),
                 e == ERR_LIMIT    ? "larger than 256 kB"
                 : e == ERR_DENIED ? "it is no regular file"
                                   : what_of(why, i->file));
    } else {
        e = keyset_from_jwks(buf_str(&text), false, out, &fault);
        if (e != ERR_OK)
            diag_add(d, DIAG_ERROR, "keys_malformed", (struct config_pos){0}, 0,
                     STR("put a JWKS there: {\"keys\": [...]}"), "issuer %.*s: %.*s is no set of keys (%s)",
                     STR_ARG(i->name), STR_ARG(i->file), fault ? json_fault_name(fault) : err_name(e));
        else
            tell_notes(i, *out);
    }
    buf_free(&text);
    return e;
}

/* --- by URL --- */

static void replace(struct gateway_keys *k, struct keyset *keys)
{
    const struct snapshot_issuer *i = &k->gateway->snap->issuers[k->index];
    if (k->keys && keyset_equal(k->keys, keys)) {
        keyset_unref(&keys);
        return;
    }
    log_event(LOG_LEVEL_INFO, log_msg(k->keys ? "keys of an issuer changed" : "keys of an issuer loaded"),
              log_str("issuer", i->name), log_u64("keys", keyset_count(keys)));
    tell_notes(i, keys);
    keyset_unref(&k->keys);
    k->keys = keys;
    k->prepared = false;
    prepare_later(k->gateway);
    gateway_feed_keys(k->gateway, k->index, keys);
}

void gateway_keys_fed(struct gateway *g, struct keyset *keys)
{
    for (uint32_t i = 0; i < g->n_keys; i++) {
        struct keyset *one = NULL;
        if (g->snap->issuers[i].source != KEY_SOURCE_FEED) continue;
        if (keys)
            one = keyset_ref(keys);
        else if (keyset_from_jwks(STR("{\"keys\":[]}"), false, &one, NULL) != ERR_OK)
            continue; /* no memory: the lease ends, for a record is missing */
        replace(&g->keys[i], one);
    }
}

static enum err take(void *user, str json, const char **why)
{
    struct gateway_keys *k = user;
    struct keyset *keys;
    enum err e = keyset_from_jwks(json, false, &keys, NULL);
    if (e != ERR_OK) {
        *why = "the document is no set of keys";
        return e;
    }
    if (keyset_count(keys) == 0) {
        keyset_unref(&keys);
        *why = "no key in it can be used";
        return ERR_DENIED;
    }
    replace(k, keys);
    return ERR_OK;
}

void gateway_keys_start(struct gateway *g)
{
    prepare_later(g);
    for (uint32_t i = 0; i < g->n_keys; i++) {
        const struct snapshot_issuer *s = &g->snap->issuers[i];
        struct gateway_keys *k = &g->keys[i];
        if (s->source != KEY_SOURCE_URL || k->jwks) continue;
        struct buf ca;
        char why[SOURCE_WHY] = "";
        buf_init(&ca, 2 * SOURCE_FILE_MAX);
        /* authorities that cannot be read let nobody in: every attempt fails and says so */
        if (s->ca.n && source_file(child_source(), s->ca, SOURCE_FILE_MAX, &ca, why) != ERR_OK)
            log_event(LOG_LEVEL_ERROR, log_msg("the authorities of an issuer cannot be read"),
                      log_str("issuer", s->name), log_str("why", str_of(why)));
        struct jwks_options o = {.name = s->name,
                                 .url = s->url,
                                 .ca_file = s->ca,
                                 .ca_pem = buf_str(&ca),
                                 .private_ok = s->may_be_private,
                                 .refresh_ms = s->refresh_ms,
                                 .min_interval_ms = s->min_interval_ms,
                                 .take = take,
                                 .user = k};
        if (jwks_new(&g->fetch, &o, &k->jwks) != ERR_OK)
            log_event(LOG_LEVEL_ERROR, log_msg("keys of an issuer cannot be fetched: no memory"),
                      log_str("issuer", s->name));
        buf_free(&ca);
    }
}

/* --- workers that met an unknown key --- */

struct want {
    struct mail mail;
    uint64_t generation;
    uint32_t issuer;
};

static void answer(struct gateway *g, uint32_t issuer)
{
    for (uint32_t w = 0; w < g->n_workers; w++)
        if (worker_keys_answer(g->workers[w], g->snap->generation, issuer) != ERR_OK) ask_later(g);
    g->keys[issuer].wanted = false;
}

/* An attempt that began after the question, or none for a good while: then the workers are told to go on. */
static void on_tick(struct timer *t)
{
    struct gateway *g = CONTAINER_OF(t, struct gateway, keys_timer);
    for (uint32_t i = 0; i < g->n_keys; i++) {
        struct gateway_keys *k = &g->keys[i];
        struct jwks_status s;
        if (!k->wanted) continue;
        if (!k->jwks) {
            answer(g, i);
            continue;
        }
        jwks_status(k->jwks, &s);
        bool soon = s.fetching || s.next_in_ms <= 2 * WANT_TICK_MS;
        if (s.attempts > k->wanted_at_attempt ? !s.fetching : !soon)
            answer(g, i);
        else
            ask_later(g);
    }
}

static void on_want(struct mail *m, void *owner)
{
    struct gateway *g = owner;
    struct want *w = CONTAINER_OF(m, struct want, mail);
    if (w->generation == g->snap->generation && w->issuer < g->n_keys) {
        struct gateway_keys *k = &g->keys[w->issuer];
        struct jwks_status s = {0};
        if (k->jwks) {
            jwks_status(k->jwks, &s);
            jwks_want(k->jwks);
        }
        if (!k->wanted) k->wanted_at_attempt = s.attempts - (s.fetching ? 1 : 0);
        k->wanted = true;
        g->keys_timer.on_time = on_tick;
        ask_later(g);
    }
    free(w);
}

void gateway_keys_wanted(void *ctx, uint64_t generation, uint32_t issuer)
{
    struct gateway *g = ctx;
    struct want *w = malloc(sizeof *w);
    if (!w) return; /* whoever waits is ended by its deadline */
    *w = (struct want){.mail = {.on_mail = on_want}, .generation = generation, .issuer = issuer};
    mail_post(g->loop, &w->mail);
}

/* --- making and freeing --- */

/* Whether the keys fetched for the issuer before the reload are as good as those that would be fetched now. */
static struct gateway_keys *same_source(struct gateway *g, const struct snapshot_issuer *now)
{
    for (uint32_t i = 0; i < g->n_keys; i++) {
        const struct snapshot_issuer *old = &g->snap->issuers[i];
        if (old->source == KEY_SOURCE_URL && str_eq(old->url, now->url) && str_eq(old->ca, now->ca) &&
            str_eq(old->issuer->iss, now->issuer->iss) && old->may_be_private == now->may_be_private)
            return &g->keys[i];
    }
    return NULL;
}

enum err gateway_keys_make(struct gateway *g, const struct snapshot *snap, struct diags *d, struct gateway_keys **out)
{
    struct gateway_keys *keys = calloc(snap->n_issuers + 1, sizeof *keys);
    enum err e = keys ? ERR_OK : ERR_NO_MEMORY;
    for (uint32_t i = 0; keys && i < snap->n_issuers; i++) {
        const struct snapshot_issuer *s = &snap->issuers[i];
        enum err one = ERR_OK;
        keys[i].gateway = g;
        keys[i].index = i;
        if (s->source == KEY_SOURCE_FILE) one = load_file(s, d, &keys[i].keys);
        if (s->source == KEY_SOURCE_SECRET) {
            one = keyset_from_secret(s->secret, s->issuer->algs, &keys[i].keys);
            if (one != ERR_OK)
                diag_add(d, DIAG_ERROR, "secret_too_short", (struct config_pos){0}, 0,
                         STR("use at least 32 random bytes for HS256"),
                         "issuer %.*s: its secret is too short for its algorithms", STR_ARG(s->name));
        }
        struct keyset *fed = s->source == KEY_SOURCE_FEED && g->fed_by ? gateway_feed_keys_now(g->fed_by) : NULL;
        if (fed) keys[i].keys = keyset_ref(fed);
        const struct gateway_keys *old = s->source == KEY_SOURCE_URL && g->snap ? same_source(g, s) : NULL;
        if (old && old->keys) keys[i].keys = keyset_ref(old->keys);
        if (one != ERR_OK) e = one;
    }
    if (e != ERR_OK)
        gateway_keys_free(&keys, keys ? snap->n_issuers : 0);
    else
        *out = keys;
    return e;
}

void gateway_keys_free(struct gateway_keys **k, uint32_t n)
{
    if (!*k) return;
    for (uint32_t i = 0; i < n; i++) {
        if ((*k)[i].jwks) jwks_free(&(*k)[i].jwks);
        keyset_unref(&(*k)[i].keys);
    }
    free(*k);
    *k = NULL;
}
