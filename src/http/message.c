#include "http/message.h"

#include "http/scan.h"

enum { T_ = HTTP_TCHAR | HTTP_VALUE, V_ = HTTP_VALUE };

/* clang-format off */
const uint8_t http_class[256] = {
    /*                                      HT */
    0,  0,  0,  0,  0,  0,  0,  0,  0,  V_, 0,  0,  0,  0,  0,  0,
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    /*  !   "   #   $   %   &   '   (   )   *   +   ,   -   .   / */
    V_, T_, V_, T_, T_, T_, T_, T_, V_, V_, T_, T_, V_, T_, T_, V_,
    /* 0-9                                  :   ;   <   =   >   ? */
    T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, V_, V_, V_, V_, V_, V_,
    /* @ A-O */
    V_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_,
    /* P-Z                                      [   \   ]   ^   _ */
    T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, V_, V_, V_, T_, T_,
    /* ` a-o */
    T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_,
    /* p-z                                      {   |   }   ~  DEL */
    T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, T_, V_, T_, V_, T_, 0,
    /* obs-text */
    V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
    V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
    V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
    V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
    V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
    V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
    V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
    V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_, V_,
};
/* clang-format on */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool field_value_ok(str value)
{
    if (value.n == 0) return true;
    return !is_blank(value.p[0]) && !is_blank(value.p[value.n - 1]) && scan_value(value.p, value.n) == value.n;
}

bool http_token_ok(str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!(http_class[(unsigned char)s.p[i]] & HTTP_TCHAR)) return false;
    return s.n != 0;
}

/* --- fields --- */

const struct field *fields_get(const struct fields *f, enum field_id id)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (f->v[i].id == id && !f->v[i].twin) return &f->v[i];
    return NULL;
}

uint32_t fields_count(const struct fields *f, enum field_id id)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->n; i++) n += f->v[i].id == id && !f->v[i].twin;
    return n;
}

void fields_drop(struct fields *f, enum field_id id)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (f->v[i].id == id) f->v[i].drop = true;
}

static void drop_named(struct fields *f, str name)
{
    for (uint32_t i = 0; i < f->n; i++) {
        struct field *v = &f->v[i];
        if (field_class_of(v->id) == FIELD_PLAIN && str_ieq(v->name, name)) v->drop = true;
    }
}

void fields_drop_nominated(struct fields *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->v[i].id != FIELD_CONNECTION) continue;
        str rest = f->v[i].value;
        while (rest.n) drop_named(f, str_trim(str_cut(&rest, ',')));
    }
}

enum err fields_append(struct fields *f, enum field_id id, str name, str value)
{
    if (name.n == 0 && (unsigned)id < FIELD_COUNT)
        name = field_names[id];
    else if (!http_token_ok(name))
        return ERR_MALFORMED;
    if (!name.n || !field_value_ok(value)) return ERR_MALFORMED;
    if (f->n >= f->cap) return ERR_LIMIT;
    f->v[f->n++] = (struct field){.name = name, .value = value, .id = (uint16_t)id};
    return ERR_OK;
}

/* --- methods --- */

enum method method_of(str name)
{
    switch (name.n) {
    case 3:
        if (memcmp(name.p, "GET", 3) == 0) return METHOD_GET;
        if (memcmp(name.p, "PUT", 3) == 0) return METHOD_PUT;
        break;
    case 4:
        if (memcmp(name.p, "POST", 4) == 0) return METHOD_POST;
        if (memcmp(name.p, "HEAD", 4) == 0) return METHOD_HEAD;
        break;
    case 5:
        if (memcmp(name.p, "PATCH", 5) == 0) return METHOD_PATCH;
        if (memcmp(name.p, "TRACE", 5) == 0) return METHOD_TRACE;
        break;
    case 6:
        if (memcmp(name.p, "DELETE", 6) == 0) return METHOD_DELETE;
        break;
    case 7:
        if (memcmp(name.p, "OPTIONS", 7) == 0) return METHOD_OPTIONS;
        if (memcmp(name.p, "CONNECT", 7) == 0) return METHOD_CONNECT;
        break;
    default: break;
    }
    return METHOD_OTHER;
}

bool method_known(str name)
{
    static const str others[] = {
        STR_INIT("ACL"),    STR_INIT("BIND"),     STR_INIT("CHECKOUT"), STR_INIT("COPY"),        STR_INIT("LINK"),
        STR_INIT("LOCK"),   STR_INIT("M-SEARCH"), STR_INIT("MERGE"),    STR_INIT("MKACTIVITY"),  STR_INIT("MKCALENDAR"),
        STR_INIT("MKCOL"),  STR_INIT("MOVE"),     STR_INIT("NOTIFY"),   STR_INIT("PROPFIND"),    STR_INIT("PROPPATCH"),
        STR_INIT("PURGE"),  STR_INIT("REBIND"),   STR_INIT("REPORT"),   STR_INIT("SEARCH"),      STR_INIT("SUBSCRIBE"),
        STR_INIT("UNBIND"), STR_INIT("UNLINK"),   STR_INIT("UNLOCK"),   STR_INIT("UNSUBSCRIBE"),
    };
    if (method_of(name) != METHOD_OTHER) return true;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_eq(name, others[i])) return true;
    return false;
}

bool method_is_safe(enum method m)
{
    return m == METHOD_GET || m == METHOD_HEAD || m == METHOD_OPTIONS || m == METHOD_TRACE;
}

bool method_is_idempotent(enum method m)
{
    return method_is_safe(m) || m == METHOD_PUT || m == METHOD_DELETE;
}
