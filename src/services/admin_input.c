/* Reading what is asked, strictly: each of these answers by itself when something is not right. */
#include "services/admin_private.h"

#include <stdio.h>

const struct snapshot *admin_snapshot(const struct admin_call *c)
{
    const struct admin_options *o = &c->admin->o;
    return o->snapshot ? o->snapshot(o->ctx) : NULL;
}

int64_t admin_now_s(const struct admin_call *c)
{
    return (int64_t)(c->now_ms / 1000);
}

bool admin_copy(struct admin_call *c, str s, str *out)
{
    str copy = arena_copy(&c->mem, s);
    if (copy.p)
        *out = copy;
    else
        admin_no_memory(c);
    return copy.p != NULL;
}

bool admin_members(struct admin_call *c, const char *const *names)
{
    if (!c->body) {
        admin_refuse(c, ADMIN_MALFORMED, NULL, NULL, "a JSON object is wanted, as application/json");
        return false;
    }
    for (const struct json *m = c->body->first; m; m = m->next) {
        size_t i = 0;
        while (names[i] && !str_eq(m->name, str_of(names[i]))) i++;
        if (names[i]) continue;
        char place[64];
        (void)snprintf(place, sizeof place, "%.*s", STR_ARG(str_first(m->name, 60)));
        admin_refuse(c, ADMIN_INPUT, place, NULL, "there is no such member here");
        return false;
    }
    return true;
}

bool admin_has(const struct admin_call *c, const char *name)
{
    return json_get(c->body, str_of(name)) != NULL;
}

bool admin_text(struct admin_call *c, const char *name, bool required, str *out)
{
    const struct json *m = json_get(c->body, str_of(name));
    if (!m && !required) return true;
    if (!m || m->type != JSON_STRING) {
        admin_refuse(c, ADMIN_INPUT, name, NULL, m ? "is not a text" : "is missing");
        return false;
    }
    *out = m->text;
    return true;
}

bool admin_number(struct admin_call *c, const char *name, int64_t min, int64_t max, int64_t *out)
{
    const struct json *m = json_get(c->body, str_of(name));
    int64_t v;
    if (!m) return true;
    if (json_int(m, &v) != ERR_OK || v < min || v > max) {
        admin_refuse(c, ADMIN_INPUT, name, NULL, "is not a whole number from %lld to %lld", (long long)min,
                     (long long)max);
        return false;
    }
    *out = v;
    return true;
}

bool admin_flag(struct admin_call *c, const char *name, bool *out)
{
    const struct json *m = json_get(c->body, str_of(name));
    if (!m) return true;
    if (m->type != JSON_TRUE && m->type != JSON_FALSE) {
        admin_refuse(c, ADMIN_INPUT, name, NULL, "is neither true nor false");
        return false;
    }
    *out = m->type == JSON_TRUE;
    return true;
}

bool admin_list(struct admin_call *c, const char *name, bool (*ok)(str), const char *what, const str **out, uint32_t *n)
{
    const struct json *m = json_get(c->body, str_of(name));
    if (!m) return true;
    if (m->type != JSON_ARRAY || m->count > RECORD_NAMES_MAX) {
        admin_refuse(c, ADMIN_INPUT, name, NULL, "is not a list of at most %d texts", RECORD_NAMES_MAX);
        return false;
    }
    str *list = arena_array(&c->mem, m->count ? m->count : 1, sizeof *list);
    if (!list) {
        admin_no_memory(c);
        return false;
    }
    uint32_t i = 0;
    for (const struct json *v = m->first; v; v = v->next) {
        bool twice = false;
        for (uint32_t j = 0; j < i && v->type == JSON_STRING; j++) twice |= str_eq(list[j], v->text);
        if (v->type != JSON_STRING || !ok(v->text) || twice) {
            admin_refuse(c, ADMIN_INPUT, name, NULL, "its entry %u is %s", i + 1, twice ? "there twice" : what);
            return false;
        }
        list[i++] = v->text;
    }
    *out = list;
    *n = i;
    return true;
}

str admin_query(const struct admin_call *c, const char *name)
{
    for (str rest = c->query; rest.n;) {
        str value = str_cut(&rest, '&'), key = str_cut(&value, '=');
        if (str_eq(key, str_of(name))) return value.p ? value : STR("");
    }
    return STR_NONE;
}

bool admin_limit(struct admin_call *c, uint32_t *out)
{
    str said = admin_query(c, "limit");
    uint64_t n = ADMIN_PAGE;
    if (said.p && (str_to_u64(said, &n) != ERR_OK || n < 1 || n > ADMIN_PAGE_MAX)) {
        admin_refuse(c, ADMIN_INPUT, "limit", NULL, "is not a number from 1 to %d", ADMIN_PAGE_MAX);
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

bool admin_base(struct admin_call *c, str said, str *out)
{
    const struct snapshot *s = admin_snapshot(c);
    bool known = s && s->authentication.on;
    if (!said.n) {
        said = known ? s->authentication.user_bases[0] : user_base_default;
    } else if (!user_base_ok(said)) {
        admin_refuse(c, ADMIN_INPUT, "base", NULL, "a user base is a letter, then up to 31 of a-z, 0-9 and '-'");
        return false;
    } else {
        bool there = !known;
        for (uint32_t i = 0; known && i < s->authentication.n_user_bases; i++)
            there |= str_eq(said, s->authentication.user_bases[i]);
        if (!there) {
            admin_refuse(c, ADMIN_INPUT, "base", "name it under `authentication.user_bases` and reload",
                         "the configuration has no user base '%.*s'", STR_ARG(said));
            return false;
        }
    }
    return admin_copy(c, said, out); /* the snapshot may go before the call does */
}

bool admin_user_name(struct admin_call *c, str said, str *out)
{
    char room[USER_NAME_MAX];
    str folded;
    if (user_name_fold(said, room, &folded) != ERR_OK) {
        admin_refuse(c, ADMIN_INPUT, "name", NULL, "a user's name is 1 to %d of a-z, 0-9 and . _ @ + -", USER_NAME_MAX);
        return false;
    }
    return admin_copy(c, folded, out);
}
