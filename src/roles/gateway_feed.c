#include "roles/gateway_feed.h"

#include "identity/keyset.h"
#include "roles/gateway_private.h"
#include "roles/gateway_secrets.h"
#include "store/apikey_record.h"
#include "store/product_record.h"
#include "store/revocation_record.h"
#include "store/signing_key_record.h"

#include <stdlib.h>
#include <unistd.h>

#define PRODUCTS_WAIT_MS 20   /* products change together: a snapshot for all of them */
#define AGAIN_MS         1000 /* after a failure that may pass */
#define ANEW_MS          5000 /* and one that only everything anew can mend */
#define LEASE_LOOK_MS    500
#define SCRATCH          (32u << 10)

/* A product of the store, as the next snapshot wants it. */
struct stored {
    struct arena mem;
    struct config_product product;
};

struct gateway_feed {
    struct gateway *gateway;
    struct fed *fed;
    struct store *store; /* NULL: left */
    struct loop *loop;   /* of the store */
    struct store_watch watch;
    char name[STORE_NAME_MAX + 1];
    struct map products;     /* name → struct stored */
    struct map new_products; /* while everything comes anew */
    struct gateway_secrets secrets;
    struct keyset *keys; /* of the Authentication Service; NULL: none */
    bool filling, broken, in_force, watching;
    bool tables_changed, products_changed, keys_seen;
    struct store_position at;        /* of the last change taken in */
    struct store_position sent_at;   /* where it brings them to */
    bool sent_whole;                 /* and nothing is missing up to there: confirmed when it is applied */
    uint64_t sent_number;            /* of the feed record under way; 0: none */
    struct store_position confirmed; /* likewise in force */
    uint64_t products_at_ms;         /* when the next snapshot may be made */
    uint64_t resyncs;
    struct task flush;
    struct timer timer, lease, anew;
    struct mail applied;
    _Atomic bool applied_posted;
    char *scratch;
};

/* --- what was said --- */

static void complain(const char *what, str key)
{
    log_event(LOG_LEVEL_WARN, log_msg(what), log_str("key", key));
}

/* Something could not be taken in: what there is is not all there is, so nothing of it counts until it comes anew. */
static void give_up(struct gateway_feed *f, const char *what)
{
    if (f->broken) return;
    log_event(LOG_LEVEL_ERROR, log_msg("the feed of the store is broken: credentials are refused until it comes anew"),
              log_str("reason", str_of(what)));
    f->broken = true;
    f->in_force = false;
    fed_until_set(f->fed, 0);
    gateway_feed_tables(f->gateway); /* whoever remembers the lease looks it up again */
    timer_set(f->loop, &f->anew, loop_now_ms(f->loop) + ANEW_MS);
}

static void took(struct gateway_feed *f, enum err e)
{
    f->tables_changed = true;
    if (e != ERR_OK) give_up(f, e == ERR_LIMIT ? "more than the tables hold" : "no memory");
}

/* --- products --- */

static void stored_free(struct stored *s)
{
    if (!s) return;
    struct arena mem = s->mem;
    arena_reset(&mem);
    free(s);
}

static void products_clear(struct map *m)
{
    size_t i = 0;
    for (const struct map_slot *s = map_next(m, &i); s; s = map_next(m, &i)) stored_free(s->value);
    map_free(m);
}

static struct map *products_written(struct gateway_feed *f)
{
    return f->filling ? &f->new_products : &f->products;
}

static void products_due(struct gateway_feed *f)
{
    if (f->products_changed) return;
    f->products_changed = true;
    f->products_at_ms = loop_now_ms(f->loop) + (f->in_force ? PRODUCTS_WAIT_MS : 0);
}

static enum err stored_make(str name, str value, struct stored **out)
{
    struct product_record r;
    struct stored *s = calloc(1, sizeof *s);
    if (!s) return ERR_NO_MEMORY;
    arena_init(&s->mem, NULL, 0, RECORD_ARENA + 2 * RECORD_MAX);
    str own = arena_copy(&s->mem, value); /* the record's slices may be of the text */
    enum err e = own.p ? product_record_read(own, &s->mem, &r) : ERR_NO_MEMORY;
    struct config_str *may = e == ERR_OK ? arena_array(&s->mem, (size_t)r.n_may + 1, sizeof *may) : NULL;
    str kept = arena_copy(&s->mem, name);
    if (e == ERR_OK && (!may || !kept.p)) e = ERR_NO_MEMORY;
    if (e != ERR_OK) {
        stored_free(s);
        return e;
    }
    for (uint32_t i = 0; i < r.n_may; i++) may[i].s = r.may[i];
    s->product =
        (struct config_product){.name = kept,
                                .auth = r.auth == PRODUCT_RECORD_TOKEN ? PRODUCT_TOKEN : PRODUCT_APIKEY,
                                .login = r.login == PRODUCT_RECORD_LOGIN_PASSWORD ? LOGIN_PASSWORD : LOGIN_NONE,
                                .proof = r.proof == PRODUCT_RECORD_PROOF_BASIC       ? PROOF_BASIC
                                         : r.proof == PRODUCT_RECORD_PROOF_SIGNATURE ? PROOF_SIGNATURE
                                                                                     : PROOF_NONE,
                                .users.s = r.users,
                                .may = {.v = may, .n = r.n_may}};
    *out = s;
    return ERR_OK;
}

static void product_drop(struct gateway_feed *f, str name)
{
    struct stored *old = map_remove(products_written(f), name);
    if (!old) return;
    stored_free(old);
    products_due(f);
}

static void product_take(struct gateway_feed *f, str name, const struct store_entry *entry)
{
    struct stored *s = NULL;
    enum err e = stored_make(name, entry->value, &s);
    product_drop(f, name);
    if (e == ERR_OK && map_put(products_written(f), s->product.name, s, NULL) != ERR_OK) {
        stored_free(s);
        e = ERR_NO_MEMORY;
    }
    if (e == ERR_NO_MEMORY)
        give_up(f, "no memory");
    else if (e != ERR_OK)
        complain("a product of the store cannot be read: left out", entry->key);
    else
        products_due(f);
}

enum err gateway_feed_products(const struct gateway_feed *f, struct arena *mem, const struct config_product **out,
                               uint32_t *n)
{
    struct config_product *all = arena_array(mem, f->products.n + 1, sizeof *all);
    size_t i = 0;
    if (!all) return ERR_NO_MEMORY;
    *n = 0;
    for (const struct map_slot *s = map_next(&f->products, &i); s; s = map_next(&f->products, &i))
        all[(*n)++] = ((const struct stored *)s->value)->product;
    *out = all;
    return ERR_OK;
}

void gateway_feed_secrets(struct gateway_feed *f, struct snapshot *snap)
{
    gateway_secrets_open(&f->secrets, snap);
    gateway_secrets_put(&f->secrets, snap);
}

/* Opened ones belong to a snapshot, so a new one is due, if anybody signs at all. */
static void secret_take(struct gateway_feed *f, const struct store_entry *entry, bool there, struct arena *mem)
{
    if (gateway_secrets_take(&f->secrets, f->filling, entry->key, there ? entry : NULL, mem) != ERR_OK)
        give_up(f, "no memory");
    else if (f->secrets.opened)
        products_due(f);
}

/* --- keys, revocations --- */

static void apikey_take(struct gateway_feed *f, str id, const struct store_entry *entry, struct arena *mem)
{
    struct apikey_record r;
    if (apikey_record_read(entry->value, mem, &r) != ERR_OK) {
        complain("an API key of the store cannot be read: refused", entry->key);
        fed_key_remove(f->fed, id);
        f->tables_changed = true;
        return;
    }
    int64_t expires_s = r.expires_s;
    if (entry->expires_s && (!expires_s || entry->expires_s < expires_s)) expires_s = entry->expires_s;
    struct fed_key key = {.product = r.product, .expires_s = expires_s, .disabled = r.disabled.n > 0};
    memcpy(key.sha256, r.sha256, sizeof key.sha256);
    took(f, fed_key_put(f->fed, id, &key));
}

static uint64_t mark_of(const struct revocation_target *t)
{
    switch (t->kind) {
    case REVOCATION_TOKEN: return fed_mark(FED_TOKEN, STR_NONE, t->value);
    case REVOCATION_SESSION: return fed_mark(FED_SESSION, STR_NONE, t->value);
    case REVOCATION_USER: return fed_mark(FED_USER, t->issuer, t->value);
    case REVOCATION_PRODUCT: return fed_mark(FED_PRODUCT, STR_NONE, t->value);
    case REVOCATION_ALL:
    case REVOCATION_KINDS: break;
    }
    return fed_mark(FED_ALL, STR_NONE, STR_NONE);
}

/* Whoever wrote one that we cannot read meant to take something back: if it can be told what, it is, whenever issued.
 */
static void revocation_take(struct gateway_feed *f, const struct store_entry *entry, bool there, struct arena *mem)
{
    struct revocation_target target;
    struct revocation_record r = {.before_s = INT64_MAX};
    if (revocation_record_key_read(entry->key, mem, &target) != ERR_OK) {
        complain("a revocation of the store names nothing that is known", entry->key);
        return;
    }
    uint64_t mark = mark_of(&target);
    if (!there) {
        fed_mark_remove(f->fed, mark);
        f->tables_changed = true;
        return;
    }
    if (revocation_record_read(entry->value, mem, &r) != ERR_OK)
        complain("a revocation of the store cannot be read: it counts for good", entry->key);
    took(f, fed_mark_put(f->fed, mark, r.before_s));
}

/* --- keys of the Authentication Service --- */

struct keyset *gateway_feed_keys_now(const struct gateway_feed *f)
{
    return f->keys;
}

/* Takes the reference over. */
static void keys_set(struct gateway_feed *f, struct keyset *keys)
{
    keyset_unref(&f->keys);
    f->keys = keys;
    gateway_keys_fed(f->gateway, keys);
    f->tables_changed = true; /* a record follows, so that this is confirmed too */
}

static void keys_take(struct gateway_feed *f, const struct store_entry *entry, struct arena *mem)
{
    const struct json *jwks;
    struct keyset *keys;
    f->keys_seen = true;
    enum err e = issuer_keys_read(entry->value, mem, &jwks, NULL);
    if (e == ERR_OK) e = keyset_from_json(jwks, false, &keys);
    if (e == ERR_OK)
        keys_set(f, keys);
    else
        complain("keys of the Authentication Service cannot be read: the old ones stay", entry->key);
}

/* --- changes as they come --- */

static void take(struct gateway_feed *f, const struct store_entry *entry, bool there)
{
    struct arena mem;
    str id;
    arena_init(&mem, f->scratch, SCRATCH, 2u << 20);
    if (str_starts(entry->key, APIKEY_RECORD_PREFIX) && apikey_record_key_read(entry->key, &id) == ERR_OK) {
        if (there) {
            apikey_take(f, id, entry, &mem);
        } else {
            fed_key_remove(f->fed, id);
            f->tables_changed = true;
        }
    } else if (str_starts(entry->key, PRODUCT_RECORD_PREFIX) && product_record_key_read(entry->key, &id) == ERR_OK) {
        if (there)
            product_take(f, id, entry);
        else
            product_drop(f, id);
    } else if (str_starts(entry->key, GATEWAY_SECRETS_PREFIX)) {
        secret_take(f, entry, there, &mem);
    } else if (str_starts(entry->key, REVOCATION_PREFIX)) {
        revocation_take(f, entry, there, &mem);
    } else if (str_eq(entry->key, ISSUER_KEYS_KEY)) {
        if (there)
            keys_take(f, entry, &mem);
        else
            keys_set(f, NULL);
    }
    arena_reset(&mem);
}

static void fill_begin(struct gateway_feed *f)
{
    products_clear(&f->new_products);
    gateway_secrets_fill_begin(&f->secrets);
    f->filling = true;
    f->keys_seen = false;
    f->resyncs++;
    if (fed_fill_begin(f->fed) != ERR_OK) give_up(f, "no memory");
}

/* What was filled takes the place of what there was, whole: nothing was accepted or refused by half of it. */
static void fill_end(struct gateway_feed *f)
{
    f->filling = false;
    fed_fill_end(f->fed);
    gateway_secrets_fill_end(&f->secrets);
    f->products_changed = f->products_changed || f->products.n || f->new_products.n || f->secrets.opened;
    f->products_at_ms = loop_now_ms(f->loop);
    products_clear(&f->products);
    f->products = f->new_products;
    f->new_products = (struct map){0};
    f->tables_changed = true;
    if (!f->keys_seen && f->keys) keys_set(f, NULL);
}

static void on_change(struct store_watch *w, const struct store_change *c)
{
    struct gateway_feed *f = CONTAINER_OF(w, struct gateway_feed, watch);
    switch (c->kind) {
    case STORE_RESYNC_BEGIN: fill_begin(f); break;
    case STORE_CHANGED: take(f, &c->entry, true); break;
    case STORE_REMOVED: take(f, &c->entry, false); break;
    case STORE_RESYNC_END: fill_end(f); break;
    }
    f->at = c->at;
    loop_defer(f->loop, &f->flush);
}

/* --- to the workers, and back to the store --- */

static bool same(struct store_position a, struct store_position b)
{
    return a.epoch == b.epoch && a.number == b.number;
}

static void confirm(struct gateway_feed *f, struct store_position at)
{
    if (same(f->confirmed, at)) return;
    f->confirmed = at;
    store_watch_confirm(f->store, &f->watch, at);
}

/* The lease as the workers have it: nothing counts before the first whole view does. */
static void pass_lease(struct gateway_feed *f)
{
    if (f->in_force && !f->broken) fed_until_set(f->fed, f->watch.fresh_until_ms * 1000000);
}

static void make_snapshot(struct gateway_feed *f)
{
    uint64_t now = loop_now_ms(f->loop);
    if (now < f->products_at_ms) {
        timer_set(f->loop, &f->timer, f->products_at_ms);
    } else if (gateway_rebuild(f->gateway) != ERR_OK) {
        f->products_at_ms = now + AGAIN_MS;
        timer_set(f->loop, &f->timer, f->products_at_ms);
    }
}

void gateway_feed_snapshot_sent(struct gateway_feed *f)
{
    if (f->filling || !f->products_changed) return;
    f->products_changed = false;
    f->tables_changed = true; /* a record behind it, whose coming back says that the snapshot is in force */
    loop_defer(f->loop, &f->flush);
}

static void flush(struct gateway_feed *f)
{
    struct gateway *g = f->gateway;
    if (!f->store || f->filling || f->broken || f->sent_number || !g->n_workers) return;
    if (f->products_changed) make_snapshot(f);
    if (f->tables_changed) {
        gateway_feed_tables(g);
    } else {
        if (!f->products_changed && f->in_force) confirm(f, f->at);
        return;
    }
    f->tables_changed = false;
    f->sent_number = g->feed.number;
    f->sent_at = f->at;
    f->sent_whole = !f->products_changed; /* products are still to come: so is what they go with */
    fed_seal(f->fed, f->sent_number);
}

static uint64_t applied_by_all(const struct gateway *g)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t w = 0; w < g->n_workers; w++) {
        uint64_t n = atomic_load_explicit(&g->workers[w]->numbers.feed.v, memory_order_acquire);
        if (n < least) least = n;
    }
    return least;
}

static void on_applied(struct mail *m, void *owner)
{
    struct gateway_feed *f = CONTAINER_OF(m, struct gateway_feed, applied);
    (void)owner;
    if (!f->store) return; /* and stays posted: nobody writes again */
    atomic_store(&f->applied_posted, false);
    uint64_t number = applied_by_all(f->gateway);
    if (!f->sent_number || number < f->sent_number) return;
    fed_reclaim(f->fed, f->sent_number);
    f->sent_number = 0;
    if (f->sent_whole && !f->broken) {
        if (!f->in_force)
            log_event(LOG_LEVEL_INFO, log_msg("the feed of the store is in force"),
                      log_u64("number", f->sent_at.number), log_u64("keys", fed_keys(f->fed)),
                      log_u64("revocations", fed_marks(f->fed)));
        f->in_force = true;
        confirm(f, f->sent_at);
        pass_lease(f);
    }
    flush(f);
}

void gateway_feed_applied(void *gateway)
{
    struct gateway_feed *f = ((struct gateway *)gateway)->fed_by;
    if (!f || atomic_exchange(&f->applied_posted, true)) return;
    mail_post(f->loop, &f->applied);
}

static void on_flush(struct task *t)
{
    flush(CONTAINER_OF(t, struct gateway_feed, flush));
}

static void on_timer(struct timer *t)
{
    flush(CONTAINER_OF(t, struct gateway_feed, timer));
}

static void on_lease(struct timer *t)
{
    struct gateway_feed *f = CONTAINER_OF(t, struct gateway_feed, lease);
    uint64_t each = f->watch.lease_ms / 16;
    pass_lease(f);
    if (f->gateway->feed_gap) gateway_feed_again(f->gateway);
    timer_set(f->loop, t, loop_now_ms(f->loop) + (each < LEASE_LOOK_MS ? each : LEASE_LOOK_MS));
}

/* At once: a gateway that says it is ready has workers that know of the lease. */
static void on_fresh(struct store_watch *w)
{
    pass_lease(CONTAINER_OF(w, struct gateway_feed, watch));
}

static void on_link(struct store_watch *w, bool up)
{
    struct gateway_feed *f = CONTAINER_OF(w, struct gateway_feed, watch);
    (void)f;
    log_event(up ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
              log_msg(up ? "the gateway hears the store" : "the gateway hears nothing from the store"));
}

/* From the beginning, after what was given up. */
static void on_anew(struct timer *t)
{
    struct gateway_feed *f = CONTAINER_OF(t, struct gateway_feed, anew);
    if (f->watching) store_watch_stop(f->store, &f->watch);
    f->watching = false;
    f->broken = f->filling = false;
    f->at = f->confirmed = (struct store_position){0};
    if (gateway_feed_start(f) != ERR_OK) timer_set(f->loop, t, loop_now_ms(f->loop) + ANEW_MS);
}

/* --- life --- */

enum err gateway_feed_new(struct gateway *g, struct store *store, struct gateway_feed **out)
{
    struct gateway_feed *f = calloc(1, sizeof *f);
    if (f) f->scratch = malloc(SCRATCH);
    if (!f || !f->scratch) {
        free(f);
        store_free(&store);
        return ERR_NO_MEMORY;
    }
    char host[32] = "host";
    (void)gethostname(host, sizeof host - 1);
    f->gateway = g;
    f->fed = g->fed;
    f->store = store;
    f->loop = store->loop;
    f->flush.run = on_flush;
    f->timer.on_time = on_timer;
    f->lease.on_time = on_lease;
    f->anew.on_time = on_anew;
    f->applied.on_mail = on_applied;
    gateway_secrets_open(&f->secrets, g->snap);
    int n = snprintf(f->name, sizeof f->name, "gateway/%s/%ld", host, (long)getpid());
    f->watch = (struct store_watch){.space = STORE_CONTROL,
                                    .prefix = STR(""),
                                    .name = str_make(f->name, (size_t)n),
                                    .lease_ms = g->snap->lease_ms,
                                    .on_change = on_change,
                                    .on_link = on_link,
                                    .on_fresh = on_fresh};
    *out = f;
    return ERR_OK;
}

enum err gateway_feed_start(struct gateway_feed *f)
{
    f->watch.from = (struct store_position){0};
    enum err e = store_watch_start(f->store, &f->watch);
    if (e != ERR_OK) return e;
    f->watching = true;
    on_lease(&f->lease);
    return ERR_OK;
}

static bool is_applied(struct mail *m, void *whose)
{
    return m == whose;
}

void gateway_feed_leave(struct gateway_feed *f)
{
    if (!f->store) return;
    timer_clear(f->loop, &f->timer);
    timer_clear(f->loop, &f->lease);
    timer_clear(f->loop, &f->anew);
    if (f->watching) store_watch_stop(f->store, &f->watch);
    f->watching = false;
    store_free(&f->store);
    f->store = NULL;
    loop_undefer(f->loop, &f->flush);
}

void gateway_feed_free(struct gateway_feed **out)
{
    struct gateway_feed *f = *out;
    if (!f) return;
    *out = NULL;
    gateway_feed_leave(f);
    (void)mail_take_back(f->loop, is_applied, &f->applied);
    products_clear(&f->products);
    products_clear(&f->new_products);
    gateway_secrets_free(&f->secrets);
    keyset_unref(&f->keys);
    free(f->scratch);
    free(f);
}

struct store *gateway_feed_store(const struct gateway_feed *f)
{
    return f->store;
}

void gateway_feed_status(const struct gateway_feed *f, struct gateway_feed_status *out)
{
    uint64_t now = loop_now_ms(f->loop), heard = f->watch.fresh_until_ms;
    heard = heard > f->watch.lease_ms ? heard - f->watch.lease_ms : 0;
    bool lease = now < f->watch.fresh_until_ms;
    *out = (struct gateway_feed_status){.in_force = f->in_force && !f->broken && lease,
                                        .linked = f->watch.up,
                                        .at = f->confirmed,
                                        .age_ms = heard && now >= heard ? now - heard
                                                  : heard               ? 0
                                                                        : UINT64_MAX,
                                        .keys = fed_keys(f->fed),
                                        .revocations = fed_marks(f->fed),
                                        .products = f->products.n,
                                        .bytes = fed_bytes(f->fed),
                                        .resyncs = f->resyncs};
    out->why = f->broken      ? "it could not be taken in whole"
               : !f->in_force ? "not heard from the store yet"
               : !lease       ? "nothing heard from the store for longer than the lease"
                              : "";
}
