/* Users: add, show, list, password, grants, disable, enable, delete. */
#include "services/admin_private.h"

#include "crypto/password.h"

#include <stdlib.h>

enum { PASSWORD_MIN = 8 };

/* What the steps of a change keep. */
struct change {
    str base, name, key;
    struct record_key room;
    struct user_record user;
    uint64_t version;
    struct store_op op;
    struct buf value;
    str password, hash;                                    /* asked for; the hash, made or given */
    struct grants_change *grants;                          /* of /grants */
    bool (*apply)(struct admin_call *c, struct change *x); /* changes x->user; false: answered */
    enum audit_kind event;
    str detail;
    uint16_t status;
    bool adding, reuse, revoke; /* revoke: its tokens and sessions end */
    char hash_room[PASSWORD_HASH_MAX];
    enum err hash_err;
    struct password_cost cost;
};

struct grants_change {
    const str *add_roles, *remove_roles, *add_permissions, *remove_permissions;
    uint32_t n_add_roles, n_remove_roles, n_add_permissions, n_remove_permissions;
};

/* --- answers --- */

static void put_user(struct buf *b, str base, str name, const struct user_record *u)
{
    record_begin(b);
    record_put_str(b, "sub", u->sub);
    record_put_str(b, "base", base);
    record_put_str(b, "name", name);
    if (u->deleted_ms) {
        record_put_u64(b, "deleted_ms", u->deleted_ms);
    } else {
        record_put_list(b, "roles", u->roles, u->n_roles);
        record_put_list(b, "permissions", u->permissions, u->n_permissions);
        record_put_true(b, "disabled", u->disabled);
        record_put_true(b, "password", u->password.n > 0);
        record_put_u64(b, "created_ms", u->created_ms);
        record_put_u64(b, "changed_ms", u->changed_ms);
        if (u->password_ms) record_put_u64(b, "password_ms", u->password_ms);
    }
    buf_putc(b, '}');
}

static bool begin(struct admin_call *c, struct change **out)
{
    struct change *x = arena_zalloc(&c->mem, sizeof *x);
    str base = admin_query(c, "base");
    if (!x) {
        admin_no_memory(c);
        return false;
    }
    if (!admin_text(c, "base", false, &base)) return false;
    if (!admin_base(c, base, &x->base)) return false;
    c->own = x;
    *out = x;
    return true;
}

static void set_key(struct change *x)
{
    x->key = user_record_key(&x->room, x->base, x->name);
}

static void not_there(struct admin_call *c, const struct change *x, bool deleted)
{
    admin_refuse(c, ADMIN_UNKNOWN, "name",
                 deleted ? "`sallyport user add --reuse` gives the name to somebody anew" : NULL,
                 "%s user '%.*s' in the base %.*s", deleted ? "deleted is the" : "there is no", STR_ARG(x->name),
                 STR_ARG(x->base));
}

/* --- show and list --- */

static void shown(struct admin_call *c)
{
    struct change *x = c->own;
    if (admin_store_failed(c)) return;
    const struct store_entry *e = &c->job.entries[0];
    if (!e->version) {
        not_there(c, x, false);
    } else if (user_record_read(e->value, &c->mem, &x->user) != ERR_OK) {
        admin_refuse(c, ADMIN_FAILED, "name", "restore it from a backup, or delete it", "its record cannot be read");
    } else {
        put_user(&c->answer, x->base, x->name, &x->user);
        buf_putc(&c->answer, '\n');
        admin_done(c, 200);
    }
}

static void show(struct admin_call *c)
{
    struct change *x;
    if (!begin(c, &x) || !admin_user_name(c, c->path[1], &x->name)) return;
    set_key(x);
    admin_get(c, STORE_IDENTITY, &x->key, 1, shown);
}

static void listed(struct admin_call *c)
{
    struct change *x = c->own;
    struct buf *b = &c->answer;
    str last = STR("");
    if (admin_store_failed(c)) return;
    buf_puts(b, "{\"users\":[");
    for (uint32_t i = 0; i < c->job.n_entries; i++) {
        char first[4096];
        struct arena mem;
        struct user_record u;
        str base, name;
        arena_init(&mem, first, sizeof first, RECORD_ARENA);
        if (user_record_key_read(c->job.entries[i].key, &base, &name) == ERR_OK &&
            user_record_read(c->job.entries[i].value, &mem, &u) == ERR_OK) {
            if (last.n) buf_putc(b, ',');
            put_user(b, base, name, &u);
            last = name;
        }
        arena_reset(&mem);
    }
    buf_puts(b, "]");
    record_put_str(b, "base", x->base);
    if (c->job.more) record_put_str(b, "after", last);
    buf_puts(b, "}\n");
    admin_done(c, 200);
}

static void list(struct admin_call *c)
{
    struct change *x;
    uint32_t limit;
    str after = admin_query(c, "after"), behind = STR("");
    struct record_key *prefix = arena_alloc(&c->mem, sizeof *prefix);
    if (!prefix) {
        admin_no_memory(c);
        return;
    }
    if (!begin(c, &x) || !admin_limit(c, &limit)) return;
    if (after.n) {
        if (!admin_user_name(c, after, &x->name)) return;
        set_key(x);
        behind = x->key;
    }
    admin_page(c, STORE_IDENTITY, user_record_prefix(prefix, x->base), behind, limit, listed);
}

/* --- changing one: read, change, write if nobody else did, revoke, record, answer --- */

static void change_read(struct admin_call *c);
static void add_read(struct admin_call *c);

static void change_recorded(struct admin_call *c)
{
    struct change *x = c->own;
    put_user(&c->answer, x->base, x->name, &x->user);
    if (x->revoke) {
        c->answer.n--; /* the brace: the confirmation stands within */
        admin_put_confirmation(c);
        buf_putc(&c->answer, '}');
    }
    buf_putc(&c->answer, '\n');
    admin_done(c, x->status);
}

static void change_record(struct admin_call *c)
{
    struct change *x = c->own;
    admin_record(c, &(struct audit_record){.event = x->event, .subject = x->user.sub, .detail = x->detail},
                 change_recorded);
}

static void change_written(struct admin_call *c)
{
    struct change *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.err == ERR_CONFLICT) {
        if (++c->tries < ADMIN_RETRIES)
            change_read(c);
        else
            admin_refuse(c, ADMIN_CHANGED, NULL, "ask again", "the user was changed %d times meanwhile", ADMIN_RETRIES);
        return;
    }
    if (!x->revoke) {
        change_record(c);
        return;
    }
    c->after = change_record;
    admin_revoke_user(c, x->base, x->name, str_of(audit_kind_name(x->event)));
}

static void change_write(struct admin_call *c)
{
    struct change *x = c->own;
    x->user.changed_ms = c->now_ms;
    buf_init(&x->value, RECORD_MAX);
    enum err e = user_record_put(&x->value, &x->user);
    if (e == ERR_OK) {
        x->op = (struct store_op){.verb = STORE_PUT, .condition = STORE_VERSION, .version = x->version, .key = x->key};
        x->op.value = arena_copy(&c->mem, buf_str(&x->value));
        if (!x->op.value.p) e = ERR_NO_MEMORY;
    }
    buf_free(&x->value);
    if (e == ERR_OK)
        admin_batch(c, STORE_IDENTITY, &x->op, 1, change_written);
    else if (e == ERR_NO_MEMORY)
        admin_no_memory(c);
    else
        admin_refuse(c, ADMIN_INPUT, NULL, "give it fewer roles or permissions", "the user's record becomes too long");
}

static void changed_read(struct admin_call *c)
{
    struct change *x = c->own;
    if (admin_store_failed(c)) return;
    const struct store_entry *e = &c->job.entries[0];
    x->version = e->version;
    if (!e->version) {
        not_there(c, x, false);
        return;
    }
    str value;
    if (!admin_copy(c, e->value, &value)) return;
    if (user_record_read(value, &c->mem, &x->user) != ERR_OK) {
        admin_refuse(c, ADMIN_FAILED, "name", "restore it from a backup", "its record cannot be read");
        return;
    }
    if (x->user.deleted_ms) {
        not_there(c, x, true);
        return;
    }
    if (x->apply(c, x)) change_write(c);
}

static void change_read(struct admin_call *c)
{
    struct change *x = c->own;
    admin_get(c, STORE_IDENTITY, &x->key, 1, x->adding ? add_read : changed_read);
}

/* --- passwords --- */

static struct password_cost cost_of(const struct admin_call *c)
{
    const struct snapshot *s = admin_snapshot(c);
    struct password_cost cost = {.memory = (size_t)19456 * 1024, .passes = 2};
    if (s && s->authentication.on) {
        cost.memory = (size_t)s->authentication.memory_kib * 1024;
        cost.passes = s->authentication.passes;
    }
    return cost;
}

static void hash_on_pool(struct admin_call *c)
{
    struct change *x = c->own;
    x->hash_err = password_hash(x->password, x->cost, x->hash_room);
}

static void hashed(struct admin_call *c)
{
    struct change *x = c->own;
    if (x->hash_err != ERR_OK) {
        admin_no_memory(c);
        return;
    }
    x->hash = str_of(x->hash_room);
    change_read(c);
}

/* Either of the two may be given; the steps go on with change_read. */
static bool take_password(struct admin_call *c, struct change *x, bool required)
{
    if (!admin_text(c, "password", false, &x->password) || !admin_text(c, "hash", false, &x->hash)) return false;
    bool both = x->password.p && x->hash.p;
    if (both || (required && !x->password.p && !x->hash.p)) {
        admin_refuse(c, ADMIN_INPUT, "password", NULL, both ? "give a password or a hash" : "is missing");
        return false;
    }
    if (x->password.p && (x->password.n < PASSWORD_MIN || x->password.n > PASSWORD_MAX)) {
        admin_refuse(c, ADMIN_INPUT, "password", NULL, "a password has %d to %d bytes", PASSWORD_MIN, PASSWORD_MAX);
        return false;
    }
    enum err e = x->hash.p ? password_hash_read(x->hash, NULL, NULL) : ERR_OK;
    if (e != ERR_OK) {
        admin_refuse(c, ADMIN_INPUT, "hash", "argon2id, version 19, in PHC text",
                     e == ERR_LIMIT ? "its parameters are above what is computed here"
                                    : "is no hash that is known here");
        return false;
    }
    return true;
}

static void go(struct admin_call *c, struct change *x)
{
    set_key(x);
    if (x->password.p) {
        x->cost = cost_of(c);
        admin_work(c, hash_on_pool, hashed);
    } else {
        change_read(c);
    }
}

static bool apply_password(struct admin_call *c, struct change *x)
{
    x->user.password = x->hash;
    x->user.password_ms = c->now_ms;
    x->event = AUDIT_USER_PASSWORD;
    return true;
}

static void set_password(struct admin_call *c)
{
    static const char *const names[] = {"base", "password", "hash", "end_sessions", "wait_ms", NULL};
    struct change *x;
    bool end_sessions = false;
    if (!admin_members(c, names) || !begin(c, &x) || !admin_user_name(c, c->path[1], &x->name) ||
        !take_password(c, x, true) || !admin_flag(c, "end_sessions", &end_sessions) || !admin_confirm_options(c))
        return;
    x->status = 200;
    x->apply = apply_password;
    x->revoke = end_sessions;
    go(c, x);
}

/* --- add --- */

static void add_read(struct admin_call *c)
{
    struct change *x = c->own;
    if (admin_store_failed(c)) return;
    const struct store_entry *e = &c->job.entries[0];
    x->version = e->version;
    if (e->version) {
        struct user_record old;
        enum err read = user_record_read(e->value, &c->mem, &old);
        bool deleted = read == ERR_OK && old.deleted_ms;
        if (!deleted || !x->reuse) {
            admin_refuse(
                c, ADMIN_EXISTS, "name",
                deleted ? "`--reuse` gives the name to somebody else; what the old user left elsewhere becomes theirs"
                        : "`sallyport user show` tells about it",
                deleted ? "the user '%.*s' was deleted, and names are not given out again"
                        : "there is a user '%.*s' already",
                STR_ARG(x->name));
            return;
        }
        x->detail = STR("the name of a deleted user was given out again");
    }
    change_write(c);
}

static void add_go(struct admin_call *c)
{
    struct change *x = c->own;
    if (x->password.p) {
        if (x->hash_err != ERR_OK) {
            admin_no_memory(c);
            return;
        }
        x->hash = str_of(x->hash_room);
    }
    if (x->hash.p) {
        x->user.password = x->hash;
        x->user.password_ms = c->now_ms;
    }
    admin_get(c, STORE_IDENTITY, &x->key, 1, add_read);
}

static void add(struct admin_call *c)
{
    static const char *const names[] = {"base",        "name",     "password", "hash", "roles",
                                        "permissions", "disabled", "reuse",    NULL};
    struct change *x;
    str name = STR("");
    if (!admin_members(c, names) || !begin(c, &x) || !admin_text(c, "name", true, &name) ||
        !admin_user_name(c, name, &x->name) || !take_password(c, x, false) ||
        !admin_list(c, "roles", record_grant_ok, "no role", &x->user.roles, &x->user.n_roles) ||
        !admin_list(c, "permissions", record_grant_ok, "no permission", &x->user.permissions, &x->user.n_permissions) ||
        !admin_flag(c, "disabled", &x->user.disabled) || !admin_flag(c, "reuse", &x->reuse))
        return;
    char *room = arena_alloc(&c->mem, USER_SUBJECT_MAX);
    if (!room) {
        admin_no_memory(c);
        return;
    }
    x->user.sub = user_subject(room, x->base, x->name);
    x->user.created_ms = c->now_ms;
    x->event = AUDIT_USER_ADDED;
    x->status = 201;
    x->adding = true;
    set_key(x);
    x->cost = cost_of(c);
    if (x->password.p)
        admin_work(c, hash_on_pool, add_go);
    else
        add_go(c);
}

/* --- grants --- */

static bool holds(const str *list, uint32_t n, str s)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(list[i], s)) return true;
    return false;
}

/* What was there without what goes, then what comes. */
static bool merge(struct admin_call *c, const char *what, const str **list, uint32_t *n, const str *add, uint32_t n_add,
                  const str *remove, uint32_t n_remove)
{
    str *out = arena_array(&c->mem, (size_t)*n + n_add + 1, sizeof *out);
    uint32_t k = 0;
    if (!out) {
        admin_no_memory(c);
        return false;
    }
    for (uint32_t i = 0; i < n_remove; i++) {
        if (holds(*list, *n, remove[i])) continue;
        admin_refuse(c, ADMIN_UNKNOWN, what, NULL, "the user has no '%.*s' to take away", STR_ARG(remove[i]));
        return false;
    }
    for (uint32_t i = 0; i < *n; i++)
        if (!holds(remove, n_remove, (*list)[i])) out[k++] = (*list)[i];
    for (uint32_t i = 0; i < n_add; i++)
        if (!holds(out, k, add[i])) out[k++] = add[i];
    if (k > RECORD_NAMES_MAX) {
        admin_refuse(c, ADMIN_INPUT, what, NULL, "a user has at most %d of them", RECORD_NAMES_MAX);
        return false;
    }
    *list = out;
    *n = k;
    return true;
}

static str join(struct admin_call *c, str text, const char *sign, const str *list, uint32_t n)
{
    for (uint32_t i = 0; i < n && text.p; i++)
        text = arena_printf(&c->mem, "%.*s%s%s%.*s", STR_ARG(text), text.n ? " " : "", sign, STR_ARG(list[i]));
    return text;
}

static bool apply_grants(struct admin_call *c, struct change *x)
{
    const struct grants_change *g = x->grants;
    struct user_record *u = &x->user;
    if (!merge(c, "roles", &u->roles, &u->n_roles, g->add_roles, g->n_add_roles, g->remove_roles, g->n_remove_roles) ||
        !merge(c, "permissions", &u->permissions, &u->n_permissions, g->add_permissions, g->n_add_permissions,
               g->remove_permissions, g->n_remove_permissions))
        return false;
    str d = join(c, STR(""), "+role:", g->add_roles, g->n_add_roles);
    d = join(c, d, "-role:", g->remove_roles, g->n_remove_roles);
    d = join(c, d, "+permission:", g->add_permissions, g->n_add_permissions);
    x->detail = join(c, d, "-permission:", g->remove_permissions, g->n_remove_permissions);
    return true;
}

static void grants(struct admin_call *c)
{
    static const char *const names[] =
        {"base", "add_roles", "remove_roles", "add_permissions", "remove_permissions", "end_sessions", "wait_ms", NULL};
    struct change *x;
    struct grants_change *g = arena_zalloc(&c->mem, sizeof *g);
    bool end_sessions = false;
    if (!g) {
        admin_no_memory(c);
        return;
    }
    if (!admin_members(c, names) || !begin(c, &x) || !admin_user_name(c, c->path[1], &x->name) ||
        !admin_list(c, "add_roles", record_grant_ok, "no role", &g->add_roles, &g->n_add_roles) ||
        !admin_list(c, "remove_roles", record_grant_ok, "no role", &g->remove_roles, &g->n_remove_roles) ||
        !admin_list(c, "add_permissions", record_grant_ok, "no permission", &g->add_permissions,
                    &g->n_add_permissions) ||
        !admin_list(c, "remove_permissions", record_grant_ok, "no permission", &g->remove_permissions,
                    &g->n_remove_permissions) ||
        !admin_flag(c, "end_sessions", &end_sessions) || !admin_confirm_options(c))
        return;
    if (!(g->n_add_roles + g->n_remove_roles + g->n_add_permissions + g->n_remove_permissions)) {
        admin_refuse(c, ADMIN_INPUT, "add_roles", NULL, "nothing is to be granted or taken away");
        return;
    }
    x->grants = g;
    x->event = AUDIT_USER_CHANGED;
    x->status = 200;
    x->apply = apply_grants;
    x->revoke = end_sessions;
    go(c, x);
}

/* --- disable, enable, delete --- */

static bool apply_disable(struct admin_call *c, struct change *x)
{
    (void)c;
    x->user.disabled = true;
    return true;
}

static bool apply_enable(struct admin_call *c, struct change *x)
{
    (void)c;
    x->user.disabled = false;
    return true;
}

static bool apply_delete(struct admin_call *c, struct change *x)
{
    x->user = (struct user_record){.sub = x->user.sub, .deleted_ms = c->now_ms};
    return true;
}

static void switch_user(struct admin_call *c, bool (*apply)(struct admin_call *c, struct change *x),
                        enum audit_kind event, bool revoke)
{
    static const char *const names[] = {"base", "wait_ms", NULL};
    struct change *x;
    if ((c->body && !admin_members(c, names)) || !begin(c, &x) || !admin_user_name(c, c->path[1], &x->name) ||
        !admin_confirm_options(c))
        return;
    x->apply = apply;
    x->event = event;
    x->status = 200;
    x->revoke = revoke;
    go(c, x);
}

void admin_users(struct admin_call *c)
{
    bool get = c->method == METHOD_GET, post = c->method == METHOD_POST, gone = c->method == METHOD_DELETE;
    str verb = c->n_path > 2 ? c->path[2] : STR("");
    if (c->n_path == 1 && get)
        list(c);
    else if (c->n_path == 1 && post)
        add(c);
    else if (c->n_path == 2 && post && str_eq(c->path[1], STR("import")))
        admin_import(c);
    else if (c->n_path == 2 && get)
        show(c);
    else if (c->n_path == 2 && gone)
        switch_user(c, apply_delete, AUDIT_USER_DELETED, true);
    else if (c->n_path == 3 && post && str_eq(verb, STR("password")))
        set_password(c);
    else if (c->n_path == 3 && post && str_eq(verb, STR("grants")))
        grants(c);
    else if (c->n_path == 3 && post && str_eq(verb, STR("disable")))
        switch_user(c, apply_disable, AUDIT_USER_DISABLED, true);
    else if (c->n_path == 3 && post && str_eq(verb, STR("enable")))
        switch_user(c, apply_enable, AUDIT_USER_ENABLED, false);
    else
        admin_refuse(c, c->n_path > 3 ? ADMIN_UNKNOWN : ADMIN_METHOD, NULL, NULL,
                     "there is no such thing to ask of users");
}
