/* Entities, with and without a schema. What is read is found again. */
#include "policy/entities.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const str schema_text =
        STR_INIT("entity G in [G]; entity U in [G] = { a?: Long, b?: U, c?: ipaddr, d?: Set<String>, e?: { x?: decimal "
                 "} } tags Long; action v appliesTo { principal: U, resource: G };");
    for (int with_schema = 0; with_schema < 2; with_schema++) {
        struct arena mem;
        struct mistakes m;
        struct schema *schema = NULL;
        struct entities es;
        arena_init(&mem, NULL, 0, 256u << 20);
        mistakes_init(&m, &mem);
        entities_init(&es, &mem);
        if (with_schema && schema_parse(schema_text, &mem, &m, &schema) != ERR_OK) abort();
        enum err e = entities_load(&es, str_make((const char *)data, size), schema, &m);
        if (e == ERR_OK) e = entities_finish(&es, &m);
        if (e != ERR_OK && m.n == 0 && e != ERR_NO_MEMORY) abort();
        for (size_t i = 0; e == ERR_OK && i < es.cap; i++) {
            const struct entity *x = es.slots[i].entity;
            if (!es.slots[i].hash || !x->defined) continue;
            if (entities_find(&es, &x->uid) != x) abort();
            for (uint32_t k = 0; k < x->ancestors_n; k++)
                if (!entity_is_in(x, x->ancestors[k])) abort();
        }
        entities_free(&es);
        schema_free(&schema);
        arena_reset(&mem);
    }
    return 0;
}
