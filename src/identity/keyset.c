#include "identity/keyset.h"

#include "identity/jwk.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { KEYSET_ARENA = 1 << 20, PARSE_ARENA = 16 << 20, NOTE_KID = 64 };

/* A key as it is chosen: its name and what it may be used with, side by side so that a search touches one line. */
struct entry {
    str kid; /* .p NULL: none */
    uint32_t algs;
    struct key *key;
};

struct keyset {
    _Atomic uint32_t refs;
    uint32_t n, n_notes, algs;
    bool any_kid; /* the one key fits whatever name a token gives */
    uint64_t serial;
    struct entry *entries;
    struct jwk_note *notes;
    struct arena mem;
};

static struct keyset *keyset_alloc(size_t n)
{
    static _Atomic uint64_t last_serial;
    struct keyset *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    atomic_init(&s->refs, 1);
    s->serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
    arena_init(&s->mem, NULL, 0, KEYSET_ARENA);
    s->entries = arena_array(&s->mem, n, sizeof *s->entries);
    s->notes = arena_array(&s->mem, n, sizeof *s->notes);
    if (s->entries && s->notes) return s;
    keyset_unref(&s);
    return NULL;
}

struct keyset *keyset_ref(struct keyset *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void keyset_unref(struct keyset **s)
{
    struct keyset *gone = *s;
    *s = NULL;
    if (!gone || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < gone->n; i++) key_unref(&gone->entries[i].key);
    arena_reset(&gone->mem);
    free(gone);
}

unsigned keyset_prepare(const struct keyset *s)
{
    unsigned n = 0;
    for (size_t i = 0; i < s->n && n < KEYSET_PREPARED; i++) n += key_prepare(s->entries[i].key);
    return n;
}

/* Takes the key over. ERR_NO_MEMORY (the key is let go then). */
static enum err add_key(struct keyset *s, struct key *key, str kid)
{
    struct entry e = {.kid = kid, .algs = key_algs(key), .key = key};
    if (kid.p) e.kid = arena_copy(&s->mem, kid);
    if (kid.p && !e.kid.p) {
        key_unref(&key);
        return ERR_NO_MEMORY;
    }
    s->entries[s->n++] = e;
    s->algs |= e.algs;
    return ERR_OK;
}

static enum err add_note(struct keyset *s, uint32_t index, enum jwk_fault fault, str kid)
{
    struct jwk_note note = {.index = index, .fault = fault, .kid = arena_copy(&s->mem, str_first(kid, NOTE_KID))};
    if (!note.kid.p) return ERR_NO_MEMORY;
    s->notes[s->n_notes++] = note;
    return ERR_OK;
}

static enum err add_all(struct keyset *s, const struct json *keys, bool symmetric)
{
    uint32_t index = 0;
    for (const struct json *v = keys->first; v; v = v->next, index++) {
        struct jwk jwk;
        enum jwk_fault fault;
        str kid;
        enum err e = jwk_read(v, symmetric, &kid, &jwk, &fault);
        if (e == ERR_OK)
            e = add_key(s, jwk.key, jwk.kid);
        else if (e == ERR_DENIED)
            e = add_note(s, index, fault, kid);
        if (e != ERR_OK) return e;
    }
    return ERR_OK;
}

enum err keyset_from_json(const struct json *jwks, bool symmetric, struct keyset **out)
{
    const struct json *keys = json_get(jwks, STR("keys"));
    if (!keys || keys->type != JSON_ARRAY) return ERR_MALFORMED;
    if (keys->count > KEYSET_MAX_KEYS) return ERR_LIMIT;
    struct keyset *s = keyset_alloc(keys->count);
    if (!s) return ERR_NO_MEMORY;
    enum err e = add_all(s, keys, symmetric);
    if (e != ERR_OK)
        keyset_unref(&s);
    else
        *out = s;
    return e;
}

enum err keyset_from_jwks(str json, bool symmetric, struct keyset **out, enum json_fault *fault)
{
    struct arena mem;
    const struct json *v;
    arena_init(&mem, NULL, 0, PARSE_ARENA);
    if (fault) *fault = JSON_FAULT_NONE;
    enum err e = json_parse(json, &json_limits_document, &mem, &v, fault, NULL);
    if (e == ERR_OK) e = keyset_from_json(v, symmetric, out);
    arena_reset(&mem);
    return e;
}

enum err keyset_from_secret(str secret, uint32_t algs, struct keyset **out)
{
    struct key *key;
    enum err e = key_new_hmac(secret, algs, &key, NULL);
    if (e != ERR_OK) return e;
    struct keyset *s = keyset_alloc(1);
    if (!s) {
        key_unref(&key);
        return ERR_NO_MEMORY;
    }
    e = add_key(s, key, STR_NONE);
    if (e != ERR_OK) {
        keyset_unref(&s);
        return e;
    }
    s->any_kid = true;
    *out = s;
    return ERR_OK;
}

uint64_t keyset_serial(const struct keyset *s)
{
    return s->serial;
}

bool keyset_equal(const struct keyset *a, const struct keyset *b)
{
    if (a->n != b->n || a->any_kid != b->any_kid) return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct entry *x = &a->entries[i], *y = &b->entries[i];
        if (!x->kid.p != !y->kid.p || !str_eq(x->kid, y->kid) || !key_equal(x->key, y->key)) return false;
    }
    return true;
}

size_t keyset_count(const struct keyset *s)
{
    return s->n;
}

uint32_t keyset_algs(const struct keyset *s)
{
    return s->algs;
}

const struct jwk_note *keyset_notes(const struct keyset *s, size_t *n)
{
    *n = s->n_notes;
    return s->notes;
}

enum err keyset_choose(const struct keyset *s, enum alg alg, str kid, const struct key **out)
{
    const struct key *chosen = NULL;
    uint32_t bit = alg_bit(alg);
    bool named = false;
    for (size_t i = 0; i < s->n; i++) {
        const struct entry *e = &s->entries[i];
        if (kid.p && !s->any_kid && (!e->kid.p || !str_eq(e->kid, kid))) continue;
        named = true;
        if (!(e->algs & bit)) continue;
        if (chosen) return ERR_CONFLICT;
        chosen = e->key;
    }
    if (!chosen) return kid.p && named ? ERR_DENIED : ERR_NOT_FOUND;
    *out = chosen;
    return ERR_OK;
}
