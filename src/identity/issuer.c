#include "identity/issuer.h"

#include <stdlib.h>

static int by_bytes(const void *a, const void *b)
{
    return str_cmp(*(const str *)a, *(const str *)b);
}

enum err name_set_make(struct arena *mem, const str *names, size_t n, bool any, struct name_set *out)
{
    if (n > UINT32_MAX) return ERR_LIMIT;
    str *sorted = NULL;
    if (n) {
        sorted = arena_array(mem, n, sizeof *sorted);
        if (!sorted) return ERR_NO_MEMORY;
        memcpy(sorted, names, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, by_bytes);
    }
    *out = (struct name_set){.any = any, .names = sorted, .n = (uint32_t)n};
    return ERR_OK;
}

bool name_set_has(const struct name_set *s, str name)
{
    if (s->any) return true;
    for (uint32_t low = 0, high = s->n; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        int order = str_cmp(name, s->names[middle]);
        if (order == 0) return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

enum err claim_path_parse(struct arena *mem, str text, struct claim_path *out)
{
    if (text.n == 0) return ERR_MALFORMED;
    size_t n = 1;
    for (size_t i = 0; i < text.n; i++) n += text.p[i] == '.';
    struct claim_path path = {.whole = text};
    if (n > 1) {
        if (n > CLAIM_PATH_MAX_PARTS) {
            /* a name such as "https://a.b.c.d.e.f.g.h.example/roles" is still a name */
            *out = path;
            return str_has(text, '/') ? ERR_OK : ERR_LIMIT;
        }
        str *parts = arena_array(mem, n, sizeof *parts), rest = text;
        if (!parts) return ERR_NO_MEMORY;
        for (size_t i = 0; i < n; i++) parts[i] = str_cut(&rest, '.');
        path.parts = parts;
        path.n_parts = (uint32_t)n;
    }
    *out = path;
    return ERR_OK;
}
