#include "policy/capability.h"

struct caps {
    const struct caps *a, *b;    /* a union; both NULL: a leaf */
    const struct expr *on, *tag; /* tag: hasTag, else has */
    str attr;
};

const struct caps *caps_union(struct arena *mem, bool *failed, const struct caps *a, const struct caps *b)
{
    if (!a || a == b) return b;
    if (!b) return a;
    struct caps *u = arena_zalloc(mem, sizeof *u);
    if (!u) {
        *failed = true;
        return a;
    }
    u->a = a;
    u->b = b;
    return u;
}

const struct caps *caps_one(struct arena *mem, bool *failed, const struct expr *on, str attr, const struct expr *tag)
{
    struct caps *leaf = arena_zalloc(mem, sizeof *leaf);
    if (!leaf) {
        *failed = true;
        return NULL;
    }
    leaf->on = on;
    leaf->attr = attr;
    leaf->tag = tag;
    return leaf;
}

bool caps_has(const struct caps *s, const struct expr *on, str attr, const struct expr *tag)
{
    for (; s; s = s->b) {
        if (!s->a) {
            if ((s->tag != NULL) != (tag != NULL) || !expr_eq(s->on, on)) return false;
            return tag ? expr_eq(s->tag, tag) : str_eq(s->attr, attr);
        }
        if (caps_has(s->a, on, attr, tag)) return true;
    }
    return false;
}

const struct caps *caps_both(struct arena *mem, bool *failed, const struct caps *a, const struct caps *b)
{
    if (!a || !b) return NULL;
    if (!a->a) return caps_has(b, a->on, a->attr, a->tag) ? a : NULL;
    return caps_union(mem, failed, caps_both(mem, failed, a->a, b), caps_both(mem, failed, a->b, b));
}
