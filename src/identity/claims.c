#include "identity/claims.h"

#include "base/utf8.h"

struct claims_found claims_find(const struct json *payload)
{
    struct claims_found f = {0};
    for (const struct json *m = payload->first; m; m = m->next) {
        const char *name = m->name.p;
#define IS(lit) (memcmp(name, lit, sizeof(lit) - 1) == 0)
        switch (m->name.n) {
        case 3:
            if (IS("iss"))
                f.iss = m;
            else if (IS("sub"))
                f.sub = m;
            else if (IS("aud"))
                f.aud = m;
            else if (IS("exp"))
                f.exp = m;
            else if (IS("nbf"))
                f.nbf = m;
            else if (IS("iat"))
                f.iat = m;
            else if (IS("jti"))
                f.jti = m;
            else if (IS("sid"))
                f.sid = m;
            else if (IS("cnf"))
                f.cnf = m;
            else if (IS("typ")) /* Keycloak names the kind of token here; access tokens are "Bearer" */
                f.other_kind |= str_ieq(json_text(m), STR("ID")) || str_ieq(json_text(m), STR("Refresh")) ||
                                str_ieq(json_text(m), STR("Offline")) || str_ieq(json_text(m), STR("Logout"));
            break;
        case 5: f.other_kind |= IS("nonce"); break;                  /* OpenID Connect Core §2 */
        case 6: f.other_kind |= IS("c_hash") || IS("events"); break; /* §3.3.2.11; RFC 8417 §2.2 */
        case 7: f.other_kind |= IS("at_hash"); break;                /* §3.1.3.6 */
        case 9:
            if (IS("token_use")) f.other_kind |= !str_ieq(json_text(m), STR("access")); /* Cognito */
            break;
        default: break;
        }
#undef IS
    }
    return f;
}

/* A NumericDate and whether it is later than `limit`; a fraction counts. */
static enum jwt_fault later_than(const struct json *v, int64_t limit, bool *later, int64_t *date)
{
    bool fraction;
    if (json_date(v, date, &fraction) != ERR_OK) return JWT_FAULT_TIME;
    *later = *date > limit || (*date == limit && fraction);
    return JWT_FAULT_NONE;
}

static enum jwt_fault check_times(const struct claims_found *f, const struct claims_rule *r, int64_t *exp_s,
                                  int64_t *iat_s)
{
    int64_t exp, nbf, iat = 0;
    bool fraction, later = false;
    if (json_date(f->exp, &exp, &fraction) != ERR_OK) return JWT_FAULT_EXP;
    exp += r->leeway_s; /* both below 2^53 */
    if (exp < r->now_s || (exp == r->now_s && !fraction)) return JWT_FAULT_EXPIRED;
    if (f->nbf) {
        enum jwt_fault fault = later_than(f->nbf, r->now_s + r->skew_s, &later, &nbf);
        if (fault != JWT_FAULT_NONE) return fault;
        if (later) return JWT_FAULT_NOT_YET;
    }
    if (f->iat) {
        enum jwt_fault fault = later_than(f->iat, r->now_s + r->skew_s, &later, &iat);
        if (fault != JWT_FAULT_NONE) return fault;
        if (later) return JWT_FAULT_ISSUED_LATER;
    }
    *exp_s = exp + fraction;
    *iat_s = iat;
    return JWT_FAULT_NONE;
}

static bool is_ours(str audience, const struct claims_rule *r)
{
    for (uint32_t i = 0; i < r->n_audiences; i++)
        if (str_eq(audience, r->audiences[i])) return true;
    return false;
}

/* RFC 7519 §4.1.3: a string or an array of strings; one of them exactly one of ours. */
static enum jwt_fault check_audience(const struct json *aud, const struct claims_rule *r)
{
    if (!aud) return r->audiences ? JWT_FAULT_AUD : JWT_FAULT_NONE;
    bool ours = !r->audiences;
    if (aud->type == JSON_STRING) {
        ours |= is_ours(aud->text, r);
    } else {
        if (aud->type != JSON_ARRAY || aud->count == 0 || aud->count > TOKEN_MAX_AUDIENCES) return JWT_FAULT_AUD;
        for (const struct json *a = aud->first; a; a = a->next) {
            if (a->type != JSON_STRING) return JWT_FAULT_AUD;
            ours |= is_ours(a->text, r);
        }
    }
    return ours ? JWT_FAULT_NONE : JWT_FAULT_AUD;
}

/* Characters that show nothing: Unicode's White_Space and the zero-width no-break space. */
static bool is_blank(uint32_t c)
{
    return c == 0x20 || (c >= 0x09 && c <= 0x0d) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000 ||
           c == 0xfeff;
}

/* C0, DEL and C1. */
static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f);
}

/* The character well-formed UTF-8 begins with (the JSON reader has checked it). */
static uint32_t character(const unsigned char *p, size_t len)
{
    if (len == 1) return p[0];
    uint32_t c = p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) c = c << 6 | (p[i] & 0x3f);
    return c;
}

/* Whether s is something a header may be made from: no control characters, not only blanks, at most `max` characters.
 */
static bool is_name(str s, size_t max)
{
    bool shows = false;
    size_t n = 0;
    for (size_t i = 0; i < s.n; n++) {
        size_t len = utf8_length(str_from(s, i));
        if (len == 0 || n == max) return false;
        uint32_t c = character((const unsigned char *)s.p + i, len);
        if (is_control(c)) return false;
        shows |= !is_blank(c);
        i += len;
    }
    return shows;
}

static bool has_control(str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (is_control(c) && c < 0x80) return true;
        if (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0) return true; /* U+0080..U+009F */
    }
    return false;
}

enum jwt_fault claims_check(const struct claims_found *found, const struct claims_rule *rule, int64_t *exp_s,
                            int64_t *iat_s)
{
    int64_t exp, iat;
    enum jwt_fault f = check_times(found, rule, &exp, &iat);
    if (f != JWT_FAULT_NONE) return f;
    f = check_audience(found->aud, rule);
    if (f != JWT_FAULT_NONE) return f;
    if (!found->sub || found->sub->type != JSON_STRING || !is_name(found->sub->text, TOKEN_MAX_SUBJECT))
        return JWT_FAULT_SUB;
    if (found->jti && found->jti->type != JSON_STRING) return JWT_FAULT_CLAIM;
    if (rule->typ == TYP_LEGACY && found->other_kind) return JWT_FAULT_KIND;
    *exp_s = exp;
    *iat_s = iat;
    return JWT_FAULT_NONE;
}

/* What a path leads to; NULL: nothing, or null. */
static const struct json *follow(const struct json *payload, const struct claim_path *path)
{
    const struct json *v = json_get(payload, path->whole);
    if (!v && path->n_parts) {
        v = payload;
        for (uint32_t i = 0; v && i < path->n_parts; i++) v = json_get(v, path->parts[i]);
    }
    return v && v->type != JSON_NULL ? v : NULL;
}

/* The first path that leads anywhere. JWT_FAULT_NONE with out->n == 0: none does. */
static enum jwt_fault map_one(const struct json *payload, const struct claim_paths *paths, str *out)
{
    for (uint32_t i = 0; i < paths->n; i++) {
        const struct json *v = follow(payload, &paths->v[i]);
        if (!v) continue;
        if (v->type != JSON_STRING || !is_name(v->text, TOKEN_MAX_SUBJECT)) return JWT_FAULT_CLAIM;
        *out = v->text;
        return JWT_FAULT_NONE;
    }
    *out = STR_NONE;
    return JWT_FAULT_NONE;
}

/* Roles or permissions on their way from the token to `claims`. */
struct gathering {
    const struct name_set *allowed;
    str *kept;
    uint32_t n, room, filtered;
};

static enum jwt_fault gather(struct gathering *g, str value)
{
    if (has_control(value)) return JWT_FAULT_CLAIM;
    if (value.n == 0 || !name_set_has(g->allowed, value)) {
        g->filtered++;
        return JWT_FAULT_NONE;
    }
    for (uint32_t i = 0; i < g->n; i++)
        if (str_eq(g->kept[i], value)) return JWT_FAULT_NONE;
    g->kept[g->n++] = value;
    return JWT_FAULT_NONE;
}

static enum jwt_fault gather_words(struct gathering *g, str words)
{
    enum jwt_fault f = JWT_FAULT_NONE;
    while (words.n && f == JWT_FAULT_NONE) {
        str word = str_cut(&words, ' ');
        if (word.n) f = gather(g, word);
    }
    return f;
}

static enum jwt_fault gather_array(struct gathering *g, const struct json *array)
{
    enum jwt_fault f = JWT_FAULT_NONE;
    for (const struct json *v = array->first; v && f == JWT_FAULT_NONE; v = v->next) {
        if (v->type == JSON_STRING)
            f = gather(g, v->text);
        else
            g->filtered++;
    }
    return f;
}

/* How many values a claim can bring, at most. */
static uint32_t value_count(const struct json *v, bool words)
{
    if (v->type == JSON_ARRAY) return v->count;
    uint32_t n = 1;
    if (v->type == JSON_STRING && words)
        for (size_t i = 0; i < v->text.n; i++) n += v->text.p[i] == ' ';
    return n;
}

/* All the paths together. `words`: a string is a list separated by blanks (`scope`, RFC 6749 §3.3); otherwise it is one
 * value. What has another type asserts nothing. */
static enum jwt_fault map_many(const struct json *payload, const struct claim_paths *paths, bool words,
                               struct arena *mem, struct gathering *g)
{
    for (uint32_t i = 0; i < paths->n; i++) {
        const struct json *v = follow(payload, &paths->v[i]);
        if (v) g->room += value_count(v, words);
    }
    if (g->room == 0) return JWT_FAULT_NONE;
    if (g->room > TOKEN_MAX_VALUES) return JWT_FAULT_CLAIM;
    g->kept = arena_array(mem, g->room, sizeof *g->kept);
    if (!g->kept) return JWT_FAULT_MEMORY;
    enum jwt_fault f = JWT_FAULT_NONE;
    for (uint32_t i = 0; i < paths->n && f == JWT_FAULT_NONE; i++) {
        const struct json *v = follow(payload, &paths->v[i]);
        if (!v) continue;
        if (v->type == JSON_ARRAY)
            f = gather_array(g, v);
        else if (v->type == JSON_STRING)
            f = words ? gather_words(g, v->text) : gather(g, v->text);
        else
            g->filtered++;
    }
    return f;
}

/* A product the token names must be one the issuer may vouch for; one it does not name is the issuer's only one. */
static enum jwt_fault map_product(const struct json *payload, const struct issuer *issuer, str *out)
{
    const struct name_set *allowed = &issuer->products;
    enum jwt_fault f = map_one(payload, &issuer->product, out);
    if (f != JWT_FAULT_NONE) return f;
    if (out->n) return name_set_has(allowed, *out) ? JWT_FAULT_NONE : JWT_FAULT_PRODUCT;
    if (allowed->n == 1 && !allowed->any) *out = allowed->names[0];
    return JWT_FAULT_NONE;
}

enum jwt_fault claims_map(const struct json *payload, const struct issuer *issuer, struct arena *mem,
                          struct claims *out)
{
    struct gathering roles = {.allowed = &issuer->roles}, permissions = {.allowed = &issuer->permissions};
    enum jwt_fault f = map_one(payload, &issuer->user, &out->sub);
    if (f != JWT_FAULT_NONE || out->sub.n == 0) return JWT_FAULT_SUB;
    f = map_one(payload, &issuer->client, &out->client);
    if (f == JWT_FAULT_NONE) f = map_product(payload, issuer, &out->product);
    if (f == JWT_FAULT_NONE) f = map_many(payload, &issuer->roles_paths, false, mem, &roles);
    if (f == JWT_FAULT_NONE) f = map_many(payload, &issuer->permissions_paths, true, mem, &permissions);
    if (f != JWT_FAULT_NONE) return f;
    out->roles = roles.kept;
    out->n_roles = roles.n;
    out->permissions = permissions.kept;
    out->n_permissions = permissions.n;
    out->filtered = roles.filtered + permissions.filtered;
    return JWT_FAULT_NONE;
}
