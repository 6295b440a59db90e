#include "roles/gateway_secrets.h"

#include "base/log.h"
#include "roles/seal_key.h"
#include "store/product_record.h"

#include <stdlib.h>

/* --- what came, sealed --- */

struct sealed {
    size_t n;
    char text[];
};

static void clear(struct map *m)
{
    size_t i = 0;
    for (const struct map_slot *s = map_next(m, &i); s; s = map_next(m, &i)) free(s->value);
    map_free(m);
}

static enum err keep(struct map *m, str name, str text)
{
    struct sealed *one = malloc(sizeof *one + text.n + name.n);
    void *old = NULL;
    if (!one) return ERR_NO_MEMORY;
    one->n = text.n;
    memcpy(one->text, text.p, text.n);
    memcpy(one->text + text.n, name.p, name.n); /* the map's key lives with its value */
    free(map_remove(m, name));
    if (map_put(m, str_make(one->text + text.n, name.n), one, &old) == ERR_OK) return ERR_OK;
    free(one);
    return ERR_NO_MEMORY;
}

enum err gateway_secrets_take(struct gateway_secrets *s, bool filling, str key, const struct store_entry *entry,
                              struct arena *mem)
{
    struct product_secret_record r;
    struct map *m = filling ? &s->next : &s->now;
    str name = str_from(key, GATEWAY_SECRETS_PREFIX.n);
    bool good = entry && record_name_ok(name) && product_secret_read(entry->value, mem, &r) == ERR_OK && !r.disabled.n;
    if (good) return keep(m, name, r.mac_key);
    free(map_remove(m, name));
    return ERR_OK;
}

void gateway_secrets_fill_begin(struct gateway_secrets *s)
{
    clear(&s->next);
}

void gateway_secrets_fill_end(struct gateway_secrets *s)
{
    clear(&s->now);
    s->now = s->next;
    s->next = (struct map){0};
}

/* --- opened, for a snapshot --- */

static bool anybody_signs(const struct snapshot *snap)
{
    for (uint32_t i = 0; i < snap->n_actions; i++)
        if (snapshot_action_accepts_any(&snap->actions[i]) & ACCEPT_SIGNATURE) return true;
    return false;
}

void gateway_secrets_open(struct gateway_secrets *s, const struct snapshot *snap)
{
    if (s->opened || !anybody_signs(snap)) return;
    s->opened = seal_key_load(snap, &s->seal) == ERR_OK;
    if (!s->opened)
        log_event(LOG_LEVEL_ERROR,
                  log_msg("no sealing key: signatures with apisecrets of the store are refused; see `seal`"));
}

static void put(struct gateway_secrets *s, struct snapshot *snap, const struct snapshot_product *p,
                const struct sealed *sealed)
{
    struct record_key room;
    struct secret key;
    str place = record_key_join(&room, (const str[]){STR("control"), STR("secret"), p->name}, 3);
    enum err e = s->opened ? seal_open(&s->seal, place, str_make(sealed->text, sealed->n), &key) : ERR_NOT_FOUND;
    if (e == ERR_OK) {
        e = snapshot_put_mac_key(snap, p->index, secret_view(&key));
        secret_free(&key);
    }
    if (e == ERR_OK || e == ERR_CONFLICT) return;
    log_event(LOG_LEVEL_ERROR, log_msg("a product's apisecret does not open: its signatures are refused"),
              log_str("product", p->name),
              log_str("reason", e == ERR_DENIED ? STR("sealed with another key") : str_of(err_name(e))));
}

void gateway_secrets_put(struct gateway_secrets *s, struct snapshot *snap)
{
    for (uint32_t i = 0; s->now.n && i < snap->n_products; i++) {
        const struct snapshot_product *p = &snap->products[i];
        const struct sealed *sealed = map_get(&s->now, p->name);
        if (sealed && snapshot_product_signs(snap, p)) put(s, snap, p, sealed);
    }
}

void gateway_secrets_free(struct gateway_secrets *s)
{
    clear(&s->now);
    clear(&s->next);
    seal_wipe(&s->seal);
    s->opened = false;
}
