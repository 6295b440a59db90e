/* The table of keys, the JSON Schema and the document agree, both ways. */
#include "config_test.h"

#include "codec/json.h"
#include "config/keys.h"
#include "config/schema.h"

/* --- paths of the table and of the schema --- */

struct paths {
    char v[400][96];
    size_t n;
};

static void add_path(struct paths *p, const char *path)
{
    assert_true(p->n < ARRAY_LEN(p->v));
    snprintf(p->v[p->n++], sizeof p->v[0], "%s", path);
}

static void add_key(const char *path, const struct key_def *def, void *arg)
{
    if (def->shape != SHAPE_REFUSED) add_path(arg, path);
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
        add_path(p, path);
        add_schema(p, root, path, c);
    }
    if (items) add_schema(p, root, above, items); /* products.*.keys: a list of maps */
    const struct json *named = json_get(schema, STR("additionalProperties"));
    if (named && named->type == JSON_OBJECT) {
        char path[96];
        snprintf(path, sizeof path, "%s.*", above);
        add_schema(p, root, path, named);
    }
}

static bool has(const struct paths *p, const char *path)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->v[i], path) == 0) return true;
    return false;
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
    for (size_t i = 0; i < keys.n; i++)
        if (!has(&schema, keys.v[i])) fail_msg("the schema does not know %s", keys.v[i]);
    for (size_t i = 0; i < schema.n; i++)
        if (!has(&keys, schema.v[i])) fail_msg("the checker does not know %s", schema.v[i]);
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
