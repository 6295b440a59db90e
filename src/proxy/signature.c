#include "proxy/signature.h"

#include "identity/http_signature.h"
#include "proxy/replay.h"

#define SIGNATURE_ARENA (2u * HTTP_SIGNATURE_BASE_MAX)
#define NS_A_SECOND     UINT64_C(1000000000)

bool signature_presented(const struct exchange *x)
{
    const struct fields *f = &x->down.request.fields;
    for (uint32_t i = 0; i < f->n; i++)
        if (f->v[i].id == FIELD_OTHER &&
            (str_ieq(f->v[i].name, STR("Signature-Input")) || str_ieq(f->v[i].name, STR("Signature"))))
            return true;
    return false;
}

/* What a hop in front of us that we believe says of how it was asked, or how we were. */
static str believed(const struct exchange *x, enum field_id id, str otherwise)
{
    const struct fields *f = &x->down.request.fields;
    const struct field *said = exchange_hop_trusted(x) ? fields_get(f, id) : NULL;
    return said && said->value.n && fields_count(f, id) == 1 ? said->value : otherwise;
}

static bool message_of(struct exchange *x, struct arena *mem, struct http_signature_message *out)
{
    const struct request *r = &x->down.request;
    struct http_signature_field *fields = arena_array(mem, r->fields.n + 1, sizeof *fields);
    if (!fields) return false;
    for (uint32_t i = 0; i < r->fields.n; i++)
        fields[i] = (struct http_signature_field){r->fields.v[i].name, r->fields.v[i].value};
    *out = (struct http_signature_message){.method = r->method,
                                           .scheme = believed(x, FIELD_X_FORWARDED_PROTO, exchange_scheme(x)),
                                           .authority = believed(x, FIELD_X_FORWARDED_HOST, r->authority),
                                           .path = r->path,
                                           .query = r->query,
                                           .has_query = r->has_query,
                                           .fields = fields,
                                           .n_fields = r->fields.n,
                                           .body_follows = r->body != 0};
    return true;
}

static enum step wrong(struct exchange *x, enum http_signature_fault fault)
{
    enum reason reason = fault == HTTP_SIGNATURE_FAULT_MISSING  ? REASON_SIGNATURE_MISSING
                         : fault == HTTP_SIGNATURE_FAULT_MEMORY ? REASON_OVERLOADED
                                                                : REASON_SIGNATURE_WRONG;
    return refuse(x, reason, http_signature_fault_name(fault));
}

/* It is taken once, by whichever worker. A body that then turns out to be another costs its product a new signature. */
static enum step note(struct exchange *x, const struct http_signature *sig, str product)
{
    uint64_t until_s = (uint64_t)sig->created_s + HTTP_SIGNATURE_WINDOW_S + 1;
    struct replay *seen = x->worker->replay;
    str mac = str_make((const char *)sig->mac, sizeof sig->mac);
    if (!seen) return refuse(x, REASON_OVERLOADED, "signatures");
    enum err e = replay_note(seen, product, mac, x->started_ms * 1000000, until_s * NS_A_SECOND);
    if (e == ERR_CONFLICT) return refuse(x, REASON_SIGNATURE_REPLAYED, "replayed");
    return e == ERR_OK ? STEP_NEXT : refuse(x, REASON_OVERLOADED, "signatures");
}

/* What the store feeds may have been taken back; what the file says only the file takes back. A signature is as old as
 * the second it was made in, like a token. */
static enum step still_good(struct exchange *x, const struct snapshot_product *p, const struct http_signature *sig)
{
    const struct fed *fed = x->worker->fed;
    if (!fed) return STEP_NEXT;
    if (p->mac_fed && !exchange_fed_fresh(x)) return refuse(x, REASON_FEED_STALE, NULL);
    bool revoked = sig->created_s <= fed_before(fed, p->mark);
    return revoked ? refuse(x, REASON_SIGNATURE_WRONG, "revoked") : STEP_NEXT;
}

static enum step verify(struct exchange *x, struct arena *mem, const struct snapshot_product **out)
{
    struct http_signature_message m;
    struct http_signature sig;
    enum http_signature_fault fault = HTTP_SIGNATURE_FAULT_NONE;
    if (!message_of(x, mem, &m)) return refuse(x, REASON_OVERLOADED, "memory");
    if (http_signature_read(&m, mem, &sig, &fault) != ERR_OK) return wrong(x, fault);
    const struct snapshot_product *p = snapshot_product(x->config->snap, sig.keyid);
    if (!p || !p->mac_key.n) return wrong(x, HTTP_SIGNATURE_FAULT_KEYID);
    if (http_signature_verify(&sig, p->name, p->mac_key, (int64_t)(x->started_ms / 1000), &fault) != ERR_OK)
        return wrong(x, fault);
    enum step next = still_good(x, p, &sig);
    if (next == STEP_NEXT) next = note(x, &sig, p->name);
    if (next != STEP_NEXT) return next;
    if (m.body_follows) x->signed_digest = sig.digest; /* of the head's buffer, which stays */
    *out = p;
    return STEP_NEXT;
}

enum step signature_verify(struct exchange *x, const struct snapshot_product **out)
{
    struct arena mem;
    arena_init(&mem, NULL, 0, SIGNATURE_ARENA);
    enum step next = verify(x, &mem, out);
    arena_reset(&mem);
    return next;
}
