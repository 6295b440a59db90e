/* Users by the hundred: one call is one batch. A bad one is named by its line and left out, or (strict) keeps all of
 * the call out. */
#include "services/admin_private.h"

#include "crypto/password.h"

#include <stdio.h>

struct candidate {
    int64_t line;
    str name, key;
    struct record_key room;
    struct user_record user;
    char subject[USER_SUBJECT_MAX];
    const char *bad; /* NULL: to be imported */
};

struct import {
    str base;
    bool strict;
    uint32_t n, n_good, n_bad;
    struct candidate *all;
    uint32_t of[ADMIN_IMPORT_MAX]; /* index of what is the i-th key or op */
    str keys[ADMIN_IMPORT_MAX];
    struct store_op ops[ADMIN_IMPORT_MAX];
};

static void refuse(struct import *x, struct candidate *k, const char *why)
{
    if (k->bad) return;
    k->bad = why;
    x->n_good--;
    x->n_bad++;
}

/* --- reading one --- */

static const char *take_list(struct arena *mem, const struct json *v, const str **out, uint32_t *n)
{
    if (!v) return NULL;
    if (v->type != JSON_ARRAY || v->count > RECORD_NAMES_MAX) return "roles and permissions are lists";
    str *list = arena_array(mem, v->count ? v->count : 1, sizeof *list);
    if (!list) return "out of memory";
    uint32_t i = 0;
    for (const struct json *m = v->first; m; m = m->next) {
        if (m->type != JSON_STRING || !record_grant_ok(m->text)) return "a role or permission is not one";
        list[i++] = m->text;
    }
    *out = list;
    *n = i;
    return NULL;
}

static const char *take_name(struct admin_call *c, const struct json *v, const struct import *x, struct candidate *k)
{
    char room[USER_NAME_MAX];
    str folded;
    if (user_name_fold(json_text(json_get(v, STR("name"))), room, &folded) != ERR_OK)
        return "the name is not one (1 to 128 of a-z, 0-9 and . _ @ + -)";
    k->name = arena_copy(&c->mem, folded);
    if (!k->name.p) return "out of memory";
    k->user.sub = user_subject(k->subject, x->base, k->name);
    k->key = user_record_key(&k->room, x->base, k->name);
    return NULL;
}

static const char *take_hash(const struct json *v, struct candidate *k, uint64_t now_ms)
{
    const struct json *hash = json_get(v, STR("hash"));
    if (!hash) return NULL;
    if (hash->type != JSON_STRING) return "the hash is no text";
    enum err e = password_hash_read(hash->text, NULL, NULL);
    if (e == ERR_LIMIT) return "the hash asks for more memory or passes than is computed here";
    if (e != ERR_OK) return "the hash is no argon2id hash of version 19 in PHC text";
    k->user.password = hash->text;
    k->user.password_ms = now_ms;
    return NULL;
}

static const char *take_one(struct admin_call *c, const struct json *v, const struct import *x, struct candidate *k)
{
    static const str known[] = {STR_INIT("line"),  STR_INIT("name"),        STR_INIT("hash"),
                                STR_INIT("roles"), STR_INIT("permissions"), STR_INIT("disabled")};
    if (v->type != JSON_OBJECT) return "is no object";
    for (const struct json *m = v->first; m; m = m->next) {
        size_t i = 0;
        while (i < ARRAY_LEN(known) && !str_eq(m->name, known[i])) i++;
        if (i == ARRAY_LEN(known)) return "has a member that is not known (name, hash, roles, permissions, disabled)";
    }
    const struct json *disabled = json_get(v, STR("disabled"));
    if (disabled && disabled->type != JSON_TRUE && disabled->type != JSON_FALSE) return "disabled is true or false";
    k->user.disabled = disabled && disabled->type == JSON_TRUE;
    k->user.created_ms = k->user.changed_ms = c->now_ms;
    const char *bad = take_name(c, v, x, k);
    if (!bad) bad = take_hash(v, k, c->now_ms);
    if (!bad) bad = take_list(&c->mem, json_get(v, STR("roles")), &k->user.roles, &k->user.n_roles);
    if (!bad) bad = take_list(&c->mem, json_get(v, STR("permissions")), &k->user.permissions, &k->user.n_permissions);
    return bad;
}

static void find_twins(struct import *x)
{
    for (uint32_t i = 0; i < x->n; i++)
        for (uint32_t j = 0; j < i && !x->all[i].bad; j++)
            if (!x->all[j].bad && str_eq(x->all[i].name, x->all[j].name))
                refuse(x, &x->all[i], "the same name came before");
}

/* --- the steps --- */

static void answer(struct admin_call *c)
{
    struct import *x = c->own;
    struct buf *b = &c->answer;
    record_begin(b);
    record_put_u64(b, "imported", x->n_good);
    buf_puts(b, ",\"bad\":[");
    bool first = true;
    for (uint32_t i = 0; i < x->n; i++) {
        if (!x->all[i].bad) continue;
        if (!first) buf_putc(b, ',');
        first = false;
        record_begin(b);
        record_put_i64(b, "line", x->all[i].line);
        record_put_str(b, "name", x->all[i].name);
        record_put_str(b, "what", str_of(x->all[i].bad));
        buf_putc(b, '}');
    }
    buf_puts(b, "]}\n");
    admin_done(c, 200);
}

/* One record a call: the names are in the store, and who brought them how many is what the record is for. */
static void import_record(struct admin_call *c)
{
    struct import *x = c->own;
    str detail =
        arena_printf(&c->mem, "lines %lld to %lld", (long long)x->all[0].line, (long long)x->all[x->n - 1].line);
    admin_record(c,
                 &(struct audit_record){.event = AUDIT_USERS_IMPORTED,
                                        .subject = x->base,
                                        .detail = detail.p ? detail : STR(""),
                                        .count = x->n_good},
                 answer);
}

static void write_all(struct admin_call *c);

static void written(struct admin_call *c)
{
    struct import *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.err == ERR_OK) {
        import_record(c);
        return;
    }
    /* Somebody was quicker with one name; each round leaves at least one out, so this ends. */
    refuse(x, &x->all[x->of[c->job.failed]], "there is such a user already");
    write_all(c);
}

static bool put_op(struct admin_call *c, struct candidate *k, struct store_op *op)
{
    struct buf b;
    buf_init(&b, RECORD_MAX);
    enum err e = user_record_put(&b, &k->user);
    *op = (struct store_op){.verb = STORE_PUT, .condition = STORE_ABSENT, .key = k->key};
    if (e == ERR_OK) op->value = arena_copy(&c->mem, buf_str(&b));
    buf_free(&b);
    return e == ERR_OK && op->value.p;
}

static void write_all(struct admin_call *c)
{
    struct import *x = c->own;
    if (x->strict && x->n_bad)
        for (uint32_t i = 0; i < x->n; i++) refuse(x, &x->all[i], "left out with the others (strict)");
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        if (x->all[i].bad) continue;
        if (!put_op(c, &x->all[i], &x->ops[n])) {
            refuse(x, &x->all[i], "its record becomes too long");
            continue;
        }
        x->of[n++] = i;
    }
    if (x->strict && x->n_bad && n) {
        write_all(c); /* one turned out too long just now */
        return;
    }
    if (n)
        admin_batch(c, STORE_IDENTITY, x->ops, n, written);
    else
        answer(c);
}

static void looked_up(struct admin_call *c)
{
    struct import *x = c->own;
    if (admin_store_failed(c)) return;
    for (uint32_t i = 0; i < c->job.n_entries; i++)
        if (c->job.entries[i].version) refuse(x, &x->all[x->of[i]], "there is such a user already, or was");
    write_all(c);
}

void admin_import(struct admin_call *c)
{
    static const char *const names[] = {"base", "users", "strict", NULL};
    struct import *x = arena_zalloc(&c->mem, sizeof *x);
    str base = STR("");
    if (!x) {
        admin_no_memory(c);
        return;
    }
    c->own = x;
    if (!admin_members(c, names) || !admin_text(c, "base", false, &base) || !admin_base(c, base, &x->base) ||
        !admin_flag(c, "strict", &x->strict))
        return;
    const struct json *users = json_get(c->body, STR("users"));
    if (!users || users->type != JSON_ARRAY || users->count < 1 || users->count > ADMIN_IMPORT_MAX) {
        admin_refuse(c, ADMIN_INPUT, "users", NULL, "is not a list of 1 to %d users", ADMIN_IMPORT_MAX);
        return;
    }
    x->all = arena_array(&c->mem, users->count, sizeof *x->all);
    if (!x->all) {
        admin_no_memory(c);
        return;
    }
    x->n_good = users->count;
    for (const struct json *v = users->first; v; v = v->next) {
        struct candidate *k = &x->all[x->n++];
        if (json_int(json_get(v, STR("line")), &k->line) != ERR_OK) k->line = x->n;
        const char *bad = take_one(c, v, x, k);
        if (bad) refuse(x, k, bad);
    }
    find_twins(x);
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        if (x->all[i].bad) continue;
        x->of[n] = i;
        x->keys[n++] = x->all[i].key;
    }
    if (n)
        admin_get(c, STORE_IDENTITY, x->keys, n, looked_up);
    else
        answer(c);
}
