#include "proxy/token_cache.h"

#include "config/fed.h"
#include "http/message.h"
#include "identity/issuer.h"
#include "identity/principal.h"

#include <stdlib.h>

#define HITS_MAX 3
#define TAIL     16u /* bytes of the token that are hashed: the signature's end, different for any two good tokens */

static const size_t sizes[TOKEN_CACHE_SIZES] = {768, 1024, 1536, 2048, 3072, 4096, 6144, 8192};

void token_cache_init(struct token_cache *c, uint32_t sets, size_t max_bytes)
{
    *c = (struct token_cache){.sets = sets, .max_bytes = max_bytes};
    for (int i = 0; i < TOKEN_CACHE_SIZES; i++) slab_init(&c->slabs[i], sizes[i], 32, SIZE_MAX / sizes[i]);
}

/* The slab that holds entries of `need` bytes; TOKEN_CACHE_SIZES: none does. */
static int slab_for(size_t need)
{
    int i = 0;
    while (i < TOKEN_CACHE_SIZES && sizes[i] < need) i++;
    return i;
}

static struct token_entry *entry_alloc(struct token_cache *c, size_t need)
{
    int i = slab_for(need);
    return i < TOKEN_CACHE_SIZES ? slab_take(&c->slabs[i]) : malloc(need);
}

static void entry_free(struct token_cache *c, struct token_entry *e)
{
    int i = slab_for(e->size);
    c->bytes -= e->size;
    if (i < TOKEN_CACHE_SIZES)
        slab_give(&c->slabs[i], e);
    else
        free(e);
}

static void unlink_way(struct token_cache *c, struct token_entry **way)
{
    struct token_entry *e = *way;
    *way = NULL;
    e->linked = false;
    if (e->pins == 0) entry_free(c, e);
}

void token_cache_free(struct token_cache *c)
{
    for (size_t i = 0; c->ways && i < (size_t)c->sets * TOKEN_CACHE_WAYS; i++)
        if (c->ways[i]) unlink_way(c, &c->ways[i]);
    free(c->ways);
    c->ways = NULL;
    for (int i = 0; i < TOKEN_CACHE_SIZES; i++) slab_free(&c->slabs[i]);
}

static uint64_t token_hash(str token)
{
    return map_hash(str_from(token, token.n > TAIL ? token.n - TAIL : 0)) ^ token.n;
}

static struct token_entry **set_of(const struct token_cache *c, uint64_t hash)
{
    return c->ways + (size_t)(hash & (c->sets - 1)) * TOKEN_CACHE_WAYS;
}

struct token_entry *token_cache_find(struct token_cache *c, str token, int64_t now_s, uint64_t snapshot,
                                     struct keyset *const *keysets)
{
    if (!c->ways) return NULL;
    uint64_t hash = token_hash(token);
    struct token_entry **set = set_of(c, hash);
    for (int i = 0; i < TOKEN_CACHE_WAYS; i++) {
        struct token_entry *e = set[i];
        if (!e || e->hash != hash || !str_eq(e->token, token)) continue;
        const struct keyset *keys = e->snapshot == snapshot ? keysets[e->caller.issuer] : NULL;
        if (e->caller.exp_s <= now_s || !keys || keyset_serial(keys) != e->keyset) {
            unlink_way(c, &set[i]);
            break;
        }
        if (e->hits < HITS_MAX) e->hits++;
        e->pins++;
        c->found++;
        return e;
    }
    c->missed++;
    return NULL;
}

/* --- making an entry: one block that holds everything --- */

struct layout {
    char *at;
    bool bad; /* a value that may not stand in a field */
};

static str put_copy(struct layout *l, str s)
{
    str out = {l->at, s.n};
    if (s.n) memcpy(l->at, s.p, s.n);
    l->at += s.n;
    return out;
}

/* A field line; what it is to say is written in between. */
static char *line_begin(struct layout *l, enum field_id id)
{
    l->at = str_put(l->at, field_name(id));
    l->at = str_put(l->at, STR(": "));
    return l->at;
}

/* Gives the value; a line without one is taken back. Encoded values are good by construction; as they are written many
 * times and looked at only here, they are looked at here. */
static str line_end(struct layout *l, enum field_id id, char *value)
{
    str out = str_make(value, (size_t)(l->at - value));
    if (!out.n)
        l->at = value - field_name(id).n - 2;
    else
        l->at = str_put(l->at, STR("\r\n"));
    l->bad = l->bad || !field_value_ok(out);
    return out;
}

static str put_value(struct layout *l, enum field_id id, str s)
{
    char *from = line_begin(l, id);
    l->at = header_value_encode(s, l->at);
    return line_end(l, id, from);
}

static str put_list(struct layout *l, enum field_id id, const str *v, uint32_t n)
{
    char *from = line_begin(l, id);
    for (uint32_t i = 0; i < n; i++) {
        if (i) *l->at++ = ',';
        l->at = header_value_encode(v[i], l->at);
    }
    return line_end(l, id, from);
}

static str put_principal(struct layout *l, enum field_id id, str prefix, str sub)
{
    char *from = line_begin(l, id);
    if (prefix.n) {
        l->at = principal_part_encode(prefix, l->at);
        *l->at++ = ':';
    }
    l->at = principal_part_encode(sub, l->at);
    return line_end(l, id, from);
}

static size_t list_room(const str *v, uint32_t n)
{
    size_t room = n;
    for (uint32_t i = 0; i < n; i++) room += header_value_encoded_len(v[i]);
    return room;
}

/* The four names, with colon, blank and line end. */
static size_t names_room(void)
{
    return field_name(FIELD_X_USER_ID).n + field_name(FIELD_X_USER_ROLES).n + field_name(FIELD_X_USER_PERMISSIONS).n +
           field_name(FIELD_X_CLIENT_ID).n + 4 * 4;
}

static uint32_t find_grantors(const struct snapshot *snap, const struct claims *claims, uint16_t *out)
{
    uint32_t n = 0;
    uint16_t every_user = snap->issuers[claims->issuer].grantor;
    if (every_user != SNAPSHOT_NO_GRANTOR) out[n++] = every_user;
    for (uint32_t i = 0; i < claims->n_roles; i++) {
        uint16_t g = snapshot_role(snap, claims->roles[i]);
        if (g != SNAPSHOT_NO_GRANTOR) out[n++] = g;
    }
    for (uint32_t i = 0; i < claims->n_permissions; i++) {
        uint16_t g = snapshot_permission(snap, claims->permissions[i]);
        if (g != SNAPSHOT_NO_GRANTOR) out[n++] = g;
    }
    return n;
}

static void put_marks(struct token_entry *e, const struct claims *claims, const struct snapshot *snap)
{
    const struct snapshot_issuer *issuer = &snap->issuers[claims->issuer];
    e->iat_s = claims->iat_s;
    e->marks[MARK_USER] = fed_mark(FED_USER, issuer->name, claims->sub); /* limits count by it, too */
    if (!snap->fed) return;
    if (claims->jti.n) e->marks[MARK_TOKEN] = fed_mark(FED_TOKEN, STR_NONE, claims->jti);
    /* sessions are ours: another issuer's `sid` is none of them */
    if (claims->sid.n && issuer->source == KEY_SOURCE_FEED)
        e->marks[MARK_SESSION] = fed_mark(FED_SESSION, STR_NONE, claims->sid);
    if (claims->product.n) e->marks[MARK_PRODUCT] = fed_mark(FED_PRODUCT, STR_NONE, claims->product);
}

static struct token_entry *entry_make(struct token_cache *c, str token, const struct claims *claims,
                                      const struct snapshot *snap)
{
    str prefix = snap->issuers[claims->issuer].issuer->prefix;
    size_t grantors = (size_t)claims->n_roles + claims->n_permissions + 1;
    size_t room = sizeof(struct token_entry) + grantors * sizeof(uint16_t) + token.n + claims->product.n +
                  principal_part_encoded_len(prefix) + 1 + principal_part_encoded_len(claims->sub) +
                  header_value_encoded_len(claims->client) + list_room(claims->roles, claims->n_roles) +
                  list_room(claims->permissions, claims->n_permissions) + names_room();
    struct token_entry *e = entry_alloc(c, room);
    if (!e) return NULL;
    uint16_t *g = (uint16_t *)(void *)(e + 1);
    struct layout l = {.at = (char *)(g + grantors)};
    *e = (struct token_entry){.size = room, .pins = 1};
    e->token = put_copy(&l, token);
    e->caller = (struct caller){.issuer = claims->issuer,
                                .kind = snap->issuers[claims->issuer].caller,
                                .exp_s = claims->exp_s,
                                .grantors = g};
    e->caller.n_grantors = find_grantors(snap, claims, g);
    put_marks(e, claims, snap);
    e->caller.product = put_copy(&l, claims->product);
    e->caller.known_product = claims->product.n ? snapshot_product(snap, claims->product) : NULL;
    const char *lines = l.at;
    e->caller.user_id = put_principal(&l, FIELD_X_USER_ID, prefix, claims->sub);
    e->caller.roles = put_list(&l, FIELD_X_USER_ROLES, claims->roles, claims->n_roles);
    e->caller.permissions = put_list(&l, FIELD_X_USER_PERMISSIONS, claims->permissions, claims->n_permissions);
    e->caller.client = put_value(&l, FIELD_X_CLIENT_ID, claims->client);
    e->caller.lines = str_make(lines, (size_t)(l.at - lines));
    if (UNLIKELY(l.bad)) {
        c->bytes += room; /* entry_free takes it back */
        entry_free(c, e);
        return NULL;
    }
    return e;
}

/* The way a new entry takes: a free one, else one never seen again, else all grow older and the oldest goes. */
static struct token_entry **victim(struct token_entry **set)
{
    for (;;) {
        for (int i = 0; i < TOKEN_CACHE_WAYS; i++)
            if (!set[i]) return &set[i];
        for (int i = 0; i < TOKEN_CACHE_WAYS; i++)
            if (set[i]->hits == 0) return &set[i];
        for (int i = 0; i < TOKEN_CACHE_WAYS; i++) set[i]->hits--;
    }
}

struct token_entry *token_cache_put(struct token_cache *c, str token, const struct claims *claims,
                                    const struct snapshot *snap, uint64_t serial)
{
    struct token_entry *e = entry_make(c, token, claims, snap);
    if (!e) return NULL;
    e->hash = token_hash(token);
    e->snapshot = serial;
    e->keyset = claims->keyset;
    c->bytes += e->size;
    if (!c->ways) c->ways = calloc((size_t)c->sets * TOKEN_CACHE_WAYS, sizeof(struct token_entry *));
    if (!c->ways) return e; /* good for this request all the same */
    struct token_entry **way = victim(set_of(c, e->hash));
    if (*way) {
        c->evicted++;
        unlink_way(c, way);
    }
    if (c->bytes > c->max_bytes) return e;
    *way = e;
    e->linked = true;
    return e;
}

void token_cache_unpin(struct token_cache *c, struct token_entry *e)
{
    e->pins--;
    if (e->pins == 0 && !e->linked) entry_free(c, e);
}
