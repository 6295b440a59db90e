#include "net/dns_message.h"

#define HEADER   12
#define WIRE_MAX 255 /* RFC 1035 §3.1 */
#define CLASS_IN 1
#define RECORDS  1024 /* in a message of 64 kB there is no use for more */

/* A name as in the message, without compression, letters in lower case: names are equal if these are. */
struct name {
    unsigned char p[WIRE_MAX];
    size_t n;
};

struct reader {
    const unsigned char *p;
    size_t n, at;
};

/* One resource record. Its name and data are slices of the message. */
struct rr {
    struct name owner;
    uint16_t type, class;
    uint32_t ttl_s;
    size_t data, n_data;
};

static bool take_u16(struct reader *r, uint16_t *out)
{
    if (r->n - r->at < 2) return false;
    *out = (uint16_t)(r->p[r->at] << 8 | r->p[r->at + 1]);
    r->at += 2;
    return true;
}

static bool take_u32(struct reader *r, uint32_t *out)
{
    uint16_t high, low;
    if (!take_u16(r, &high) || !take_u16(r, &low)) return false;
    *out = (uint32_t)high << 16 | low;
    return true;
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

/* RFC 1035 §4.1.4. A pointer must lead before the place where the piece that it ends began, so that there is no going
 * in circles. */
static bool take_name(struct reader *r, struct name *out)
{
    size_t piece = r->at, at = piece, behind = 0;
    out->n = 0;
    for (;;) {
        if (at >= r->n) return false;
        unsigned n = r->p[at];
        if ((n & 0xc0) == 0xc0) {
            if (r->n - at < 2) return false;
            size_t to = (size_t)(n & 0x3f) << 8 | r->p[at + 1];
            if (!behind) behind = at + 2;
            if (to >= piece || to < HEADER) return false;
            at = piece = to;
            continue;
        }
        if (n > 63 || r->n - at < n + 1 || out->n + n + 1 > WIRE_MAX) return false;
        out->p[out->n++] = (unsigned char)n;
        for (unsigned i = 1; i <= n; i++) out->p[out->n++] = lower(r->p[at + i]);
        at += n + 1;
        if (n == 0) break;
    }
    r->at = behind ? behind : at;
    return true;
}

static bool same(const struct name *a, const struct name *b)
{
    return a->n == b->n && memcmp(a->p, b->p, a->n) == 0;
}

static bool name_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Text to wire form. */
static bool name_of(str text, struct name *out)
{
    out->n = 0;
    if (text.n == 0 || text.n > WIRE_MAX - 2) return false;
    for (str rest = text; rest.n || text.p[text.n - 1] == '.';) {
        str label = str_cut(&rest, '.');
        if (label.n == 0 || label.n > 63) return false;
        out->p[out->n++] = (unsigned char)label.n;
        for (size_t i = 0; i < label.n; i++) {
            unsigned char c = lower((unsigned char)label.p[i]);
            if (!name_byte(c)) return false;
            out->p[out->n++] = c;
        }
    }
    out->p[out->n++] = 0;
    return true;
}

bool dns_name_ok(str name)
{
    struct name wire;
    return name_of(name, &wire);
}

/* Wire form to text; only what can stand in a host's name. The root is "". */
static bool text_of(const struct name *from, char out[DNS_NAME_MAX + 1])
{
    size_t n = 0;
    for (size_t at = 0; from->p[at];) {
        unsigned label = from->p[at++];
        if (n) out[n++] = '.';
        for (; label; label--) {
            unsigned char c = from->p[at++];
            if (!name_byte(c) || n >= DNS_NAME_MAX) return false;
            out[n++] = (char)c;
        }
    }
    out[n] = 0;
    return true;
}

static bool take_rr(struct reader *r, struct rr *out)
{
    uint16_t n;
    if (!take_name(r, &out->owner) || !take_u16(r, &out->type) || !take_u16(r, &out->class) ||
        !take_u32(r, &out->ttl_s) || !take_u16(r, &n) || r->n - r->at < n)
        return false;
    if (out->ttl_s > INT32_MAX) out->ttl_s = 0; /* RFC 2181 §8 */
    out->data = r->at;
    out->n_data = n;
    r->at += n;
    return true;
}

/* The first name in a record's data; *behind is where it ends. */
static bool data_name(const struct reader *r, const struct rr *rr, size_t skip, struct name *out, size_t *behind)
{
    struct reader in = {r->p, rr->data + rr->n_data, rr->data + skip};
    if (skip > rr->n_data || !take_name(&in, out)) return false;
    *behind = in.at;
    return true;
}

static void least(uint32_t *ttl_s, uint32_t of)
{
    if (of < *ttl_s) *ttl_s = of;
}

static bool take_srv(const struct reader *r, const struct rr *rr, struct dns_record *out)
{
    struct reader in = {r->p, rr->data + rr->n_data, rr->data};
    struct name target;
    size_t behind;
    return take_u16(&in, &out->priority) && take_u16(&in, &out->weight) && take_u16(&in, &out->port) &&
           data_name(r, rr, 6, &target, &behind) && behind == rr->data + rr->n_data && text_of(&target, out->target);
}

static bool take_record(const struct reader *r, const struct rr *rr, enum dns_type type, struct dns_message *out)
{
    if (out->n == DNS_RECORDS_MAX) {
        out->left_out = true;
        return true;
    }
    struct dns_record *to = &out->v[out->n];
    memset(to, 0, sizeof *to);
    size_t size = type == DNS_TYPE_A ? 4 : 16;
    if (type == DNS_TYPE_SRV) {
        if (!take_srv(r, rr, to)) return false;
    } else {
        if (rr->n_data != size) return false;
        memcpy(to->ip, r->p + rr->data, size);
    }
    least(&out->ttl_s, rr->ttl_s);
    out->n++;
    return true;
}

/* Where an alias of `at` among the answers leads. ERR_NOT_FOUND: it has none. */
static enum err alias(struct reader r, unsigned n, struct name *at, struct dns_message *out)
{
    for (struct rr rr; n; n--) {
        if (!take_rr(&r, &rr)) return ERR_MALFORMED;
        if (rr.type != DNS_TYPE_CNAME || rr.class != CLASS_IN || !same(&rr.owner, at)) continue;
        size_t behind;
        if (!data_name(&r, &rr, 0, at, &behind) || behind != rr.data + rr.n_data) return ERR_MALFORMED;
        least(&out->ttl_s, rr.ttl_s);
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

/* The records of that type that `at` has. */
static enum err collect(struct reader *r, unsigned n, const struct name *at, enum dns_type type,
                        struct dns_message *out)
{
    for (struct rr rr; n; n--) {
        if (!take_rr(r, &rr)) return ERR_MALFORMED;
        if (rr.type != type || rr.class != CLASS_IN || !same(&rr.owner, at)) continue;
        if (!take_record(r, &rr, type, out)) return ERR_MALFORMED;
    }
    return ERR_OK;
}

/* RFC 2308 §5: how long there is nothing, the lesser of the SOA's own time and its last number. A section that is not
 * well formed says nothing. */
static void negative(struct reader *r, unsigned n, struct dns_message *out)
{
    uint32_t aliases = out->ttl_s;
    struct name any;
    size_t behind;
    for (struct rr rr; n && take_rr(r, &rr); n--) {
        if (rr.type != DNS_TYPE_SOA || rr.class != CLASS_IN) continue;
        struct reader in = {r->p, rr.data + rr.n_data, rr.data};
        uint32_t last = 0;
        bool names = take_name(&in, &any); /* the server, then whom to write to */
        names = names && take_name(&in, &any);
        if (!names) return;
        behind = in.at;
        if (in.n - behind != 20) return;
        in.at = behind + 16;
        if (!take_u32(&in, &last)) return;
        out->ttl_s = aliases;
        least(&out->ttl_s, rr.ttl_s);
        least(&out->ttl_s, last);
        return;
    }
}

enum err dns_message_read(const unsigned char *p, size_t n, str name, enum dns_type type, struct dns_message *out)
{
    struct reader r = {p, n, 2};
    struct name asked, at;
    uint16_t flags, questions, answers, authority, additional, asked_type, class;
    if (n < HEADER || n > DNS_MESSAGE_MAX || !name_of(name, &at)) return ERR_MALFORMED;
    if (!take_u16(&r, &flags) || !take_u16(&r, &questions) || !take_u16(&r, &answers) || !take_u16(&r, &authority) ||
        !take_u16(&r, &additional))
        return ERR_MALFORMED;
    /* an answer (QR) to a plain query (opcode 0) with one question, which is ours */
    if (!(flags & 0x8000) || flags & 0x7800 || questions != 1 || answers > RECORDS) return ERR_MALFORMED;
    if (!take_name(&r, &asked) || !take_u16(&r, &asked_type) || !take_u16(&r, &class)) return ERR_MALFORMED;
    if (!same(&asked, &at) || asked_type != type || class != CLASS_IN) return ERR_MALFORMED;
    out->rcode = flags & 0xf;
    out->truncated = flags & 0x0200;
    out->left_out = false;
    out->ttl_s = UINT32_MAX;
    out->n = 0;
    enum err e = ERR_OK;
    for (unsigned hops = 0; e == ERR_OK; hops++) {
        e = alias(r, answers, &at, out);
        if (e == ERR_OK && hops == DNS_ALIASES_MAX) return ERR_MALFORMED;
    }
    if (e == ERR_NOT_FOUND) e = collect(&r, answers, &at, type, out);
    if (e == ERR_OK && out->n == 0) negative(&r, authority, out);
    return e;
}
