/* Policies as JSON: what is read prints as JSON that reads as the same. */
#include "policy/policy_json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena mem;
    struct mistakes m;
    struct policy_set set, again;
    struct buf a, b;
    arena_init(&mem, NULL, 0, 256u << 20);
    mistakes_init(&m, &mem);
    buf_init(&a, 64 << 20);
    buf_init(&b, 64 << 20);
    enum err e = policies_parse_json(str_make((const char *)data, size), &mem, &m, &set);
    if (e == ERR_OK) {
        policies_print_json(&set, &a);
        e = policies_parse_json(buf_str(&a), &mem, &m, &again);
        if (e != ERR_OK && e != ERR_LIMIT && e != ERR_NO_MEMORY) abort();
        if (e == ERR_OK) {
            policies_print_json(&again, &b);
            if (!str_eq(buf_str(&a), buf_str(&b))) abort();
        }
    } else if (m.n == 0 && e != ERR_NO_MEMORY) {
        abort();
    }
    buf_free(&a);
    buf_free(&b);
    arena_reset(&mem);
    return 0;
}
