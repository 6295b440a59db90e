#include "store/revocation_record.h"

static const char *const kinds[] = {"token", "session", "user", "product", "all"};

const char *revocation_kind_name(enum revocation_kind k)
{
    return k < REVOCATION_KINDS ? kinds[k] : "";
}

enum revocation_kind revocation_kind_of(str name)
{
    unsigned k = 0;
    while (k < REVOCATION_KINDS && !str_eq(name, str_of(kinds[k]))) k++;
    return (enum revocation_kind)k;
}

/* What stands for itself in a key: visible ASCII but '%' and '/'. */
static bool plain(char c)
{
    return c > ' ' && c <= '~' && c != '%' && c != '/';
}

static bool put_encoded(struct record_key *k, str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (k->n + 3 > sizeof k->p) return false;
        if (plain(s.p[i])) {
            k->p[k->n++] = s.p[i];
            continue;
        }
        k->p[k->n++] = '%';
        k->p[k->n++] = hex[c >> 4];
        k->p[k->n++] = hex[c & 15];
    }
    return true;
}

str revocation_record_key(struct record_key *k, const struct revocation_target *t)
{
    bool user = t->kind == REVOCATION_USER;
    if (t->kind >= REVOCATION_KINDS || (t->kind == REVOCATION_ALL) != (t->value.n == 0)) return STR_NONE;
    if (user && !record_name_ok(t->issuer)) return STR_NONE;
    if (user) (void)record_key_join(k, (const str[]){STR("revoked/user"), t->issuer, STR("")}, 3);
    if (!user) (void)record_key_join(k, (const str[]){STR("revoked"), str_of(kinds[t->kind]), STR("")}, 3);
    return put_encoded(k, t->value) ? str_make(k->p, k->n) : STR_NONE;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Takes what put_encoded writes and nothing else, so that two keys never mean the same. */
static enum err decode(str in, struct arena *mem, str *out)
{
    char *p = arena_alloc(mem, in.n ? in.n : 1);
    size_t n = 0;
    if (!p) return ERR_NO_MEMORY;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] != '%') {
            if (!plain(in.p[i])) return ERR_MALFORMED;
            p[n++] = in.p[i];
            continue;
        }
        if (in.n - i < 3) return ERR_MALFORMED;
        int high = hex_of(in.p[i + 1]), low = hex_of(in.p[i + 2]);
        if (high < 0 || low < 0 || plain((char)(high << 4 | low))) return ERR_MALFORMED;
        p[n++] = (char)(high << 4 | low);
        i += 2;
    }
    *out = str_make(p, n);
    return ERR_OK;
}

enum err revocation_record_key_read(str key, struct arena *mem, struct revocation_target *out)
{
    struct revocation_target t = {0};
    if (!str_starts(key, REVOCATION_PREFIX)) return ERR_MALFORMED;
    str rest = str_from(key, REVOCATION_PREFIX.n);
    if (!str_has(rest, '/')) return ERR_MALFORMED;
    t.kind = revocation_kind_of(str_cut(&rest, '/'));
    if (t.kind == REVOCATION_KINDS) return ERR_MALFORMED;
    if (t.kind == REVOCATION_USER) {
        if (!str_has(rest, '/')) return ERR_MALFORMED;
        t.issuer = str_cut(&rest, '/');
        if (!record_name_ok(t.issuer)) return ERR_MALFORMED;
    }
    if ((t.kind == REVOCATION_ALL) != (rest.n == 0)) return ERR_MALFORMED;
    enum err e = decode(rest, mem, &t.value);
    if (e == ERR_OK) *out = t;
    return e;
}

enum err revocation_record_put(struct buf *out, const struct revocation_record *v)
{
    size_t start = out->n;
    if (!record_text_ok(v->reason) || !record_text_ok(v->by)) return ERR_MALFORMED;
    record_begin(out);
    record_put_i64(out, "before_s", v->before_s);
    record_put_str(out, "reason", v->reason);
    record_put_str(out, "by", v->by);
    record_put_u64(out, "at_ms", v->at_ms);
    return record_end(out, start);
}

enum err revocation_record_read(str value, struct arena *mem, struct revocation_record *out)
{
    struct record_reader r;
    struct revocation_record v = {0};
    enum err e = record_open(&r, value, mem);
    if (e != ERR_OK) return e;
    if (!json_get(r.object, STR("before_s"))) record_refuse(&r);
    v.before_s = record_i64_if(&r, "before_s");
    v.reason = record_str_if(&r, "reason");
    v.by = record_str_if(&r, "by");
    v.at_ms = record_u64(&r, "at_ms");
    if (r.err == ERR_OK) *out = v;
    return r.err;
}
