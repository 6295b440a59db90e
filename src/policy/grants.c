#include "policy/grants.h"

enum err grants_init(struct grants *g, struct arena *mem, uint32_t grantors, uint32_t actions)
{
    uint32_t words = actions / 64 + 1;
    if (grantors > UINT16_MAX || actions > UINT32_MAX / 2) return ERR_LIMIT;
    uint64_t *bits = arena_array(mem, (size_t)grantors * words, sizeof *bits);
    if (!bits && grantors) return ERR_NO_MEMORY;
    *g = (struct grants){.bits = bits, .grantors = grantors, .actions = actions, .words = words};
    return ERR_OK;
}

void grants_add(struct grants *g, uint32_t grantor, uint32_t action)
{
    if (grantor >= g->grantors || action >= g->actions) return;
    g->bits[(size_t)grantor * g->words + action / 64] |= UINT64_C(1) << (action % 64);
}

enum effect grants_decide(const struct grants *g, const uint16_t *grantors, size_t n, uint32_t action)
{
    if (action >= g->actions) return EFFECT_DENY;
    for (size_t i = 0; i < n; i++) {
        if (grantors[i] >= g->grantors) {
            if (g->direct && grantors[i] - g->grantors == action) return EFFECT_PERMIT;
            continue;
        }
        if (g->bits[(size_t)grantors[i] * g->words + action / 64] >> (action % 64) & 1) return EFFECT_PERMIT;
    }
    return EFFECT_DENY;
}
