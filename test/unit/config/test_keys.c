/* The table of keys, the JSON Schema and the document agree, both ways. */
#include "config_test.h"

#include "codec/json.h"
#include "config/keys.h"
#include "config/schema.h"

/* --- paths of the table and of the schema --- */

struct paths {
    char v[1000][96];
    const struct json *schema[1000]; /* of that key */
    const struct json *parent[1000]; /* the map it is in */
    const struct key_def *def[1000];
    size_t n;
};

static size_t add_path(struct paths *p, const char *path)
{
    assert_true(p->n < ARRAY_LEN(p->v));
    snprintf(p->v[p->n], sizeof p->v[0], "%s", path);
    return p->n++;
}

static void add_key(const char *path, const struct key_def *def, void *arg)
{
    struct paths *p = arg;
    if (def->shape != SHAPE_REFUSED) p->def[add_path(p, path)] = def;
}

static const struct json *deref(const struct json *root, const struct json *schema)
{
    for (const struct json *ref; (ref = json_get(schema, STR("$ref")));) {
        str name = json_text(ref);
        assert_true(str_starts(name, STR("#/$defs/")));
        schema = json_get(json_get(root, STR("$defs")), str_from(name, 8));
        if (!schema) fail_msg("%.*s leads nowhere", STR_ARG(name));
    }
    return schema;
}

static void add_schema(struct paths *p, const struct json *root, const char *above, const struct json *schema)
{
    schema = deref(root, schema);
    const struct json *properties = json_get(schema, STR("properties")), *items = json_get(schema, STR("items"));
    for (const struct json *c = properties ? properties->first : NULL; c; c = c->next) {
        char path[96];
        snprintf(path, sizeof path, "%s%s%.*s", above, *above ? "." : "", STR_ARG(c->name));
        size_t i = add_path(p, path);
        p->schema[i] = deref(root, c);
        p->parent[i] = schema;
        add_schema(p, root, path, c);
    }
    if (items) add_schema(p, root, above, items);            /* products.*.keys: a list of maps */
    const struct json *any = json_get(schema, STR("anyOf")); /* text, or a map that says more */
    for (const struct json *c = any ? any->first : NULL; c; c = c->next) add_schema(p, root, above, c);
    const struct json *named = json_get(schema, STR("additionalProperties"));
    if (named && named->type == JSON_OBJECT) {
        char path[96];
        snprintf(path, sizeof path, "%s.*", above);
        add_schema(p, root, path, named);
    }
}

static size_t place_of(const struct paths *p, const char *path)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->v[i], path) == 0) return i;
    return SIZE_MAX;
}

/* --- what the two say of one key --- */

static uint64_t number_of(const struct json *schema, const char *name)
{
    int64_t n;
    if (!json_get(schema, str_of(name))) return 0;
    assert_err(json_int(json_get(schema, str_of(name)), &n), ERR_OK);
    return (uint64_t)n;
}

static bool has_text(const struct json *list, const char *text)
{
    for (const struct json *c = list ? list->first : NULL; c; c = c->next)
        if (str_eq(json_text(c), str_of(text))) return true;
    return false;
}

static void compare_choices(const char *path, const struct json *list, const char *const *choices)
{
    uint32_t n = 0;
    for (; choices[n]; n++)
        if (!has_text(list, choices[n])) fail_msg("%s: the schema has no '%s'", path, choices[n]);
    if (!list || list->count != n) fail_msg("%s: the schema has other choices", path);
}

static void compare_key(const char *path, const struct key_def *def, const struct json *root, const struct json *schema,
                        const struct json *parent)
{
    const struct json *any = json_get(schema, STR("anyOf"));
    const struct json *first = any ? deref(root, any->first) : NULL; /* one; the second is a list of them */
    if (has_text(json_get(parent, STR("required")), def->name) != def->required) fail_msg("%s: required", path);
    if (def->shape == SHAPE_SIZE || def->shape == SHAPE_SIZE64) schema = first;
    if (def->shape == SHAPE_NUMBER || def->shape == SHAPE_NUMBER64 || def->shape == SHAPE_SIZE ||
        def->shape == SHAPE_SIZE64) {
        if (number_of(schema, "minimum") != def->min || number_of(schema, "maximum") != def->max)
            fail_msg("%s: other bounds", path);
    }
    if (def->shape == SHAPE_CHOICE) compare_choices(path, json_get(schema, STR("enum")), def->choices);
    if (def->shape == SHAPE_MASK) compare_choices(path, json_get(first, STR("enum")), def->choices);
    if (def->shape == SHAPE_LIST && !def->nullable && any) {
        const struct json *list = any->first->next;
        if (number_of(list, "minItems") != def->min || number_of(list, "maxItems") != def->max)
            fail_msg("%s: other bounds of the list", path);
    }
    const struct json *custom = any ? any->first->next : schema;
    uint64_t bound = number_of(custom, json_get(custom, STR("maxProperties")) ? "maxProperties" : "maxItems");
    if (def->shape == SHAPE_CUSTOM && def->max && bound != def->max) fail_msg("%s: other bound of the list", path);
    if (def->shape == SHAPE_NAMED && number_of(schema, "maxProperties") != def->map->max) fail_msg("%s: bound", path);
}

static void schema_and_checker_know_the_same_keys(void **state)
{
    (void)state;
    static struct paths keys, schema;
    struct arena mem;
    const struct json *root;
    arena_init(&mem, NULL, 0, 8 << 20);
    assert_err(json_parse(str_make((const char *)config_schema, config_schema_len), &json_limits_document, &mem, &root,
                          NULL, NULL),
               ERR_OK);
    config_keys_each(add_key, &keys);
    add_schema(&schema, root, "", root);
    for (size_t i = 0; i < keys.n; i++) {
        size_t at = place_of(&schema, keys.v[i]);
        if (at == SIZE_MAX)
            fail_msg("the schema does not know %s", keys.v[i]);
        else
            compare_key(keys.v[i], keys.def[i], root, schema.schema[at], schema.parent[at]);
    }
    for (size_t i = 0; i < schema.n; i++)
        if (place_of(&keys, schema.v[i]) == SIZE_MAX) fail_msg("the checker does not know %s", schema.v[i]);
    assert_true(keys.n > 70);
    arena_reset(&mem);
}

static void the_published_schema_is_the_one_inside(void **state)
{
    (void)state;
    size_t n;
    char *file = read_whole(SOURCE_ROOT "/docs/sallyport.schema.json", &n);
    assert_non_null(file);
    assert_str(str_make((const char *)config_schema, config_schema_len), str_make(file, n));
    free(file);
}

/* --- the document --- */

/* The part of the document between <!-- NAME --> and <!-- end NAME -->. */
static str part_of(char *doc, const char *name, char **begin, char **end)
{
    char from[64], to[64];
    snprintf(from, sizeof from, "<!-- %s -->\n", name);
    snprintf(to, sizeof to, "<!-- end %s -->", name);
    *begin = strstr(doc, from);
    *end = strstr(doc, to);
    if (!*begin || !*end) fail_msg("the document has no part '%s'", name);
    *begin += strlen(from);
    return str_make(*begin, (size_t)(*end - *begin));
}

/* With UPDATE_DOCS=1 in the environment the parts are written instead of compared. */
static void the_document_lists_every_key(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*put)(struct buf *out);
    } parts[] = {{"keys", config_keys_markdown}, {"refused keys", config_keys_refused_markdown}};
    const char *path = SOURCE_ROOT "/docs/configuration.md";
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t n = 0;
        char *begin, *end, *doc = read_whole(path, &n);
        assert_non_null(doc);
        struct buf want;
        buf_init(&want, 1 << 20);
        parts[i].put(&want);
        str part = part_of(doc, parts[i].name, &begin, &end);
        if (getenv("UPDATE_DOCS")) {
            FILE *f = fopen(path, "wb");
            assert_non_null(f);
            fwrite(doc, 1, (size_t)(begin - doc), f);
            fwrite(want.p, 1, want.n, f);
            fwrite(end, 1, n - (size_t)(end - doc), f);
            fclose(f);
        } else if (!str_eq(part, buf_str(&want))) {
            fail_msg("docs/configuration.md is behind the table '%s': run this test with UPDATE_DOCS=1", parts[i].name);
        }
        buf_free(&want);
        free(doc);
    }
}

/* Every yaml block of the document is what the checker takes. */
static void the_examples_of_the_document_are_good(void **state)
{
    (void)state;
    size_t n, blocks = 0;
    char *doc = read_whole(SOURCE_ROOT "/docs/configuration.md", &n);
    assert_non_null(doc);
    for (char *at = doc; (at = strstr(at, "```yaml\n"));) {
        at += 8;
        char *end = strstr(at, "```");
        assert_non_null(end);
        *end = 0;
        struct config *c = parse_good(at);
        config_free(&c);
        at = end + 1;
        blocks++;
    }
    assert_true(blocks >= 3);
    free(doc);
}

static void every_key_is_explained(const char *path, const struct key_def *def, void *arg)
{
    (void)arg;
    if (def->shape == SHAPE_REFUSED) return;
    if (!def->about || !def->example || def->about[strlen(def->about) - 1] != '.') fail_msg("%s", path);
    if (def->max && def->max < def->min) fail_msg("%s", path);
}

static void every_key_has_meaning_and_example(void **state)
{
    (void)state;
    config_keys_each(every_key_is_explained, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_and_checker_know_the_same_keys),
        cmocka_unit_test(the_published_schema_is_the_one_inside),
        cmocka_unit_test(the_document_lists_every_key),
        cmocka_unit_test(the_examples_of_the_document_are_good),
        cmocka_unit_test(every_key_has_meaning_and_example),
    };
    return cmocka_run_group_tests_name("config/keys", tests, NULL, NULL);
}
