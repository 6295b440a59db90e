#include "audit/chain.h"

#include "base/clock.h"
#include "codec/json.h"
#include "crypto/mac.h"
#include "crypto/secret.h"

#include <stdio.h>

static const str seal_mac = STR_INIT(",\"mac\":\"");
static const str seal_close = STR_INIT("\"}");

static const struct json_limits line_limits = {.max_bytes = AUDIT_LINE_MAX,
                                               .max_depth = 2,
                                               .max_values = 32,
                                               .max_members = 32,
                                               .max_number = 20};

bool audit_chain_name_ok(str name)
{
    if (name.n == 0 || name.n > AUDIT_CHAIN_MAX) return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool more = (c >= '0' && c <= '9') || c == '-';
        if (!(c >= 'a' && c <= 'z') && !(i && more)) return false;
    }
    return true;
}

static void put_hex(char *out, const unsigned char *in, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
}

static void hash_of(str text, char out[CHAIN_HASH_LEN])
{
    unsigned char digest[SHA256_LEN];
    sha256(text, digest);
    put_hex(out, digest, sizeof digest);
}

void audit_chain_begin(str name, struct audit_chain *c)
{
    char text[64 + AUDIT_CHAIN_MAX];
    int n = snprintf(text, sizeof text, "sallyport audit chain %.*s", STR_ARG(str_first(name, AUDIT_CHAIN_MAX)));
    c->sequence = 0;
    hash_of(str_make(text, (size_t)n), c->hash);
}

static void put_start(const struct audit_chain *c, uint64_t unix_ms, struct buf *out)
{
    char time[CLOCK_RFC3339_LEN];
    clock_rfc3339(time, unix_ms);
    buf_puts(out, "{\"sequence\":");
    buf_put_u64(out, c->sequence + 1);
    buf_puts(out, ",\"time\":\"");
    buf_put(out, str_make(time, sizeof time));
    buf_puts(out, "\",\"previous\":\"");
    buf_put(out, str_make(c->hash, sizeof c->hash));
    buf_puts(out, "\",");
}

/* The line that began at `begin` is whole. */
static void move_on(struct audit_chain *c, size_t begin, struct buf *out)
{
    if (out->bad) return;
    hash_of(str_make(out->p + begin, out->n - begin), c->hash);
    c->sequence++;
}

void audit_chain_put(struct audit_chain *c, uint64_t unix_ms, str body, struct buf *out)
{
    size_t begin = out->n;
    if (!buf_room(out, body.n + 256)) return; /* whole or not at all */
    put_start(c, unix_ms, out);
    buf_put(out, body);
    buf_putc(out, '}');
    move_on(c, begin, out);
    buf_putc(out, '\n');
}

static void mac_of(str key, str text, char out[CHAIN_HASH_LEN])
{
    unsigned char mac[SHA256_LEN];
    hmac_sha256(key, text, mac);
    put_hex(out, mac, sizeof mac);
}

void audit_chain_seal(struct audit_chain *c, uint64_t unix_ms, str key, struct buf *out)
{
    char mac[CHAIN_HASH_LEN];
    size_t begin = out->n;
    if (!buf_room(out, 512)) return;
    put_start(c, unix_ms, out);
    buf_puts(out, "\"event\":\"seal\",\"outcome\":\"ok\"");
    mac_of(key, str_make(out->p + begin, out->n - begin), mac);
    buf_put(out, seal_mac);
    buf_put(out, str_make(mac, sizeof mac));
    buf_put(out, seal_close);
    move_on(c, begin, out);
    buf_putc(out, '\n');
}

/* --- reading --- */

static bool hash_form(str s)
{
    if (s.n != CHAIN_HASH_LEN) return false;
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f'))) return false;
    return true;
}

static enum err read_line(str line, struct arena *mem, struct chain_line *out, str *previous)
{
    const struct json *v;
    int64_t sequence;
    enum err e = json_parse(line, &line_limits, mem, &v, NULL, NULL);
    if (e != ERR_OK) return e == ERR_NO_MEMORY ? e : ERR_MALFORMED;
    if (json_int(json_get(v, STR("sequence")), &sequence) != ERR_OK || sequence < 1) return ERR_MALFORMED;
    str event = json_text(json_get(v, STR("event"))), time = json_text(json_get(v, STR("time")));
    *previous = json_text(json_get(v, STR("previous")));
    if (!event.n || time.n != CLOCK_RFC3339_LEN || !hash_form(*previous)) return ERR_MALFORMED;
    *out = (struct chain_line){.sequence = (uint64_t)sequence,
                               .time = time,
                               .event = event,
                               .seal = str_eq(event, STR("seal"))};
    return ERR_OK;
}

/* The MAC covers everything before it, and there is nothing behind it. */
static bool seal_ok(str line, str key)
{
    char mac[CHAIN_HASH_LEN];
    size_t tail = seal_mac.n + CHAIN_HASH_LEN + seal_close.n;
    if (line.n < tail || !str_ends(line, seal_close)) return false;
    str text = str_first(line, line.n - tail), rest = str_from(line, line.n - tail);
    if (!str_starts(rest, seal_mac)) return false;
    mac_of(key, text, mac);
    return secret_equal(mac, rest.p + seal_mac.n, sizeof mac);
}

enum err audit_chain_check(struct audit_chain *c, str line, str key, struct arena *mem, struct chain_line *out,
                           enum chain_fault *fault)
{
    str previous = STR_NONE;
    enum err e = read_line(line, mem, out, &previous);
    *fault = CHAIN_FAULT_FORM;
    if (e != ERR_OK) return e;
    *fault = CHAIN_FAULT_SEQUENCE;
    if (out->sequence != c->sequence + 1) return ERR_MALFORMED;
    *fault = CHAIN_FAULT_HASH;
    if (!str_eq(previous, str_make(c->hash, sizeof c->hash))) return ERR_MALFORMED;
    *fault = CHAIN_FAULT_SEAL;
    if (out->seal && key.n) {
        if (!seal_ok(line, key)) return ERR_MALFORMED;
        out->sealed = true;
    }
    *fault = CHAIN_FAULT_NONE;
    hash_of(line, c->hash);
    c->sequence++;
    return ERR_OK;
}

enum err audit_chain_resume(str line, struct arena *mem, struct audit_chain *out)
{
    struct chain_line read;
    str previous;
    enum err e = read_line(line, mem, &read, &previous);
    if (e != ERR_OK) return e;
    out->sequence = read.sequence;
    hash_of(line, out->hash);
    return ERR_OK;
}

enum err audit_chain_before(str line, struct arena *mem, struct audit_chain *out)
{
    struct chain_line read;
    str previous;
    enum err e = read_line(line, mem, &read, &previous);
    if (e != ERR_OK) return e;
    out->sequence = read.sequence - 1;
    memcpy(out->hash, previous.p, CHAIN_HASH_LEN);
    return ERR_OK;
}
