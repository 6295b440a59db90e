#include "store/product_record.h"

#include "crypto/secret.h"
#include "store/user_record.h"

static const char *const auths[] = {"apikey", "token"};
static const char *const logins[] = {"none", "password"};
static const char *const proofs[] = {"none", "basic", "signature"};

const char *product_record_auth_name(enum product_record_auth a)
{
    return auths[a];
}

const char *product_record_login_name(enum product_record_login l)
{
    return logins[l];
}

const char *product_record_proof_name(enum product_record_proof p)
{
    return proofs[p];
}

str product_record_key(struct record_key *k, str name)
{
    return record_key_join(k, (const str[]){STR("product"), name}, 2);
}

enum err product_record_key_read(str key, str *name)
{
    if (!str_starts(key, PRODUCT_RECORD_PREFIX)) return ERR_MALFORMED;
    str rest = str_from(key, PRODUCT_RECORD_PREFIX.n);
    if (!record_name_ok(rest)) return ERR_MALFORMED;
    *name = rest;
    return ERR_OK;
}

static bool product_ok(const struct product_record *p)
{
    if (p->n_may > RECORD_NAMES_MAX || (p->users.n && !user_base_ok(p->users))) return false;
    for (uint32_t i = 0; i < p->n_may; i++)
        if (!record_grant_ok(p->may[i])) return false;
    return p->login == PRODUCT_RECORD_LOGIN_NONE || p->users.n > 0;
}

enum err product_record_put(struct buf *out, const struct product_record *p)
{
    size_t start = out->n;
    if (!product_ok(p)) return ERR_MALFORMED;
    record_begin(out);
    record_put_str(out, "auth", str_of(auths[p->auth]));
    record_put_str(out, "login", str_of(logins[p->login]));
    record_put_str(out, "users", p->users);
    record_put_str(out, "proof", str_of(proofs[p->proof]));
    record_put_list(out, "may", p->may, p->n_may);
    record_put_u64(out, "created_ms", p->created_ms);
    return record_end(out, start);
}

/* The place of the word in the list; refused when it is none of them. */
static unsigned word(struct record_reader *r, const char *name, const char *const *words, unsigned n)
{
    str s = record_str(r, name);
    for (unsigned i = 0; i < n; i++)
        if (str_eq(s, str_of(words[i]))) return i;
    record_refuse(r);
    return 0;
}

enum err product_record_read(str value, struct arena *mem, struct product_record *out)
{
    struct record_reader r;
    struct product_record p = {0};
    enum err e = record_open(&r, value, mem);
    if (e != ERR_OK) return e;
    p.auth = (enum product_record_auth)word(&r, "auth", auths, ARRAY_LEN(auths));
    p.login = (enum product_record_login)word(&r, "login", logins, ARRAY_LEN(logins));
    p.users = record_str_if(&r, "users");
    p.proof = (enum product_record_proof)word(&r, "proof", proofs, ARRAY_LEN(proofs));
    record_list(&r, "may", &p.may, &p.n_may);
    p.created_ms = record_u64(&r, "created_ms");
    if (r.err == ERR_OK && !product_ok(&p)) record_refuse(&r);
    if (r.err == ERR_OK) *out = p;
    return r.err;
}

bool product_secret_text_ok(str secret)
{
    if (secret.n < PRODUCT_SECRET_MIN || secret.n > PRODUCT_SECRET_MAX) return false;
    for (size_t i = 0; i < secret.n; i++)
        if (secret.p[i] <= ' ' || secret.p[i] > '~') return false;
    return true;
}

void product_secret_generate(char out[PRODUCT_SECRET_NEW_LEN])
{
    memcpy(out, "ss_", 3);
    secret_base62(out + 3, PRODUCT_SECRET_NEW_LEN - 3);
}

str product_secret_key(struct record_key *k, str name)
{
    return record_key_join(k, (const str[]){STR("secret"), name}, 2);
}

enum err product_secret_put(struct buf *out, const struct product_secret_record *s)
{
    size_t start = out->n;
    if (!s->mac_key.n || !record_text_ok(s->disabled)) return ERR_MALFORMED;
    record_begin(out);
    record_put_digest(out, "sha256", s->sha256);
    record_put_str(out, "mac_key", s->mac_key);
    record_put_str(out, "disabled", s->disabled);
    record_put_u64(out, "created_ms", s->created_ms);
    return record_end(out, start);
}

enum err product_secret_read(str value, struct arena *mem, struct product_secret_record *out)
{
    struct record_reader r;
    struct product_secret_record s = {0};
    enum err e = record_open(&r, value, mem);
    if (e != ERR_OK) return e;
    record_digest(&r, "sha256", s.sha256);
    s.mac_key = record_str(&r, "mac_key");
    s.created_ms = record_u64(&r, "created_ms");
    s.disabled = record_str_if(&r, "disabled");
    if (r.err == ERR_OK) *out = s;
    return r.err;
}
