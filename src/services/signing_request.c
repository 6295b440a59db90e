#include "services/signing_request.h"

static const char *const kinds[] = {"rotate", "retire"};

str signing_request_key(struct record_key *k, str id)
{
    return record_key_join(k, (const str[]){STR("signing-request"), id}, 2);
}

enum err signing_request_put(struct buf *out, const struct signing_request *r)
{
    size_t start = out->n;
    bool retire = r->kind == SIGNING_REQUEST_RETIRE;
    if (!record_text_ok(r->by) || (retire && !signing_kid_ok(r->kid))) return ERR_MALFORMED;
    record_begin(out);
    record_put_str(out, "kind", str_of(kinds[r->kind]));
    record_put_str(out, "alg", str_of(alg_name(r->alg)));
    record_put_str(out, "kid", r->kid);
    record_put_str(out, "by", r->by);
    record_put_u64(out, "at_ms", r->at_ms);
    return record_end(out, start);
}

enum err signing_request_read(str value, struct arena *mem, struct signing_request *out)
{
    struct record_reader r;
    struct signing_request q = {0};
    enum err e = record_open(&r, value, mem);
    if (e != ERR_OK) return e;
    str kind = record_str(&r, "kind"), alg = record_str_if(&r, "alg");
    if (str_eq(kind, str_of(kinds[SIGNING_REQUEST_RETIRE])))
        q.kind = SIGNING_REQUEST_RETIRE;
    else if (!str_eq(kind, str_of(kinds[SIGNING_REQUEST_ROTATE])))
        record_refuse(&r);
    q.alg = alg_from_name(alg);
    if (alg.n && !(alg_bit(q.alg) & ALGS_PUBLIC)) record_refuse(&r);
    q.kid = record_str_if(&r, "kid");
    q.by = record_str_if(&r, "by");
    q.at_ms = record_u64(&r, "at_ms");
    if (q.kind == SIGNING_REQUEST_RETIRE && !signing_kid_ok(q.kid)) record_refuse(&r);
    if (r.err == ERR_OK) *out = q;
    return r.err;
}
