#include "audit/record.h"

#include "base/log_line.h"

enum { LOOKED_AT = 4096 };

static const char *const names[AUDIT_KINDS] = {
    [AUDIT_REFUSED] = "refused",
    [AUDIT_LOGIN] = "login",
    [AUDIT_LOGIN_REFUSED] = "login_refused",
    [AUDIT_REFRESH] = "refresh",
    [AUDIT_REFRESH_REFUSED] = "refresh_refused",
    [AUDIT_REFRESH_REUSED] = "refresh_reused",
    [AUDIT_LOGOUT] = "logout",
    [AUDIT_SESSION_ENDED] = "session_ended",
    [AUDIT_USER_ADDED] = "user_added",
    [AUDIT_USER_CHANGED] = "user_changed",
    [AUDIT_USER_PASSWORD] = "user_password",
    [AUDIT_USER_DISABLED] = "user_disabled",
    [AUDIT_USER_ENABLED] = "user_enabled",
    [AUDIT_USER_DELETED] = "user_deleted",
    [AUDIT_USERS_IMPORTED] = "users_imported",
    [AUDIT_PRODUCT_ADDED] = "product_added",
    [AUDIT_PRODUCT_REMOVED] = "product_removed",
    [AUDIT_KEY_ADDED] = "key_added",
    [AUDIT_KEY_DISABLED] = "key_disabled",
    [AUDIT_KEY_CONFIRMED] = "key_confirmed",
    [AUDIT_KEY_REMOVED] = "key_removed",
    [AUDIT_SECRET_SET] = "secret_set",
    [AUDIT_SECRET_REMOVED] = "secret_removed",
    [AUDIT_SIGNING_KEY_MADE] = "signing_key_made",
    [AUDIT_SIGNING_KEY_SIGNS] = "signing_key_signs",
    [AUDIT_SIGNING_KEY_REMOVED] = "signing_key_removed",
    [AUDIT_REVOKED] = "revoked",
    [AUDIT_REVOCATION_CONFIRMED] = "revocation_confirmed",
    [AUDIT_DATA_BACKUP] = "data_backup",
    [AUDIT_DATA_RESTORED] = "data_restored",
    [AUDIT_ADMIN_REFUSED] = "admin_refused",
    [AUDIT_CONFIGURATION] = "configuration",
    [AUDIT_STARTED] = "started",
    [AUDIT_STOPPED] = "stopped",
    [AUDIT_LOST] = "records_lost",
    [AUDIT_BROKEN] = "chain_broken",
    [AUDIT_SEAL] = "seal",
};

const char *audit_kind_name(enum audit_kind k)
{
    return (unsigned)k < AUDIT_KINDS ? names[k] : "unknown";
}

enum audit_kind audit_kind_of(str name)
{
    for (int i = 0; i < AUDIT_KINDS; i++)
        if (str_eq(name, str_of(names[i]))) return (enum audit_kind)i;
    return AUDIT_KINDS;
}

const char *audit_outcome_name(enum audit_outcome o)
{
    static const char *const outcomes[] = {"ok", "refused", "failed"};
    return (unsigned)o < ARRAY_LEN(outcomes) ? outcomes[o] : "failed";
}

/* Never in the middle of a character: its first byte is the last one that is not 10xxxxxx. */
static str cut(str s, size_t n)
{
    if (s.n <= n) return s;
    while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--;
    return str_first(s, n);
}

static void member(struct buf *out, const char *name, str value)
{
    static const str ellipsis = STR_INIT("…");
    char room[LOOKED_AT];
    if (!value.n) return;
    /* More is looked at than is written: a token that is cut is no less a token. */
    str whole = log_redact(str_first(value, sizeof room), room, sizeof room), s = cut(whole, AUDIT_VALUE_MAX);
    bool is_cut = s.n < whole.n || value.n > sizeof room;
    if (is_cut) s = cut(whole, AUDIT_VALUE_MAX - ellipsis.n);
    buf_puts(out, ",\"");
    buf_puts(out, name);
    buf_puts(out, "\":\"");
    buf_put_json(out, s);
    if (is_cut) buf_put(out, ellipsis);
    buf_putc(out, '"');
}

void audit_record_put(const struct audit_record *r, struct buf *out, size_t *same)
{
    size_t begin = out->n;
    buf_puts(out, "\"event\":\"");
    buf_puts(out, audit_kind_name(r->event));
    buf_puts(out, "\",\"outcome\":\"");
    buf_puts(out, audit_outcome_name(r->outcome));
    buf_putc(out, '"');
    member(out, "who", r->who);
    member(out, "from", r->from);
    member(out, "subject", r->subject);
    member(out, "product", r->product);
    member(out, "action", r->action);
    member(out, "reason", r->reason);
    *same = out->n - begin;
    member(out, "object", r->object);
    member(out, "decision_id", r->decision_id);
    member(out, "detail", r->detail);
    if (r->count) {
        buf_puts(out, ",\"count\":");
        buf_put_u64(out, r->count);
    }
}
