/* The small languages inside configuration values: sizes, durations, addresses, networks, names.
 *
 * Pure functions from text to numbers; each tells its fault as a sentence that fits behind "must be ". No file, no
 * clock, no resolver. */
#ifndef SALLYPORT_CONFIG_VALUES_H
#define SALLYPORT_CONFIG_VALUES_H

#include "config/config.h"

/* "16kB", "64MB", "1GB", "512B", "4096": bytes; the units are powers of 1024. ERR_MALFORMED, ERR_LIMIT. */
MUST_USE enum err value_size(str s, uint64_t *bytes);

/* "500ms", "10s", "5m", "1h", "30d": whole numbers, one unit. ERR_MALFORMED, ERR_LIMIT. */
MUST_USE enum err value_duration(str s, uint64_t *ms);

/* The shortest text that value_size and value_duration read as that number; not terminated at n, but by NUL. */
#define VALUE_TEXT 24
void value_size_text(uint64_t bytes, char out[VALUE_TEXT]);
void value_duration_text(uint64_t ms, char out[VALUE_TEXT]);

/* HOST:PORT, [v6]:PORT, :PORT or unix:/path; fills all but `at`. Slices borrow from s. *why is a sentence.
 * `need_host`: ":8080" is refused. ERR_MALFORMED. */
MUST_USE enum err value_address(str s, bool need_host, struct config_address *out, const char **why);

/* "10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "unix". ERR_MALFORMED; *why is a sentence. */
MUST_USE enum err value_network(str s, struct config_network *out, const char **why);

/* 64 hex digits. ERR_MALFORMED. */
MUST_USE enum err value_sha256(str s, unsigned char out[32]);

/* [A-Za-z][A-Za-z0-9_-]{0,63}; actions may have dots as well. */
bool value_name_ok(str s);
bool value_action_name_ok(str s);
/* n_min..n_max of [a-z0-9] */
bool value_lower_ok(str s, size_t n_min, size_t n_max);

/* [a-z][a-z0-9-]{0,31} */
bool value_user_base_ok(str s);

/* "10/m": so many in a second (s), minute (m) or hour (h); 1 to a million. ERR_MALFORMED. */
MUST_USE enum err value_rate(str s, struct config_rate *out);

/* The same, or in a day (d). */
MUST_USE enum err value_day_rate(str s, struct config_rate *out);

/* "12.5%": millionths of the whole; at most four digits behind the point, at most 100%. ERR_MALFORMED. */
MUST_USE enum err value_percent(str s, uint32_t *ppm);

/* Whether the text has a control character (also DEL, and C1 controls as UTF-8). */
bool value_has_control(str s);

/* Whether the text names something that may be a secret: "secret", "password", "token" and the like are in it. */
bool value_sounds_secret(str s);

/* How far two words are apart: insertions, deletions, replacements and swaps of neighbours, without regard to ASCII
 * case; words longer than 64 bytes are infinitely far. */
unsigned value_distance(str a, str b);

/* The one of n words that is nearest to `wrong` and near enough for a "did you mean", or STR_NONE. */
struct value_nearest {
    str best;
    unsigned distance;
};
void value_nearest(struct value_nearest *n, str wrong, str candidate);

#endif
