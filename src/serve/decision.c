#include "serve/decision.h"

#include "base/clock.h"
#include "base/log_line.h"

/* What each text may take of a record at most, and its member name in JSON. */
static const struct {
    uint8_t max;
    bool from_outside; /* chosen by a client, so it may hold what should have been somewhere else */
    const char *name;
} texts[DECISION_TEXTS] = {
    [DECISION_ACTION] = {72, false, "action"},
    [DECISION_METHOD] = {16, false, "method"},
    [DECISION_PRODUCT] = {64, false, "product"},
    [DECISION_ISSUER] = {64, false, "issuer"},
    [DECISION_FAULT] = {32, false, "fault"},
    [DECISION_UPSTREAM] = {64, false, "upstream"},
    [DECISION_CORRELATION_ID] = {64, true, "correlation_id"},
    [DECISION_REMOTE] = {46, false, "remote"},
    [DECISION_CLIENT] = {64, true, "client"},
    [DECISION_SUBJECT] = {128, true, "sub"},
    [DECISION_PATH] = {255, true, "path"},
    [DECISION_ROLES] = {255, true, "roles"},
};

/* The end of s moved back to where a UTF-8 character begins. */
static size_t whole_characters(str s, size_t n)
{
    if (n >= s.n) return s.n;
    size_t back = 0;
    while (back < 3 && back < n && ((unsigned char)s.p[n - back] & 0xc0) == 0x80) back++;
    return ((unsigned char)s.p[n - back] & 0xc0) == 0x80 ? n : n - back;
}

static void put_text(struct decision_record *r, enum decision_text which, str s)
{
    size_t left = sizeof r->text - r->text_n, n = s.n;
    if (n > texts[which].max) n = texts[which].max;
    if (n > left) n = left;
    if (n < s.n) {
        n = whole_characters(s, n);
        r->cut |= (uint16_t)(1u << which);
    }
    (void)str_put(r->text + r->text_n, str_make(s.p, n));
    r->len[which] = (uint8_t)n;
    r->text_n = (uint16_t)(r->text_n + n);
}

/* Apart, so that only a text that needs it pays for the room. */
static __attribute__((noinline)) void put_redacted(struct decision_record *r, enum decision_text which, str s)
{
    char room[512];
    put_text(r, which, log_redact(str_first(s, sizeof room), room, sizeof room));
}

void decision_record_make(struct decision_record *r, const struct outcome *o)
{
    memset(r, 0, offsetof(struct decision_record, text));
    r->unix_ms = o->unix_ms;
    r->duration_us = o->duration_us;
    r->generation = o->generation;
    r->status = o->status;
    r->reason = (uint16_t)o->reason;
    r->gate = o->gate;
    r->caller = o->caller;
    r->credential = o->credential;
    r->attempts = o->attempts;
    r->effect = o->effect == EFFECT_PERMIT ? EFFECT_PERMIT : EFFECT_DENY;
    memcpy(r->id, o->id.n == ULID_LEN ? o->id.p : "00000000000000000000000000", ULID_LEN);
    if (o->trace_id.n == sizeof r->trace_id) memcpy(r->trace_id, o->trace_id.p, sizeof r->trace_id);
    const str in[DECISION_TEXTS] = {
        [DECISION_ACTION] = o->action,
        [DECISION_METHOD] = o->method,
        [DECISION_PRODUCT] = o->product,
        [DECISION_ISSUER] = o->issuer,
        [DECISION_FAULT] = o->fault,
        [DECISION_UPSTREAM] = o->upstream,
        [DECISION_CORRELATION_ID] = str_eq(o->correlation_id, o->id) ? STR_NONE : o->correlation_id,
        [DECISION_REMOTE] = o->remote,
        [DECISION_CLIENT] = o->client,
        [DECISION_SUBJECT] = o->subject,
        [DECISION_PATH] = o->path,
        [DECISION_ROLES] = o->roles,
    };
    for (unsigned i = 0; i < DECISION_TEXTS; i++) {
        if (!in[i].n) continue;
        if (texts[i].from_outside && in[i].n >= LOG_SECRET_MIN && log_may_hold_secret(in[i]))
            put_redacted(r, (enum decision_text)i, in[i]);
        else
            put_text(r, (enum decision_text)i, in[i]);
    }
}

str decision_record_text(const struct decision_record *r, enum decision_text which)
{
    size_t at = 0;
    for (unsigned i = 0; i < (unsigned)which; i++) at += r->len[i];
    return str_make(r->text + at, r->len[which]);
}

bool decision_record_cut(const struct decision_record *r, enum decision_text which)
{
    return r->cut >> which & 1;
}

static void member(struct buf *out, const char *name, str value)
{
    buf_puts(out, ",\"");
    buf_puts(out, name);
    buf_puts(out, "\":\"");
    buf_put_json(out, value);
    buf_putc(out, '"');
}

static void number(struct buf *out, const char *name, uint64_t value)
{
    buf_puts(out, ",\"");
    buf_puts(out, name);
    buf_puts(out, "\":");
    buf_put_u64(out, value);
}

void decision_record_json(const struct decision_record *r, struct buf *out)
{
    char ts[CLOCK_RFC3339_LEN];
    clock_rfc3339(ts, r->unix_ms);
    buf_puts(out, "{\"ts\":\"");
    buf_put(out, str_make(ts, sizeof ts));
    buf_putc(out, '"');
    member(out, "decision_id", str_make(r->id, ULID_LEN));
    if (r->trace_id[0]) member(out, "trace_id", str_make(r->trace_id, sizeof r->trace_id));
    number(out, "gate", r->gate);
    member(out, "decision", r->effect == EFFECT_PERMIT ? STR("permit") : STR("deny"));
    member(out, "reason", str_of(reason_code((enum reason)r->reason)));
    number(out, "status", r->status);
    if (r->caller) member(out, "caller", str_of(caller_kind_name((enum caller_kind)r->caller)));
    if (r->credential) member(out, "credential", str_of(credential_name(r->credential)));
    if (r->attempts) number(out, "attempts", r->attempts);
    number(out, "duration_us", r->duration_us);
    number(out, "generation", r->generation);
    for (unsigned i = 0; i < DECISION_TEXTS; i++)
        if (r->len[i]) member(out, texts[i].name, decision_record_text(r, (enum decision_text)i));
    if (!r->len[DECISION_CORRELATION_ID]) member(out, "correlation_id", str_make(r->id, ULID_LEN));
    if (r->cut) {
        buf_puts(out, ",\"cut\":[");
        bool first = true;
        for (unsigned i = 0; i < DECISION_TEXTS; i++) {
            if (!decision_record_cut(r, (enum decision_text)i)) continue;
            buf_puts(out, first ? "\"" : ",\"");
            buf_puts(out, texts[i].name);
            buf_putc(out, '"');
            first = false;
        }
        buf_putc(out, ']');
    }
    buf_putc(out, '}');
}
