/* A line of log in a fixed room: appends that check nothing but the room, and escape whatever came from outside.
 *
 * Used by the event log and the access log; the room must be LOG_LINE_MAX. Each value has a bound of its own, so
 * that one long value cannot push out the others; `cut` tells that some value was not written whole. */
#ifndef SALLYPORT_BASE_LOG_LINE_H
#define SALLYPORT_BASE_LOG_LINE_H

#include "base/str.h"

struct log_line {
    char *p;
    size_t n, cap;
    bool cut;
};

/* Bytes of our own that need no escaping. What does not fit is left out whole, and `cut` set. */
static inline __attribute__((always_inline)) void log_line_raw(struct log_line *l, str s)
{
    if (UNLIKELY(s.n > l->cap - l->n)) {
        l->cut = true;
        return;
    }
    (void)str_put(l->p + l->n, s);
    l->n += s.n;
}

#define log_line_lit(l, lit) log_line_raw((l), STR(lit))

void log_line_u64(struct log_line *l, uint64_t v);
void log_line_i64(struct log_line *l, int64_t v);

/* The inside of a JSON string, at most max_out bytes of it: cut between characters. Bytes that are not UTF-8 become
 * U+FFFD. With `visible` also what a terminal might act on or hide is escaped: C1 controls, bidirectional marks. */
void log_line_json(struct log_line *l, str s, size_t max_out, bool visible);

/* Whether the character of `len` bytes at p is one that terminals obey or that hides or reorders what stands around it:
 * C1 controls, zero-width and bidirectional marks, line and paragraph separators, the byte order mark. */
bool log_line_deceives(const char *p, size_t len);

/* For terminals: as it is if it is one word of ordinary characters, otherwise quoted and escaped. */
void log_line_word(struct log_line *l, str s, size_t max_out);

/* "2026-11-20T10:46:04.123Z"; the calendar part is kept per thread and worked out once a second. */
void log_line_time(struct log_line *l, uint64_t unix_ms);

/* `s` itself when it holds nothing secret, else a copy in `room` with "[redacted]" in place of each compact JWS and
 * each API key, refresh token and apisecret of ours (cut when cap is too small). Recognised by their form: eyJ….….…,
 * sp_<env>_<id>_…, sr_<session>_…, ss_…. */
str log_redact(str s, char *room, size_t cap);
/* Whether log_redact need look any closer; nothing shorter than this is a secret. */
#define LOG_SECRET_MIN 16
bool log_may_hold_secret(str s);

#endif
