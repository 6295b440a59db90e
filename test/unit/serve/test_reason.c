/* The table of reasons is whole, and docs/reasons.md says the same: `test_reason --write FILE` makes that page. */
#include "unit.h"

#include "base/buf.h"
#include "http/h1.h"
#include "serve/reason.h"

static const char *challenge_text(enum reason_challenge c)
{
    switch (c) {
    case CHALLENGE_NONE: return "";
    case CHALLENGE_BEARER: return "`Bearer`";
    case CHALLENGE_INVALID_TOKEN: return "`Bearer`, `invalid_token`";
    case CHALLENGE_INSUFFICIENT_SCOPE: return "`Bearer`, `insufficient_scope`";
    case CHALLENGE_APIKEY: return "`ApiKey`";
    case CHALLENGE_SIGNATURE: return "`Signature`";
    case CHALLENGE_ACCEPTED: return "what is accepted";
    }
    return "";
}

static void put_cell(struct buf *b, const char *text)
{
    buf_puts(b, " | ");
    for (const char *p = text; *p; p++) {
        if (*p == '|') buf_putc(b, '\\');
        buf_putc(b, *p);
    }
}

static void put_page(struct buf *b)
{
    buf_puts(b,
             "# Reasons\n\n"
             "Every request ends with one of these codes. It stands in the problem document (`code`), in\n"
             "`WWW-Authenticate` (`reason`), in the access log and the metrics, and `sallyport why ID` explains it.\n"
             "Codes are stable: never renamed, never reused. This page is made from the table in\n"
             "`src/serve/reason.c`; a test compares them.\n\n"
             "| code | status | challenge | what happened | what to do |\n|---|---|---|---|---|\n");
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        const struct reason_info *r = reason_info((enum reason)i);
        buf_printf(b, "| `%s`", r->code);
        if (r->status)
            buf_printf(b, " | %u", r->status);
        else
            put_cell(b, "the service's");
        put_cell(b, challenge_text(r->challenge));
        put_cell(b, r->explain);
        put_cell(b, r->remedy);
        buf_puts(b, " |\n");
    }
}

static void table_is_whole(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        const struct reason_info *r = reason_info((enum reason)i);
        if (!r->code || !r->title || !r->explain || !r->remedy) fail_msg("reason %u is empty", i);
        str code = str_of(r->code);
        for (size_t k = 0; k < code.n; k++)
            if ((code.p[k] < 'a' || code.p[k] > 'z') && code.p[k] != '_') fail_msg("code %s", r->code);
        enum reason found = REASON_COUNT;
        assert_err(reason_of(code, &found), ERR_OK); /* also: no code twice, or the first would be found */
        assert_int_equal(found, i);
        assert_true(strlen(r->explain) <= 256);
        assert_null(strchr(r->explain, '{')); /* marks stand in remedies only */
        assert_int_equal(reason_is_permit((enum reason)i), r->status == 0);
        if (r->status && r->status != 499 && !*http_reason(r->status).p) fail_msg("status %u is unknown", r->status);
        /* RFC 9110 §15.5.2: a 401 has a challenge. */
        if (r->status == 401) assert_int_not_equal(r->challenge, CHALLENGE_NONE);
        /* Outward, nothing of how it was found out. */
        if (r->status == 401 || r->status == 403) assert_true(strlen(r->title) < 48);
    }
}

static void out_of_range_is_our_own_fault(void **state)
{
    (void)state;
    assert_string_equal(reason_code((enum reason)9999), "internal_error");
    assert_int_equal(reason_info(REASON_COUNT)->status, 500);
    assert_int_equal(reason_info((enum reason)0)->status, 500);
    enum reason untouched = REASON_DRAINING;
    assert_err(reason_of(STR("nothing_like_it"), &untouched), ERR_NOT_FOUND);
    assert_err(reason_of(STR(""), &untouched), ERR_NOT_FOUND);
    assert_int_equal(untouched, REASON_DRAINING);
}

static void page_says_the_same(void **state)
{
    (void)state;
    struct buf want, got;
    buf_init(&want, 1 << 20);
    buf_init(&got, 1 << 20);
    put_page(&want);
    FILE *f = fopen(SOURCE_ROOT "/docs/reasons.md", "r");
    if (!f) fail_msg("no docs/reasons.md: make it with test_reason --write docs/reasons.md");
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, f));) buf_put(&got, str_make(piece, n));
    fclose(f);
    if (!str_eq(buf_str(&got), buf_str(&want)))
        fail_msg("docs/reasons.md differs from the table: make it anew with test_reason --write docs/reasons.md");
    buf_free(&want);
    buf_free(&got);
}

static int write_page(const char *path)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    put_page(&b);
    FILE *f = fopen(path, "w");
    bool ok = f && fwrite(b.p, 1, b.n, f) == b.n;
    if (f && fclose(f) != 0) ok = false;
    buf_free(&b);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write") == 0) return write_page(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_whole),
        cmocka_unit_test(out_of_range_is_our_own_fault),
        cmocka_unit_test(page_says_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
