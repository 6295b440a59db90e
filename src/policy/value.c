#include "policy/value.h"

#include "base/map.h"

#include <stdlib.h>

uint64_t uid_hash(str type, str id)
{
    /* Two keyed hashes mixed: no copy, and "A"+"B" differs from "AB"+"". */
    uint64_t h = map_hash(id), t = map_hash(type);
    h ^= t * UINT64_C(0x9e3779b97f4a7c15) + (t >> 29);
    return h ? h : 1;
}

const struct uid *uid_new(struct arena *mem, str type, str id)
{
    struct uid *u = arena_alloc(mem, sizeof *u);
    if (!u) return NULL;
    u->type = arena_copy(mem, type);
    u->id = arena_copy(mem, id);
    if (!u->type.p || !u->id.p) return NULL;
    u->hash = uid_hash(type, id);
    return u;
}

int uid_cmp(const struct uid *a, const struct uid *b)
{
    if (a == b) return 0;
    int c = str_cmp(a->type, b->type);
    return c ? c : str_cmp(a->id, b->id);
}

bool uid_is_action(const struct uid *u)
{
    return str_eq(u->type, STR("Action")) || str_ends(u->type, STR("::Action"));
}

static int cmp_items(const struct value *a, const struct value *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        int c = value_cmp(&a->items[i], &b->items[i]);
        if (c) return c;
    }
    return 0;
}

static int cmp_attrs(const struct value *a, const struct value *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        int c = str_cmp(a->attrs[i].name, b->attrs[i].name);
        if (!c) c = value_cmp(&a->attrs[i].value, &b->attrs[i].value);
        if (c) return c;
    }
    return 0;
}

int value_cmp(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    switch ((enum value_kind)a->kind) {
    case VALUE_NONE: return 0;
    case VALUE_BOOL: return (int)a->boolean - (int)b->boolean;
    case VALUE_STRING:
    case VALUE_UNKNOWN: return str_cmp(value_text(a), value_text(b));
    case VALUE_ENTITY: return uid_cmp(a->uid, b->uid);
    case VALUE_SET:
        if (a->n != b->n) return a->n < b->n ? -1 : 1;
        return cmp_items(a, b);
    case VALUE_RECORD:
        if (a->n != b->n) return a->n < b->n ? -1 : 1;
        return cmp_attrs(a, b);
    case VALUE_IP:
        if (a->v6 != b->v6) return a->v6 ? 1 : -1;
        if (a->prefix != b->prefix) return a->prefix < b->prefix ? -1 : 1;
        return memcmp(a->ip, b->ip, a->v6 ? 16 : 4);
    case VALUE_LONG:
    case VALUE_DECIMAL:
    case VALUE_DATETIME:
    case VALUE_DURATION: return a->integer < b->integer ? -1 : a->integer > b->integer;
    }
    return 0;
}

static int cmp_value_p(const void *a, const void *b)
{
    return value_cmp(a, b);
}

static int cmp_attr_p(const void *a, const void *b)
{
    return str_cmp(((const struct attr *)a)->name, ((const struct attr *)b)->name);
}

/* Sorts small arrays in place; glibc's qsort allocates, which a decision must not. Larger ones are heap-sorted. */
static void sort(void *base, uint32_t n, size_t size, int (*cmp)(const void *, const void *))
{
    char *p = base, tmp[sizeof(struct attr)];
    if (n <= 12) {
        for (uint32_t i = 1; i < n; i++)
            for (uint32_t j = i; j > 0 && cmp(p + (j - 1) * size, p + j * size) > 0; j--) {
                memcpy(tmp, p + j * size, size);
                memcpy(p + j * size, p + (j - 1) * size, size);
                memcpy(p + (j - 1) * size, tmp, size);
            }
        return;
    }
    for (uint32_t start = n / 2, end = n; end > 1;) {
        if (start) {
            start--;
        } else {
            end--;
            memcpy(tmp, p + end * size, size);
            memcpy(p + end * size, p, size);
            memcpy(p, tmp, size);
        }
        for (uint32_t root = start, child; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end && cmp(p + child * size, p + (child + 1) * size) < 0) child++;
            if (cmp(p + root * size, p + child * size) >= 0) break;
            memcpy(tmp, p + root * size, size);
            memcpy(p + root * size, p + child * size, size);
            memcpy(p + child * size, tmp, size);
        }
    }
}

struct value value_set(struct value *items, uint32_t n)
{
    sort(items, n, sizeof *items, cmp_value_p);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || value_cmp(&items[kept - 1], &items[i]) != 0) items[kept++] = items[i];
    return (struct value){.kind = VALUE_SET, .n = kept, .items = items};
}

bool value_record(struct attr *attrs, uint32_t n, struct value *out)
{
    sort(attrs, n, sizeof *attrs, cmp_attr_p);
    for (uint32_t i = 1; i < n; i++)
        if (str_eq(attrs[i - 1].name, attrs[i].name)) return false;
    *out = (struct value){.kind = VALUE_RECORD, .n = n, .attrs = attrs};
    return true;
}

const struct value *value_attr(const struct attr *attrs, uint32_t n, str name)
{
    if (n <= 8) {
        for (uint32_t i = 0; i < n; i++)
            if (str_eq(attrs[i].name, name)) return &attrs[i].value;
        return NULL;
    }
    for (uint32_t lo = 0, hi = n; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = str_cmp(attrs[mid].name, name);
        if (c == 0) return &attrs[mid].value;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

bool value_set_has(const struct value *set, const struct value *item)
{
    for (uint32_t lo = 0, hi = set->n; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = value_cmp(&set->items[mid], item);
        if (c == 0) return true;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

bool value_set_within(const struct value *small, const struct value *big)
{
    uint32_t j = 0;
    for (uint32_t i = 0; i < small->n; i++, j++) {
        while (j < big->n && value_cmp(&big->items[j], &small->items[i]) < 0) j++;
        if (j >= big->n || value_cmp(&big->items[j], &small->items[i]) != 0) return false;
    }
    return true;
}

bool value_sets_meet(const struct value *a, const struct value *b)
{
    for (uint32_t i = 0, j = 0; i < a->n && j < b->n;) {
        int c = value_cmp(&a->items[i], &b->items[j]);
        if (c == 0) return true;
        if (c < 0)
            i++;
        else
            j++;
    }
    return false;
}

static enum err copy_children(const struct value *v, struct arena *mem, struct value *out)
{
    struct value c = *v;
    if (v->kind == VALUE_SET) {
        struct value *items = arena_array(mem, v->n, sizeof *items);
        if (v->n && !items) return ERR_NO_MEMORY;
        for (uint32_t i = 0; i < v->n; i++) {
            enum err e = value_copy(&v->items[i], mem, &items[i]);
            if (e != ERR_OK) return e;
        }
        c.items = items;
    } else {
        struct attr *attrs = arena_array(mem, v->n, sizeof *attrs);
        if (v->n && !attrs) return ERR_NO_MEMORY;
        for (uint32_t i = 0; i < v->n; i++) {
            attrs[i].name = arena_copy(mem, v->attrs[i].name);
            if (!attrs[i].name.p) return ERR_NO_MEMORY;
            enum err e = value_copy(&v->attrs[i].value, mem, &attrs[i].value);
            if (e != ERR_OK) return e;
        }
        c.attrs = attrs;
    }
    *out = c;
    return ERR_OK;
}

enum err value_copy(const struct value *v, struct arena *mem, struct value *out)
{
    struct value c = *v;
    switch ((enum value_kind)v->kind) {
    case VALUE_STRING:
    case VALUE_UNKNOWN:
        c.text = arena_copy(mem, value_text(v)).p;
        if (!c.text) return ERR_NO_MEMORY;
        break;
    case VALUE_ENTITY:
        c.uid = uid_new(mem, v->uid->type, v->uid->id);
        if (!c.uid) return ERR_NO_MEMORY;
        break;
    case VALUE_IP: {
        uint8_t *ip = arena_alloc(mem, 16);
        if (!ip) return ERR_NO_MEMORY;
        memcpy(ip, v->ip, 16);
        c.ip = ip;
        break;
    }
    case VALUE_SET:
    case VALUE_RECORD: return copy_children(v, mem, out);
    case VALUE_NONE:
    case VALUE_BOOL:
    case VALUE_LONG:
    case VALUE_DECIMAL:
    case VALUE_DATETIME:
    case VALUE_DURATION: break;
    }
    *out = c;
    return ERR_OK;
}
