/* The audit record where the product runs: read on, and verified with the key and the heads that only it has. And the
 * Authentication Service's figures. */
#include "services/admin_private.h"

#include "audit/read.h"

#include <errno.h>
#include <stdio.h>

enum { READ_MAX = 256 << 10, LAST_MAX = 1000 };

struct audit_call {
    char folder[1024];
    enum err err;
    int why;
    /* reading on */
    struct audit_cursor cursor;
    bool from_end, more;
    uint64_t last;
    enum audit_kind kind;
    struct buf lines;
    /* verifying */
    bool later;
    unsigned char key[ADMIN_AUDIT_KEY_LEN];
    char prefix[AUDIT_HEAD_PREFIX_MAX];
    struct audit_known_head heads[AUDIT_CHAINS_MAX];
    size_t n_heads;
    struct audit_verdict verdicts[AUDIT_CHAINS_MAX];
    size_t n;
    bool heads_read;
};

static void failed(struct admin_call *c, const struct audit_call *x)
{
    if (x->err == ERR_NO_MEMORY)
        admin_no_memory(c);
    else if (x->err == ERR_NOT_FOUND)
        admin_refuse(c, ADMIN_UNKNOWN, NULL, NULL, "there is no audit record at %s", x->folder);
    else
        admin_refuse(c, ADMIN_FAILED, NULL, "look at the folder's owner and mode", "%s cannot be read: %s", x->folder,
                     strerror(x->why));
}

static bool begin(struct admin_call *c, struct audit_call **out)
{
    struct audit_call *x = arena_zalloc(&c->mem, sizeof *x);
    if (!x) {
        admin_no_memory(c);
        return false;
    }
    (void)snprintf(x->folder, sizeof x->folder, "%s/" ADMIN_AUDIT_FOLDER, c->admin->o.data);
    c->own = x;
    *out = x;
    return true;
}

/* --- reading on --- */

static void read_on_pool(struct admin_call *c)
{
    struct audit_call *x = c->own;
    x->err = x->from_end ? audit_cursor_last(x->folder, x->last, &x->cursor) : ERR_OK;
    if (x->err == ERR_OK) x->err = audit_read_on(x->folder, &x->cursor, x->kind, READ_MAX, &x->lines, &x->more);
    x->why = errno;
}

static void read_answered(struct admin_call *c)
{
    struct audit_call *x = c->own;
    char cursor[AUDIT_CURSOR_TEXT];
    struct buf *b = &c->answer;
    if (x->err != ERR_OK) {
        buf_free(&x->lines);
        failed(c, x);
        return;
    }
    audit_cursor_put(&x->cursor, cursor);
    record_begin(b);
    buf_printf(b, "\"cursor\":\"%s\",\"more\":%s,\"records\":[", cursor, x->more ? "true" : "false");
    bool any = false;
    for (str rest = buf_str(&x->lines); rest.n;) {
        if (any) buf_putc(b, ',');
        any = true;
        buf_put(b, str_cut(&rest, '\n'));
    }
    buf_free(&x->lines);
    buf_puts(b, "]}\n");
    admin_done(c, 200);
}

static void read_on(struct admin_call *c)
{
    struct audit_call *x;
    str cursor = admin_query(c, "cursor"), event = admin_query(c, "event"), last = admin_query(c, "last");
    if (!begin(c, &x)) return;
    x->kind = event.n ? audit_kind_of(event) : AUDIT_KINDS;
    if (event.n && x->kind == AUDIT_KINDS) {
        admin_refuse(c, ADMIN_INPUT, "event", "`sallyport audit tail --help` lists them", "there is no such event");
        return;
    }
    if (cursor.n && audit_cursor_read(cursor, &x->cursor) != ERR_OK) {
        admin_refuse(c, ADMIN_INPUT, "cursor", NULL, "was not given out by us");
        return;
    }
    x->last = 10;
    x->from_end = !cursor.p;
    if (last.n && (str_to_u64(last, &x->last) != ERR_OK || x->last > LAST_MAX)) {
        admin_refuse(c, ADMIN_INPUT, "last", NULL, "is not a number up to %d", LAST_MAX);
        return;
    }
    buf_init(&x->lines, READ_MAX + AUDIT_LINE_MAX);
    admin_work(c, read_on_pool, read_answered);
}

/* --- verifying --- */

static void put_verdict(struct buf *b, const struct audit_verdict *v)
{
    record_begin(b);
    record_put_str(b, "chain", str_of(v->chain));
    record_put_u64(b, "records", v->records);
    record_put_u64(b, "segments", v->segments);
    record_put_u64(b, "first", v->first);
    record_put_u64(b, "seals", v->seals);
    record_put_u64(b, "unsealed", v->unsealed);
    if (v->unfinished) record_put_u64(b, "unfinished", v->unfinished);
    record_put_true(b, "keyed", v->keyed);
    record_put_true(b, "head_known", v->head_known);
    if (v->broken) {
        record_put_true(b, "broken", true);
        record_put_str(b, "file", str_of(v->file));
        record_put_u64(b, "line", v->line);
        record_put_str(b, "what", str_of(v->what));
    }
    buf_putc(b, '}');
}

static void verified(struct admin_call *c)
{
    struct audit_call *x = c->own;
    struct buf *b = &c->answer;
    if (x->err != ERR_OK) {
        failed(c, x);
        return;
    }
    record_begin(b);
    record_put_str(b, "folder", str_of(x->folder));
    buf_puts(b, ",\"chains\":[");
    for (size_t i = 0; i < x->n; i++) {
        if (i) buf_putc(b, ',');
        put_verdict(b, &x->verdicts[i]);
    }
    buf_puts(b, "]}\n");
    admin_done(c, 200);
}

static void verify_on_pool(struct admin_call *c)
{
    struct audit_call *x = c->own;
    struct audit_verify_options o = {.folder = x->folder, .heads = x->heads, .n_heads = x->n_heads, .later = x->later};
    const struct seal *seal = c->admin->o.record_seal ? c->admin->o.record_seal : c->admin->o.seal;
    if (seal) {
        admin_audit_key(seal, x->key);
        o.key = str_make((const char *)x->key, sizeof x->key);
    }
    x->err = audit_verify(&o, x->verdicts, &x->n);
    x->why = errno;
}

/* What cannot be asked for (no way to that space) is left out, and the answer says so. */
static void heads_read(struct admin_call *c)
{
    struct audit_call *x = c->own;
    for (uint32_t i = 0; c->job.err == ERR_OK && i < c->job.n_entries && x->n_heads < AUDIT_CHAINS_MAX; i++) {
        const struct store_entry *e = &c->job.entries[i];
        x->n_heads += audit_known_head_read(e->key, e->value, &x->heads[x->n_heads]) == ERR_OK;
    }
    admin_work(c, verify_on_pool, verified);
}

static void verify(struct admin_call *c)
{
    struct audit_call *x;
    if (!begin(c, &x)) return;
    x->later = admin_query(c, "later").p != NULL;
    if (c->admin->o.store)
        admin_page(c, STORE_AUDIT, audit_head_prefix(x->prefix, x->folder), STR(""), AUDIT_CHAINS_MAX, heads_read);
    else
        admin_work(c, verify_on_pool, verified);
}

void admin_audit(struct admin_call *c)
{
    if (c->method != METHOD_GET)
        admin_refuse(c, ADMIN_METHOD, NULL, NULL, "the audit record is only read");
    else if (c->n_path == 1)
        read_on(c);
    else if (c->n_path == 2 && str_eq(c->path[1], STR("verify")))
        verify(c);
    else
        admin_refuse(c, ADMIN_UNKNOWN, NULL, NULL, "there is no such thing to ask of the audit record");
}

/* --- the Authentication Service --- */

static void put_settings(struct buf *b, const struct authentication_settings *s)
{
    record_put_str(b, "issuer", s->issuer);
    record_put_list(b, "audience", s->audience, s->n_audience);
    record_put_u64(b, "access_token_s", s->access_s);
    record_put_u64(b, "refresh_token_s", s->refresh_s);
    record_put_u64(b, "session_s", s->session_s);
    record_put_str(b, "algorithm", s->algorithm);
    record_put_u64(b, "rotate_s", s->rotate_s);
    record_put_u64(b, "publish_ahead_s", s->publish_ahead_s);
    record_put_u64(b, "password_memory_kib", s->memory_kib);
    record_put_u64(b, "password_passes", s->passes);
    record_put_list(b, "user_bases", s->user_bases, s->n_user_bases);
}

static void put_counts(struct buf *b, const struct authentication_counts *n, bool ready)
{
    buf_printf(b, ",\"ready\":%s", ready ? "true" : "false");
    record_put_u64(b, "logins", n->logins);
    record_put_u64(b, "logins_failed", n->logins_failed);
    record_put_u64(b, "logins_throttled", n->logins_throttled);
    record_put_u64(b, "busy", n->busy);
    record_put_u64(b, "refreshes", n->refreshes);
    record_put_u64(b, "refreshes_again", n->refreshes_again);
    record_put_u64(b, "refreshes_refused", n->refreshes_refused);
    record_put_u64(b, "reuses", n->reuses);
    record_put_u64(b, "logouts", n->logouts);
    record_put_u64(b, "proofs_refused", n->proofs_refused);
    record_put_u64(b, "sessions_ended", n->sessions_ended);
    record_put_u64(b, "rehashed", n->rehashed);
}

void admin_authentication(struct admin_call *c)
{
    const struct admin_options *o = &c->admin->o;
    const struct snapshot *s = admin_snapshot(c);
    struct authentication_counts counts = {0};
    bool ready = false;
    if (c->method != METHOD_GET || c->n_path != 1) {
        admin_refuse(c, ADMIN_METHOD, NULL, NULL, "the Authentication Service is only asked how it is");
    } else if (!o->authentication || !o->authentication(o->ctx, &counts, &ready)) {
        admin_refuse(c, ADMIN_ELSEWHERE, NULL,
                     "a section `authentication` turns it on; `sallyport authentication` runs it alone",
                     "the Authentication Service does not run in this process");
    } else {
        record_begin(&c->answer);
        record_put_str(&c->answer, "service", STR("authentication"));
        if (s && s->authentication.on) put_settings(&c->answer, &s->authentication);
        put_counts(&c->answer, &counts, ready);
        buf_puts(&c->answer, "}\n");
        admin_done(c, 200);
    }
}
