#include "store/apikey_record.h"

bool apikey_record_id_ok(str id)
{
    if (id.n < 8 || id.n > 16) return false;
    for (size_t i = 0; i < id.n; i++)
        if (!(id.p[i] >= 'a' && id.p[i] <= 'z') && !(id.p[i] >= '0' && id.p[i] <= '9')) return false;
    return true;
}

str apikey_record_key(struct record_key *k, str id)
{
    return record_key_join(k, (const str[]){STR("apikey"), id}, 2);
}

enum err apikey_record_key_read(str key, str *id)
{
    if (!str_starts(key, APIKEY_RECORD_PREFIX)) return ERR_MALFORMED;
    str rest = str_from(key, APIKEY_RECORD_PREFIX.n);
    if (!apikey_record_id_ok(rest)) return ERR_MALFORMED;
    *id = rest;
    return ERR_OK;
}

static bool apikey_ok(const struct apikey_record *a)
{
    return record_name_ok(a->product) && record_text_ok(a->disabled) && record_text_ok(a->label) && a->expires_s >= 0;
}

enum err apikey_record_put(struct buf *out, const struct apikey_record *a)
{
    size_t start = out->n;
    if (!apikey_ok(a)) return ERR_MALFORMED;
    record_begin(out);
    record_put_str(out, "product", a->product);
    record_put_digest(out, "sha256", a->sha256);
    record_put_u64(out, "created_ms", a->created_ms);
    record_put_i64(out, "expires_s", a->expires_s);
    record_put_str(out, "disabled", a->disabled);
    record_put_str(out, "label", a->label);
    return record_end(out, start);
}

enum err apikey_record_read(str value, struct arena *mem, struct apikey_record *out)
{
    struct record_reader r;
    struct apikey_record a = {0};
    enum err e = record_open(&r, value, mem);
    if (e != ERR_OK) return e;
    a.product = record_str(&r, "product");
    record_digest(&r, "sha256", a.sha256);
    a.created_ms = record_u64(&r, "created_ms");
    a.expires_s = record_i64_if(&r, "expires_s");
    a.disabled = record_str_if(&r, "disabled");
    a.label = record_str_if(&r, "label");
    if (r.err == ERR_OK && !apikey_ok(&a)) record_refuse(&r);
    if (r.err == ERR_OK) *out = a;
    return r.err;
}
