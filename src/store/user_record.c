#include "store/user_record.h"

const str user_base_default = STR_INIT("users");

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '@' || c == '+' || c == '-';
}

static bool name_ok(str s)
{
    if (s.n == 0 || s.n > USER_NAME_MAX) return false;
    for (size_t i = 0; i < s.n; i++)
        if (!name_byte(s.p[i])) return false;
    return true;
}

enum err user_name_fold(str name, char out[USER_NAME_MAX], str *folded)
{
    if (name.n == 0 || name.n > USER_NAME_MAX) return ERR_MALFORMED;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    if (!name_ok(str_make(out, name.n))) return ERR_MALFORMED;
    *folded = str_make(out, name.n);
    return ERR_OK;
}

bool user_base_ok(str base)
{
    if (base.n == 0 || base.n > USER_BASE_MAX || base.p[0] < 'a' || base.p[0] > 'z') return false;
    for (size_t i = 1; i < base.n; i++) {
        char c = base.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-') return false;
    }
    return true;
}

str user_record_key(struct record_key *k, str base, str name)
{
    return record_key_join(k, (const str[]){STR("user"), base, name}, 3);
}

str user_record_prefix(struct record_key *k, str base)
{
    return user_record_key(k, base, STR(""));
}

enum err user_record_key_read(str key, str *base, str *name)
{
    if (!str_starts(key, STR("user/"))) return ERR_MALFORMED;
    str rest = str_from(key, 5), b = str_cut(&rest, '/');
    if (!user_base_ok(b) || !name_ok(rest)) return ERR_MALFORMED;
    *base = b;
    *name = rest;
    return ERR_OK;
}

str user_subject(char room[USER_SUBJECT_MAX], str base, str name)
{
    size_t n = 0;
    if (!str_eq(base, user_base_default)) {
        memcpy(room, base.p, base.n);
        n = base.n;
        room[n++] = '/';
    }
    memcpy(room + n, name.p, name.n);
    return str_make(room, n + name.n);
}

enum err user_of_subject(str sub, str *base, str *name)
{
    str b = user_base_default, rest = sub;
    if (str_has(sub, '/')) {
        b = str_cut(&rest, '/');
        if (str_eq(b, user_base_default)) return ERR_MALFORMED; /* its users stand bare */
    }
    if (!user_base_ok(b) || !name_ok(rest)) return ERR_MALFORMED;
    *base = b;
    *name = rest;
    return ERR_OK;
}

static bool subject_ok(str sub)
{
    str base, name;
    return user_of_subject(sub, &base, &name) == ERR_OK;
}

static bool grants_ok(const str *v, uint32_t n)
{
    if (n > RECORD_NAMES_MAX) return false;
    for (uint32_t i = 0; i < n; i++)
        if (!record_grant_ok(v[i])) return false;
    return true;
}

enum err user_record_put(struct buf *out, const struct user_record *u)
{
    size_t start = out->n;
    if (!subject_ok(u->sub) || u->password.n > USER_PHC_MAX || !grants_ok(u->roles, u->n_roles) ||
        !grants_ok(u->permissions, u->n_permissions))
        return ERR_MALFORMED;
    record_begin(out);
    record_put_str(out, "sub", u->sub);
    if (u->deleted_ms) {
        record_put_u64(out, "deleted_ms", u->deleted_ms);
        return record_end(out, start);
    }
    record_put_str(out, "password", u->password);
    record_put_list(out, "roles", u->roles, u->n_roles);
    record_put_list(out, "permissions", u->permissions, u->n_permissions);
    record_put_true(out, "disabled", u->disabled);
    record_put_u64(out, "created_ms", u->created_ms);
    record_put_u64(out, "changed_ms", u->changed_ms);
    record_put_u64(out, "password_ms", u->password_ms);
    return record_end(out, start);
}

enum err user_record_read(str value, struct arena *mem, struct user_record *out)
{
    struct record_reader r;
    struct user_record u = {0};
    enum err e = record_open(&r, value, mem);
    if (e != ERR_OK) return e;
    u.sub = record_str(&r, "sub");
    if (!subject_ok(u.sub)) record_refuse(&r);
    u.deleted_ms = record_u64_if(&r, "deleted_ms");
    if (!u.deleted_ms) {
        u.password = record_str_if(&r, "password");
        record_list(&r, "roles", &u.roles, &u.n_roles);
        record_list(&r, "permissions", &u.permissions, &u.n_permissions);
        u.disabled = record_true(&r, "disabled");
        u.created_ms = record_u64(&r, "created_ms");
        u.changed_ms = record_u64(&r, "changed_ms");
        u.password_ms = record_u64_if(&r, "password_ms");
    }
    if (r.err == ERR_OK) *out = u;
    return r.err;
}
