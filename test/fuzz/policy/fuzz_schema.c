/* Schemas, human syntax or JSON by the first byte; an accepted one must be usable by the validator. */
#include "policy/parse.h"
#include "policy/typecheck.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const str policies = STR_INIT("permit(principal, action, resource) when { principal has a && principal.a.b "
                                         "== context.c || resource in principal };"
                                         "forbid(principal == ?principal, action, resource) when { "
                                         "[principal].contains(resource) && principal.getTag(\"t\") };");
    struct arena mem;
    struct mistakes m, v;
    struct schema *schema = NULL;
    struct policy_set set;
    arena_init(&mem, NULL, 0, 256u << 20);
    mistakes_init(&m, &mem);
    mistakes_init(&v, &mem);
    str text = str_make((const char *)data, size);
    bool json = size && data[0] == '{';
    enum err e = json ? schema_parse_json(text, &mem, &m, &schema) : schema_parse(text, &mem, &m, &schema);
    if (e != ERR_OK && m.n == 0 && e != ERR_NO_MEMORY) abort();
    /* the validator's work grows with principals times resources: leave the large ones to others */
    if (e == ERR_OK && schema->types_n < 50 && policies_parse(policies, 0, &mem, &v, &set) == ERR_OK)
        (void)!policies_validate(&set, schema, &v);
    schema_free(&schema);
    arena_reset(&mem);
    return 0;
}
