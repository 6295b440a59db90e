#include "policy/schema.h"

#include <stdlib.h>

const struct type *type_simple(enum type_kind k)
{
    static const struct type simple[] = {{.kind = TYPE_NEVER}, {.kind = TYPE_FALSE}, {.kind = TYPE_TRUE},
                                         {.kind = TYPE_BOOL},  {.kind = TYPE_LONG},  {.kind = TYPE_STRING}};
    return &simple[k <= TYPE_STRING ? k : TYPE_NEVER];
}

const struct type *type_ext(enum value_kind k)
{
    static const struct type ip = {.kind = TYPE_EXT, .ext = VALUE_IP},
                             decimal = {.kind = TYPE_EXT, .ext = VALUE_DECIMAL},
                             datetime = {.kind = TYPE_EXT, .ext = VALUE_DATETIME},
                             duration = {.kind = TYPE_EXT, .ext = VALUE_DURATION};
    return k == VALUE_IP ? &ip : k == VALUE_DECIMAL ? &decimal : k == VALUE_DATETIME ? &datetime : &duration;
}

const struct type_attr *type_attr(const struct type *t, str name)
{
    for (uint32_t lo = 0, hi = t->n; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = str_cmp(t->attrs[mid].name, name);
        if (c == 0) return &t->attrs[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

const struct entity_type *schema_entity(const struct schema *s, str name)
{
    return map_get(&s->types, name);
}

const struct action_type *schema_action(const struct schema *s, const struct uid *uid)
{
    struct buf key;
    buf_init(&key, 1 << 20);
    uid_print(uid, &key);
    const struct action_type *a = key.bad ? NULL : map_get(&s->actions, buf_str(&key));
    buf_free(&key);
    return a;
}

void schema_free(struct schema **s)
{
    if (!*s) return;
    map_free(&(*s)->types);
    map_free(&(*s)->actions);
    *s = NULL;
}

bool type_eq(const struct type *a, const struct type *b)
{
    if (a == b) return true;
    if (a->kind != b->kind || a->ext != b->ext || a->n != b->n || !str_eq(a->name, b->name)) return false;
    if (a->kind == TYPE_SET) return type_eq(a->element, b->element);
    for (uint32_t i = 0; i < a->n; i++) {
        const struct type_attr *x = &a->attrs[i], *y = &b->attrs[i];
        if (x->required != y->required || !str_eq(x->name, y->name) || !type_eq(x->type, y->type)) return false;
    }
    return true;
}

void type_print(const struct type *t, struct buf *out)
{
    switch ((enum type_kind)t->kind) {
    case TYPE_NEVER: buf_puts(out, "nothing"); break;
    case TYPE_FALSE:
    case TYPE_TRUE:
    case TYPE_BOOL: buf_puts(out, "Bool"); break;
    case TYPE_LONG: buf_puts(out, "Long"); break;
    case TYPE_STRING: buf_puts(out, "String"); break;
    case TYPE_ENTITY: buf_put(out, t->name); break;
    case TYPE_SET:
        buf_puts(out, "Set<");
        type_print(t->element, out);
        buf_putc(out, '>');
        break;
    case TYPE_RECORD:
        buf_putc(out, '{');
        for (uint32_t i = 0; i < t->n; i++) {
            if (i) buf_puts(out, ", ");
            if (cedar_is_ident(t->attrs[i].name))
                buf_put(out, t->attrs[i].name);
            else
                cedar_quote(t->attrs[i].name, out);
            buf_puts(out, t->attrs[i].required ? ": " : "?: ");
            type_print(t->attrs[i].type, out);
        }
        buf_putc(out, '}');
        break;
    case TYPE_EXT:
        buf_puts(out, t->ext == VALUE_IP         ? "ipaddr"
                      : t->ext == VALUE_DECIMAL  ? "decimal"
                      : t->ext == VALUE_DATETIME ? "datetime"
                                                 : "duration");
        break;
    }
}
