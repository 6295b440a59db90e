/* Policy text: what is read prints as text that reads as the same tree, lays out to itself the second time, and goes
 * through JSON unharmed. */
#include "policy/format.h"
#include "policy/parse.h"
#include "policy/policy_json.h"
#include "policy/print.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_all(const struct policy_set *set, struct buf *out)
{
    for (uint32_t i = 0; i < set->n; i++) policy_print(set->policies[i], out);
    for (uint32_t i = 0; i < set->templates_n; i++) policy_print(set->templates[i], out);
}

static void same_again(const struct policy_set *set, struct arena *mem)
{
    struct buf a, b;
    struct mistakes m;
    struct policy_set again;
    buf_init(&a, 64 << 20);
    buf_init(&b, 64 << 20);
    mistakes_init(&m, mem);
    print_all(set, &a);
    enum err e = policies_parse(buf_str(&a), 0, mem, &m, &again);
    /* spelling a path out may nest it deeper than it was */
    if (e != ERR_OK && e != ERR_LIMIT && e != ERR_NO_MEMORY) abort();
    if (e == ERR_OK) {
        print_all(&again, &b);
        if (!str_eq(buf_str(&a), buf_str(&b))) abort();
    }
    buf_clear(&b);
    policies_print_json(set, &b);
    mistakes_init(&m, mem);
    e = policies_parse_json(buf_str(&b), mem, &m, &again);
    if (e != ERR_OK && e != ERR_LIMIT && e != ERR_NO_MEMORY) abort();
    buf_free(&a);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str text = str_make((const char *)data, size);
    struct arena mem;
    struct mistakes m;
    struct policy_set set;
    struct buf once, twice;
    arena_init(&mem, NULL, 0, 256u << 20);
    mistakes_init(&m, &mem);
    buf_init(&once, 64 << 20);
    buf_init(&twice, 64 << 20);
    enum err e = policies_parse(text, 0, &mem, &m, &set);
    if (e != ERR_OK && m.n == 0 && e != ERR_NO_MEMORY) abort();
    mistakes_print(&m, STR("f"), text, &once);
    if (e == ERR_OK) {
        same_again(&set, &mem);
        buf_clear(&once);
        if (policies_format(text, &mem, &m, &once) != ERR_OK ||
            policies_format(buf_str(&once), &mem, &m, &twice) != ERR_OK)
            abort();
        if (!str_eq(buf_str(&once), buf_str(&twice))) abort();
    }
    buf_free(&once);
    buf_free(&twice);
    arena_reset(&mem);
    return 0;
}
