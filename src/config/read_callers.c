/* Reading who calls: kinds of callers, and which credentials suffice. */
#include "config/read.h"

void read_caller(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    unsigned at;
    if (!read_choice(r, def->choices, v, &at)) return;
    enum caller_kind kind = (enum caller_kind)(at + CALLER_USER);
    memcpy((char *)base + def->offset, &kind, sizeof kind);
}

/* A text or list is for every kind; a map for the kinds in it, and no other may call. */
void read_accept(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_action *a = base;
    if (v->type != YAML_MAP) {
        read_mask(r, def, v, &a->accept[CALLER_USER]);
        a->accept[CALLER_SERVICE] = a->accept[CALLER_THIRD_PARTY] = a->accept[CALLER_USER];
        return;
    }
    if (v->count == 0) read_complain(r, "list", v, "accept: {user: token}", "must name at least one kind of caller");
    read_map(r, def->map, v, a);
}
