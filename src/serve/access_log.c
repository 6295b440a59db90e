#include "serve/access_log.h"

#include "base/log_line.h"

/* Most bytes of each value in the line, escapes counted; together with the names they stay below LOG_LINE_MAX. */
enum { MAX_PATH = 1536, MAX_SUBJECT = 512, MAX_CHOSEN = 256, MAX_NAME = 128, MAX_WORD = 64 };

/* In line, so that what stands before a value is copied as the constant it is. */
static inline __attribute__((always_inline)) void text_member(struct log_line *l, str head, str value, size_t max)
{
    if (!value.n) return;
    log_line_raw(l, head);
    log_line_json(l, value, max, false);
    log_line_lit(l, "\"");
}

/* Apart, so that only values that need it pay for the room. */
static __attribute__((noinline)) void redacted_member(struct log_line *l, str head, str value, size_t max)
{
    char room[MAX_PATH];
    str first = str_first(value, sizeof room);
    if (first.n < value.n) l->cut = true;
    text_member(l, head, log_redact(first, room, sizeof room), max);
}

/* A value the client chose: what looks like a credential is taken out. */
static inline __attribute__((always_inline)) void chosen_member(struct log_line *l, str head, str value, size_t max)
{
    if (value.n < LOG_SECRET_MIN || (value.n <= MAX_PATH && !log_may_hold_secret(value)))
        text_member(l, head, value, max);
    else
        redacted_member(l, head, value, max);
}

static inline __attribute__((always_inline)) void number_member(struct log_line *l, str head, uint64_t value)
{
    log_line_raw(l, head);
    log_line_u64(l, value);
}

/* Kind and credential up to the action's name, in one piece: nearly every request has all three. */
static str who_and_action(const struct outcome *o)
{
#define OF(kind)                                                                                                       \
    {                                                                                                                  \
        [ACCEPT_TOKEN] = STR_INIT(",\"caller\":\"" kind "\",\"credential\":\"token\",\"action\":\""),                  \
        [ACCEPT_APIKEY] = STR_INIT(",\"caller\":\"" kind "\",\"credential\":\"apikey\",\"action\":\""),                \
        [ACCEPT_SIGNATURE] = STR_INIT(",\"caller\":\"" kind "\",\"credential\":\"signature\",\"action\":\""),          \
        [ACCEPT_CERTIFICATE] = STR_INIT(",\"caller\":\"" kind "\",\"credential\":\"certificate\",\"action\":\"")       \
    }
    static const str texts[CALLER_KINDS][1u << ACCEPT_BITS] =
        {[CALLER_USER] = OF("user"), [CALLER_SERVICE] = OF("service"), [CALLER_THIRD_PARTY] = OF("third-party")};
#undef OF
    if (o->caller >= CALLER_KINDS || o->credential >= 1u << ACCEPT_BITS || !texts[o->caller][o->credential].n)
        return STR(",\"action\":\"");
    return texts[o->caller][o->credential];
}

static size_t json_line(struct log_line *l, const struct outcome *o, uint64_t end_ms, const char *role)
{
    if (log_has_priority()) log_line_lit(l, "<6>");
    log_line_lit(l, "{\"ts\":\"");
    log_line_time(l, end_ms);
    log_line_lit(l, "\",\"level\":\"info\",\"role\":\"");
    log_line_json(l, str_of(role), MAX_WORD, false);
    log_line_lit(l, "\",\"msg\":\"access\",\"trace_id\":\"");
    log_line_json(l, o->trace_id, MAX_WORD, false);
    log_line_lit(l, "\",\"decision_id\":\"");
    log_line_json(l, o->id, MAX_WORD, false);
    number_member(l, STR("\",\"gate\":"), o->gate);
    log_line_lit(l, ",\"method\":\"");
    log_line_json(l, o->method, MAX_WORD, false);
    log_line_lit(l, "\"");
    if (o->path.n)
        chosen_member(l, STR(",\"path\":\""), o->path, MAX_PATH);
    else
        log_line_lit(l, ",\"path\":\"\"");
    number_member(l, STR(",\"status\":"), o->status);
    log_line_raw(l, o->effect == EFFECT_PERMIT ? STR(",\"decision\":\"permit\",\"reason\":\"")
                                               : STR(",\"decision\":\"deny\",\"reason\":\""));
    log_line_raw(l, str_of(reason_code(o->reason)));
    number_member(l, STR("\",\"duration_us\":"), o->duration_us);
    number_member(l, STR(",\"bytes_in\":"), o->bytes_in);
    number_member(l, STR(",\"bytes_out\":"), o->bytes_out);
    if (!str_eq(o->correlation_id, o->id)) /* it is the decision's own unless a trusted hop has brought another */
        chosen_member(l, STR(",\"correlation_id\":\""), o->correlation_id, MAX_CHOSEN);
    text_member(l, who_and_action(o), o->action, MAX_NAME);
    text_member(l, STR(",\"product\":\""), o->product, MAX_NAME);
    chosen_member(l, STR(",\"client\":\""), o->client, MAX_CHOSEN);
    text_member(l, STR(",\"issuer\":\""), o->issuer, MAX_NAME);
    chosen_member(l, STR(",\"sub\":\""), o->subject, MAX_SUBJECT);
    text_member(l, STR(",\"upstream\":\""), o->upstream, MAX_NAME);
    if (UNLIKELY(o->attempts > 1)) number_member(l, STR(",\"attempts\":"), o->attempts);
    text_member(l, STR(",\"remote\":\""), o->remote, MAX_NAME);
    if (UNLIKELY(o->tls)) log_line_raw(l, o->tls == 0x0304 ? STR(",\"tls\":\"1.3\"") : STR(",\"tls\":\"1.2\""));
    text_member(l, STR(",\"fault\":\""), o->fault, MAX_WORD);
    log_line_raw(l, l->cut ? STR(",\"cut\":true}\n") : STR("}\n"));
    return l->n;
}

/* "10:46:04.123 access GET /orders/7 200 permit granted 1.234ms viewOrder mobile-app corp:alice 01J…" */
static size_t text_line(struct log_line *l, const struct outcome *o, uint64_t end_ms)
{
    char room[MAX_PATH];
    log_line_time(l, end_ms);
    memmove(l->p, l->p + 11, 12);
    l->n = 12;
    log_line_lit(l, " access ");
    log_line_word(l, o->method, MAX_WORD);
    log_line_lit(l, " ");
    log_line_word(l, log_redact(str_first(o->path, sizeof room), room, sizeof room), MAX_PATH);
    number_member(l, STR(" "), o->status);
    log_line_raw(l, o->effect == EFFECT_PERMIT ? STR(" permit ") : STR(" DENY "));
    log_line_raw(l, str_of(reason_code(o->reason)));
    number_member(l, STR(" "), o->duration_us / 1000);
    const char ms[] = {'.',
                       (char)('0' + o->duration_us / 100 % 10),
                       (char)('0' + o->duration_us / 10 % 10),
                       (char)('0' + o->duration_us % 10),
                       'm',
                       's'};
    log_line_raw(l, str_make(ms, sizeof ms));
    const str words[] = {o->action, o->product, o->subject, o->id};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!words[i].n) continue;
        log_line_lit(l, " ");
        log_line_word(l, log_redact(str_first(words[i], sizeof room), room, sizeof room), MAX_SUBJECT);
    }
    log_line_lit(l, "\n");
    return l->n;
}

size_t access_log_line(char out[LOG_LINE_MAX], const struct outcome *o, uint64_t end_ms, const char *role, bool text)
{
    struct log_line l = {.p = out, .cap = LOG_LINE_MAX};
    return text ? text_line(&l, o, end_ms) : json_line(&l, o, end_ms, role);
}

void access_log_write(struct log_producer *p, const struct outcome *o, uint64_t end_ms)
{
    char *room = p ? log_room(p, LOG_LINE_MAX) : NULL;
    if (!room) return;
    log_commit(p, access_log_line(room, o, end_ms, log_role(), log_is_text()));
}
