/* From the store to the plan: what stands under "signing-", and private keys out of their seals. */
#include "base/log.h"
#include "identity/mint.h"
#include "services/signing_keys.h"

#include <stdlib.h>

static enum err read_key(struct signing_plan *p, struct arena *mem, const struct store_entry *e)
{
    str kid;
    struct signing_plan_key *key = &p->keys[p->n];
    if (p->n == SIGNING_KEYS_ROOM) return ERR_LIMIT;
    enum err err = signing_key_record_key_read(e->key, &kid);
    if (err == ERR_OK) err = signing_key_record_read(e->value, mem, &key->record);
    if (err != ERR_OK) return err;
    memcpy(key->kid, kid.p, kid.n);
    key->kid_n = kid.n;
    key->version = e->version;
    key->record.jwk = arena_copy(mem, key->record.jwk); /* the answer goes before the plan does */
    if (!key->record.jwk.p) return ERR_NO_MEMORY;
    p->n++;
    return ERR_OK;
}

static enum err read_request(struct signing_plan *p, struct arena *mem, const struct store_entry *e)
{
    str id = str_from(e->key, SIGNING_REQUEST_PREFIX.n);
    if (p->has_request) return ERR_OK;
    if (!id.n || id.n > sizeof p->request_id) return ERR_MALFORMED;
    enum err err = signing_request_read(e->value, mem, &p->request);
    if (err != ERR_OK) p->request = (struct signing_request){.kind = SIGNING_REQUEST_RETIRE, .kid = STR("none")};
    p->request.kid = arena_copy(mem, p->request.kid); /* one that cannot be read names no key, and is dropped so */
    p->request.by = arena_copy(mem, p->request.by);
    if (!p->request.kid.p || !p->request.by.p) return ERR_NO_MEMORY;
    memcpy(p->request_id, id.p, id.n);
    p->request_id_n = id.n;
    p->request_version = e->version;
    p->has_request = true;
    return ERR_OK;
}

static enum err read_turn(struct signing_plan *p, struct arena *mem, const struct store_entry *e)
{
    struct record_reader r;
    enum err err = record_open(&r, e->value, mem);
    if (err != ERR_OK) return err;
    p->turn = record_u64(&r, "turn");
    p->sticky = alg_from_name(record_str_if(&r, "alg"));
    p->sticky_over = alg_from_name(record_str_if(&r, "over"));
    p->turn_version = e->version;
    return r.err;
}

enum err signing_plan_read(const struct store_entry *entries, uint32_t n, struct arena *mem, struct signing_plan *p)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct store_entry *e = &entries[i];
        enum err err = ERR_OK;
        if (str_starts(e->key, SIGNING_KEY_PREFIX))
            err = read_key(p, mem, e);
        else if (str_starts(e->key, SIGNING_REQUEST_PREFIX))
            err = read_request(p, mem, e);
        else if (str_eq(e->key, SIGNING_TURN_KEY))
            err = read_turn(p, mem, e);
        if (err == ERR_MALFORMED) {
            log_event(LOG_LEVEL_ERROR, log_msg("a signing key's record cannot be read"), log_str("key", e->key));
            continue;
        }
        if (err != ERR_OK) return err;
    }
    return ERR_OK;
}

struct signing_key *signing_key_ref(struct signing_key *k)
{
    k->refs++;
    return k;
}

void signing_key_unref(struct signing_key **k)
{
    struct signing_key *s = *k;
    *k = NULL;
    if (!s || --s->refs) return;
    signer_free(&s->signer);
    free(s);
}

str signing_key_place(struct record_key *room, str kid)
{
    return record_key_join(room, (const str[]){STR("authentication"), STR("signing-key"), kid}, 3);
}

struct signing_key *signing_key_open(const struct seal *seal, const struct signing_plan_key *p)
{
    struct record_key room;
    struct secret jwk;
    struct arena mem;
    str kid;
    struct signing_key *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    enum err e = seal_open(seal, signing_key_place(&room, str_make(p->kid, p->kid_n)), p->record.jwk, &jwk);
    if (e == ERR_OK) {
        arena_init(&mem, NULL, 0, RECORD_ARENA);
        e = signer_from_jwk(secret_view(&jwk), &mem, &kid, &s->signer);
        arena_reset(&mem);
        secret_free(&jwk);
    }
    if (e != ERR_OK || signer_alg(s->signer) != p->record.alg) {
        signer_free(&s->signer);
        free(s);
        return NULL;
    }
    s->refs = 1;
    s->alg = p->record.alg;
    memcpy(s->kid, p->kid, p->kid_n);
    s->kid_n = p->kid_n;
    return s;
}
