#include "audit/fold.h"

#include "audit/record.h"
#include "base/rand.h"

#include <stdio.h>

void audit_fold_init(struct audit_fold *f)
{
    f->n = 0;
    f->open = false;
    memset(f->more, 0, sizeof f->more);
    f->seed = rand_u64();
}

bool audit_fold_kind(enum audit_kind k)
{
    return k == AUDIT_REFUSED || k == AUDIT_LOGIN_REFUSED || k == AUDIT_REFRESH_REFUSED || k == AUDIT_ADMIN_REFUSED;
}

/* FNV-1a, begun at a secret place: nobody outside can make two records meet, and the bytes are compared all the same.
 */
static uint64_t hash_of(uint64_t seed, str s)
{
    uint64_t h = seed ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.n; i++) h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return h;
}

bool audit_fold_hold(struct audit_fold *f, enum audit_kind kind, str same, uint64_t count)
{
    uint64_t hash = hash_of(f->seed, same);
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->slots[i].hash != hash || !str_eq(str_make(f->slots[i].same, f->slots[i].same_n), same)) continue;
        f->slots[i].count += count;
        return true;
    }
    f->open = true;
    if (f->n == FOLD_SLOTS) {
        f->more[kind] += count;
        return true;
    }
    /* One that is too long to be known again uses its slot up all the same: the number of records stays bounded. */
    size_t n = same.n <= FOLD_SAME_MAX ? same.n : 0;
    f->slots[f->n].hash = hash;
    f->slots[f->n].count = 0;
    f->slots[f->n].same_n = (uint32_t)n;
    memcpy(f->slots[f->n].same, same.p, n);
    f->n++;
    return false;
}

static void put_more(struct audit_fold *f, enum audit_kind kind, void (*put)(void *ctx, str body), void *ctx)
{
    char text[512];
    size_t same;
    struct buf b = {.p = text, .cap = sizeof text, .max = sizeof text}; /* nothing is allocated */
    audit_record_put(&(struct audit_record){.event = kind,
                                            .outcome = AUDIT_NO,
                                            .reason = STR("various"),
                                            .detail = STR("more different ones than are told apart in a second"),
                                            .count = f->more[kind]},
                     &b, &same);
    put(ctx, buf_str(&b));
}

void audit_fold_end(struct audit_fold *f, void (*put)(void *ctx, str body), void *ctx)
{
    char text[FOLD_SAME_MAX + 64];
    for (uint32_t i = 0; i < f->n; i++) {
        if (!f->slots[i].count) continue;
        int n = snprintf(text, sizeof text, "%.*s,\"count\":%llu", (int)f->slots[i].same_n, f->slots[i].same,
                         (unsigned long long)f->slots[i].count);
        put(ctx, str_make(text, (size_t)n));
    }
    for (int k = 0; k < AUDIT_KINDS; k++)
        if (f->more[k]) put_more(f, (enum audit_kind)k, put, ctx);
    f->n = 0;
    f->open = false;
    memset(f->more, 0, sizeof f->more);
}
