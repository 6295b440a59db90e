/* The data: how it is, whether it is whole, a backup, a restore.
 *
 * After a restore the past must not open doors that were shut since: every token and every session from before is
 * refused; API keys, secrets and signing keys that are not today what they were at the backup are disabled until
 * somebody confirms them; users that were disabled or deleted since stay so. All of that stands in the transaction that
 * opens the restored spaces, so that no reader ever sees the one without the other. */
#include "services/admin_private.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define RESTORED_SPACES                                                                                                \
    (KEEPER_SPACE(STORE_IDENTITY) | KEEPER_SPACE(STORE_AUTHENTICATION) | KEEPER_SPACE(STORE_CONTROL))

enum { DELETES = 200 };
static const str reason_restored = STR_INIT("restored");

struct data_call {
    str dir, named; /* where it is done; where the administrator wants it or has it */
    /* restoring; the counts are the keeper's thread's until the task is done */
    uint64_t apikeys, secrets, sessions, signing_keys, users, unreadable;
    uint64_t now_ms;
    struct store_op all;
    struct record_key all_room;
    str all_value;
    struct store_op ops[DELETES];
    struct record_key keys[DELETES];
    str prefix;
    uint64_t deleted;
};

static uint32_t served(const struct keeper_task *t)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < STORE_SPACES; i++) bits |= t->status[i].served ? 1u << i : 0;
    return bits;
}

static void put_spaces(struct buf *b, const struct keeper_task *t, bool all)
{
    bool any = false;
    buf_puts(b, ",\"spaces\":[");
    for (unsigned i = 0; i < STORE_SPACES; i++) {
        const struct keeper_space_status *s = &t->status[i];
        if (all ? !s->served : !(t->spaces & 1u << i)) continue;
        if (any) buf_putc(b, ',');
        any = true;
        record_begin(b);
        record_put_str(b, "space", str_of(store_space_name((enum store_space)i)));
        record_put_str(b, "why", str_of(s->why));
        buf_printf(b, ",\"epoch\":\"%llu\"", (unsigned long long)s->at.epoch);
        record_put_u64(b, "number", s->at.number);
        record_put_u64(b, "bytes", s->bytes);
        if (all) {
            record_put_u64(b, "batches", s->batches);
            record_put_u64(b, "commits", s->commits);
            record_put_u64(b, "largest_commit", s->largest_commit);
            record_put_u64(b, "conflicts", s->conflicts);
            record_put_u64(b, "reads", s->reads);
            record_put_u64(b, "faults", s->faults);
            record_put_u64(b, "watchers", s->watchers);
            record_put_u64(b, "away", s->away);
        }
        buf_putc(b, '}');
    }
    buf_putc(b, ']');
}

static void task_failed(struct admin_call *c, const char *what)
{
    const struct keeper_task *t = &c->task;
    if (t->err == ERR_NO_MEMORY)
        admin_no_memory(c);
    else if (t->err == ERR_UNSUPPORTED)
        admin_refuse(c, ADMIN_INPUT, NULL, "`store: {engine: sqlite}` keeps it on the disk",
                     "a store in memory has no %s", what);
    else
        admin_refuse(c, ADMIN_FAILED, "dir", NULL, "%s: %s", what, *t->why ? t->why : err_name(t->err));
}

/* --- status and check --- */

static void status_told(struct admin_call *c)
{
    if (c->task.err != ERR_OK) {
        task_failed(c, "status");
        return;
    }
    record_begin(&c->answer);
    buf_puts(&c->answer, "\"data\":\"");
    buf_put_json(&c->answer, str_of(c->admin->o.data));
    buf_putc(&c->answer, '"');
    put_spaces(&c->answer, &c->task, true);
    buf_puts(&c->answer, "}\n");
    admin_done(c, 200);
}

static void status(struct admin_call *c)
{
    c->task.kind = KEEPER_STATUS;
    c->task.spaces = 0;
    admin_task(c, status_told);
}

static void checked(struct admin_call *c)
{
    struct keeper_task *t = &c->task;
    struct buf *b = &c->answer;
    if (t->err != ERR_OK && t->err != ERR_MALFORMED) {
        task_failed(c, "check");
        return;
    }
    buf_printf(b, "{\"whole\":%s", t->err == ERR_OK ? "true" : "false");
    record_put_str(b, "what", str_of(t->why));
    buf_puts(b, "}\n");
    admin_done(c, 200);
}

/* --- what all but the status begin with: which spaces are here --- */

static void backup_go(struct admin_call *c);
static void restore_go(struct admin_call *c);

static void check_go(struct admin_call *c)
{
    uint32_t spaces = served(&c->task);
    c->task = (struct keeper_task){.kind = KEEPER_CHECK, .spaces = spaces};
    admin_task(c, checked);
}

static void find_spaces(struct admin_call *c, void (*then)(struct admin_call *c))
{
    c->task = (struct keeper_task){.kind = KEEPER_STATUS};
    admin_task(c, then);
}

static bool take_dir(struct admin_call *c, struct data_call **out)
{
    static const char *const names[] = {"dir", "for", "wait_ms", NULL};
    struct data_call *x = arena_zalloc(&c->mem, sizeof *x);
    if (!x) {
        admin_no_memory(c);
        return false;
    }
    c->own = x;
    *out = x;
    if (!admin_members(c, names) || !admin_text(c, "dir", true, &x->dir) || !admin_confirm_options(c)) return false;
    if (x->dir.n < 2 || x->dir.n > 1000 || x->dir.p[0] != '/' || memchr(x->dir.p, '\0', x->dir.n)) {
        admin_refuse(c, ADMIN_INPUT, "dir", NULL, "is no absolute path of a folder");
        return false;
    }
    /* who carries the files to where they are wanted says where that is: it stands in the record */
    if (!admin_text(c, "for", false, &x->named)) return false;
    if (!x->named.n) x->named = x->dir;
    return admin_copy(c, x->dir, &x->dir) && admin_copy(c, x->named, &x->named);
}

/* A fresh folder within the data folder, the only place where a process in a sandbox can write and read. */
static void stage(struct admin_call *c)
{
    char path[1024], whole[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/staged-XXXXXX", c->admin->o.data);
    if (n < 0 || (size_t)n >= sizeof path || !mkdtemp(path) || !realpath(path, whole)) {
        admin_refuse(c, ADMIN_FAILED, NULL, NULL, "no folder can be made in the data folder: %s", strerror(errno));
        return;
    }
    record_begin(&c->answer);
    record_put_str(&c->answer, "dir", str_of(whole));
    buf_puts(&c->answer, "}\n");
    admin_done(c, 200);
}

/* --- backup --- */

static void backup_answered(struct admin_call *c)
{
    struct data_call *x = c->own;
    record_begin(&c->answer);
    record_put_str(&c->answer, "dir", x->dir);
    put_spaces(&c->answer, &c->task, false);
    buf_puts(&c->answer, "}\n");
    admin_done(c, 200);
}

static void backed_up(struct admin_call *c)
{
    struct data_call *x = c->own;
    if (c->task.err != ERR_OK) {
        task_failed(c, "backup");
        return;
    }
    admin_record(c, &(struct audit_record){.event = AUDIT_DATA_BACKUP, .object = x->named}, backup_answered);
}

static void backup_go(struct admin_call *c)
{
    struct data_call *x = c->own;
    uint32_t spaces = served(&c->task);
    c->task = (struct keeper_task){.kind = KEEPER_BACKUP, .spaces = spaces, .dir = x->dir.p};
    admin_task(c, backed_up);
}

/* --- restore: what is changed on the way in, on a thread of the keeper --- */

static bool put_back(enum err e, struct data_call *x, struct buf *value, uint64_t *count)
{
    if (e == ERR_OK) {
        (*count)++;
        return true;
    }
    if (e == ERR_NO_MEMORY) value->bad = true;
    x->unreadable++; /* it is refused by whoever reads it */
    return false;
}

static bool change_control(struct data_call *x, const struct store_entry *then, struct arena *mem, struct buf *value)
{
    struct apikey_record key;
    struct product_secret_record secret;
    str id;
    if (str_eq(then->key, ISSUER_KEYS_KEY)) /* the Authentication Service publishes what is good now */
        return put_back(issuer_keys_put(value, STR("{\"keys\":[]}"), 0), x, value, &x->signing_keys);
    if (apikey_record_key_read(then->key, &id) == ERR_OK) {
        enum err e = apikey_record_read(then->value, mem, &key);
        key.disabled = reason_restored;
        return put_back(e == ERR_OK ? apikey_record_put(value, &key) : e, x, value, &x->apikeys);
    }
    enum err e = product_secret_read(then->value, mem, &secret);
    secret.disabled = reason_restored;
    return put_back(e == ERR_OK ? product_secret_put(value, &secret) : e, x, value, &x->secrets);
}

static bool change_authentication(struct data_call *x, const struct store_entry *then, struct arena *mem,
                                  struct buf *value)
{
    struct session_record session;
    struct signing_key_record key;
    str id;
    if (signing_key_record_key_read(then->key, &id) == ERR_OK) {
        enum err e = signing_key_record_read(then->value, mem, &key);
        key.state = SIGNING_KEY_OLD;
        key.retired_ms = x->now_ms;
        key.verify_until_s = (int64_t)(x->now_ms / 1000);
        return put_back(e == ERR_OK ? signing_key_record_put(value, &key) : e, x, value, &x->signing_keys);
    }
    enum err e = session_record_read(then->value, mem, &session);
    session.expires_s = 1; /* over, until it is deleted below */
    return put_back(e == ERR_OK ? session_record_put(value, &session) : e, x, value, &x->sessions);
}

/* Who was shut out since stays out. */
static bool change_user(struct data_call *x, const struct store_entry *then, const struct store_entry *now,
                        struct arena *mem, struct buf *value)
{
    struct user_record was, is;
    if (!now || !now->version || user_record_read(now->value, mem, &is) != ERR_OK) return false;
    if (is.deleted_ms) {
        buf_put(value, now->value);
        x->users++;
        return true;
    }
    if (!is.disabled) return false;
    enum err e = user_record_read(then->value, mem, &was);
    was.disabled = true;
    return put_back(e == ERR_OK && !was.deleted_ms ? user_record_put(value, &was) : e, x, value, &x->users);
}

static bool on_changed(struct keeper_task *t, enum store_space s, const struct store_entry *then,
                       const struct store_entry *now, struct buf *value)
{
    struct data_call *x = t->owner;
    struct arena mem;
    bool changed = false;
    size_t start = value->n;
    arena_init(&mem, NULL, 0, 3 * RECORD_ARENA);
    if (s == STORE_CONTROL) changed = change_control(x, then, &mem, value);
    if (s == STORE_AUTHENTICATION) changed = change_authentication(x, then, &mem, value);
    if (s == STORE_IDENTITY) changed = change_user(x, then, now, &mem, value);
    if (!changed && !value->bad) value->n = start;
    arena_reset(&mem);
    return changed;
}

/* --- restore: the steps --- */

static void restore_answered(struct admin_call *c)
{
    struct data_call *x = c->own;
    struct buf *b = &c->answer;
    record_begin(b);
    record_put_str(b, "dir", x->dir);
    put_spaces(b, &c->task, false);
    record_put_u64(b, "apikeys_disabled", x->apikeys);
    record_put_u64(b, "secrets_disabled", x->secrets);
    record_put_u64(b, "signing_keys_retired", x->signing_keys);
    record_put_u64(b, "users_kept_out", x->users);
    record_put_u64(b, "sessions_ended", x->deleted);
    record_put_u64(b, "unreadable", x->unreadable);
    record_put_true(b, "unsure", c->task.unsure);
    admin_put_confirmation(c);
    buf_puts(b, "}\n");
    admin_done(c, 200);
}

static void restore_record(struct admin_call *c)
{
    struct data_call *x = c->own;
    str detail =
        arena_printf(&c->mem,
                     "disabled %llu API keys and %llu secrets, retired %llu signing keys, kept %llu users out, "
                     "ended %llu sessions; tokens from before are refused%s",
                     (unsigned long long)x->apikeys, (unsigned long long)x->secrets,
                     (unsigned long long)x->signing_keys, (unsigned long long)x->users, (unsigned long long)x->deleted,
                     c->task.unsure ? "; what had been there could not be read, so all counted as changed" : "");
    admin_record(c, &(struct audit_record){.event = AUDIT_DATA_RESTORED, .object = x->named, .detail = detail},
                 restore_answered);
}

static bool put_all(struct admin_call *c, struct data_call *x)
{
    struct buf b;
    struct revocation_target t = {.kind = REVOCATION_ALL};
    x->now_ms = loop_wall_ms(c->admin->o.loop);
    struct revocation_record r = {.before_s = (int64_t)(x->now_ms / 1000),
                                  .reason = reason_restored,
                                  .by = c->who,
                                  .at_ms = x->now_ms};
    buf_init(&b, RECORD_MAX);
    enum err e = revocation_record_put(&b, &r);
    x->all = (struct store_op){.verb = STORE_PUT, .key = revocation_record_key(&x->all_room, &t)};
    if (e == ERR_OK) x->all.value = arena_copy(&c->mem, buf_str(&b));
    buf_free(&b);
    if (e == ERR_OK && x->all.value.p) return true;
    admin_no_memory(c);
    return false;
}

static void all_again(struct admin_call *c)
{
    if (admin_store_failed(c)) return;
    c->after = restore_record;
    admin_confirm(c, c->job.at);
}

static void next_sessions(struct admin_call *c);

static void sessions_deleted(struct admin_call *c)
{
    if (admin_store_failed(c)) return;
    next_sessions(c);
}

static void sessions_found(struct admin_call *c)
{
    struct data_call *x = c->own;
    uint32_t n = 0;
    if (admin_store_failed(c)) return;
    for (; n < c->job.n_entries && n < DELETES; n++) {
        str key = c->job.entries[n].key;
        memcpy(x->keys[n].p, key.p, key.n);
        x->ops[n] = (struct store_op){.verb = STORE_DELETE, .key = str_make(x->keys[n].p, key.n)};
    }
    if (n) {
        if (str_eq(x->prefix, STR("session/"))) x->deleted += n;
        admin_batch(c, STORE_AUTHENTICATION, x->ops, n, sessions_deleted);
    } else if (str_eq(x->prefix, STR("session/"))) {
        x->prefix = STR("session-of/");
        next_sessions(c);
    } else if (put_all(c, x)) { /* whoever was given a token while the copying went on */
        admin_batch(c, STORE_CONTROL, &x->all, 1, all_again);
    }
}

static void next_sessions(struct admin_call *c)
{
    struct data_call *x = c->own;
    admin_page(c, STORE_AUTHENTICATION, x->prefix, STR(""), DELETES, sessions_found);
}

static void restored(struct admin_call *c)
{
    struct data_call *x = c->own;
    if (c->task.err != ERR_OK) {
        audit_event(c->admin->o.audit, &(struct audit_record){.event = AUDIT_DATA_RESTORED,
                                                              .outcome = AUDIT_FAILED,
                                                              .who = c->who,
                                                              .object = x->named,
                                                              .detail = str_of(c->task.why)});
        task_failed(c, "restore");
        return;
    }
    x->prefix = STR("session/");
    next_sessions(c);
}

static void restore_begun(struct admin_call *c)
{
    static const struct keeper_compare compare[] = {
        {STORE_CONTROL, STR_INIT("apikey/")},
        {STORE_CONTROL, STR_INIT("secret/")},
        {STORE_CONTROL, STR_INIT("issuer-keys/")},
        {STORE_AUTHENTICATION, STR_INIT("session/")},
        {STORE_AUTHENTICATION, STR_INIT("signing-key/")},
        {STORE_IDENTITY, STR_INIT("user/")},
    };
    struct data_call *x = c->own;
    if (!put_all(c, x)) return;
    c->task = (struct keeper_task){.kind = KEEPER_RESTORE,
                                   .spaces = RESTORED_SPACES,
                                   .dir = x->dir.p,
                                   .compare = compare,
                                   .n_compare = ARRAY_LEN(compare),
                                   .on_changed = on_changed,
                                   .owner = x};
    c->task.ops[STORE_CONTROL] = &x->all;
    c->task.n_ops[STORE_CONTROL] = 1;
    admin_task(c, restored);
}

static void restore_go(struct admin_call *c)
{
    struct data_call *x = c->own;
    if ((served(&c->task) & RESTORED_SPACES) != RESTORED_SPACES || !c->admin->o.store) {
        admin_refuse(c, ADMIN_ELSEWHERE, NULL, NULL, "this process does not keep all of the data");
        return;
    }
    admin_record(c, &(struct audit_record){.event = AUDIT_DATA_RESTORED, .object = x->named, .reason = STR("begun")},
                 restore_begun);
}

void admin_data(struct admin_call *c)
{
    struct data_call *x;
    str verb = c->n_path == 2 ? c->path[1] : STR("");
    bool post = c->method == METHOD_POST;
    if (!c->admin->o.keeper)
        admin_refuse(c, ADMIN_ELSEWHERE, NULL, "ask the role data: its socket is data-cli.sock in its data folder",
                     "this process does not keep the data");
    else if (c->n_path == 1 && c->method == METHOD_GET)
        status(c);
    else if (post && str_eq(verb, STR("check")))
        find_spaces(c, check_go);
    else if (post && str_eq(verb, STR("stage")))
        stage(c);
    else if (post && str_eq(verb, STR("backup"))) {
        if (take_dir(c, &x)) find_spaces(c, backup_go);
    } else if (post && str_eq(verb, STR("restore"))) {
        if (take_dir(c, &x)) find_spaces(c, restore_go);
    } else
        admin_refuse(c, ADMIN_METHOD, NULL, NULL, "data is looked at, checked, backed up and restored");
}
