/* Whatever comes, the tree is what it says it is: counted, in bounds, placed inside the input, keys apart; and the two
 * ways of reading agree about what is refused. */
#include "codec/yaml.h"

#include "base/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) abort();
}

static bool before(struct yaml_mark a, struct yaml_mark b)
{
    return a.line < b.line || (a.line == b.line && a.column <= b.column);
}

static uint32_t walk(const struct yaml *v, unsigned depth, uint32_t lines)
{
    uint32_t n = 0, values = 1;
    int64_t number;
    check(depth <= 32);
    check(v->at.line >= 1 && v->at.column >= 1 && v->at.line <= lines && before(v->at, v->end));
    check(utf8_valid(v->text) && utf8_valid(v->key));
    check((yaml_int(v, &number) == ERR_MALFORMED) == (v->type != YAML_INT));
    if (v->quoted) check(v->type == YAML_STRING || v->type == YAML_REFUSED);
    for (const struct yaml *c = v->first; c; c = c->next, n++) {
        check(v->type == YAML_LIST || v->type == YAML_MAP);
        check((v->type == YAML_MAP) == (c->key_at.line != 0));
        if (v->type == YAML_MAP && n < 50) check(yaml_get(v, c->key) == c);
        values += walk(c, depth + 1, lines);
    }
    check(n == v->count);
    return values;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena mem;
    struct yaml_errors errors;
    const struct yaml *v = NULL, *strict = NULL;
    str in = str_make((const char *)data, size);
    uint32_t lines = 2; /* libyaml knows more line ends than one; each is at least a byte */
    arena_init(&mem, NULL, 0, 64 << 20);
    enum err e = yaml_parse_all(in, &yaml_limits_default, &mem, &errors, &v);
    check((e == ERR_OK) == (v != NULL));
    check(e == ERR_OK || errors.n > 0);
    check(errors.n <= YAML_ERRORS_MAX);
    for (uint32_t i = 0; i < errors.n; i++) check(errors.v[i].fault != YAML_FAULT_NONE && errors.v[i].text[0]);
    if (v) check(walk(v, 0, lines + (uint32_t)size) <= yaml_limits_default.max_values);
    uint32_t n = errors.n;
    enum err again = yaml_parse(in, &yaml_limits_default, &mem, &errors, &strict);
    check((again == ERR_OK) == (e == ERR_OK && n == 0) && (again == ERR_OK) == (strict != NULL));
    arena_reset(&mem);
    return 0;
}
