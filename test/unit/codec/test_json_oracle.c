/* The reader against others' judgement: the published conformance set, and jansson over documents made and spoilt
 * at random (the same ones every time). */
#include "unit.h"

#include "base/clock.h"
#include "json_compare.h"

#include <dirent.h>

static const char *conformance_dir(void)
{
    const char *dir = getenv("CONFORMANCE_DIR");
    return dir && *dir ? dir : SOURCE_ROOT "/../shared/conformance";
}

static bool read_file(const char *path, struct buf *out)
{
    buf_clear(out);
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    for (size_t got = 1; got;) {
        char *room = buf_room(out, 4096);
        got = room ? fread(room, 1, 4096, f) : 0;
        out->n += got;
    }
    fclose(f);
    return !out->bad;
}

/* The three valid documents that the token profile forbids, and why. */
static enum json_fault forbidden(const char *file)
{
    static const struct {
        const char *file;
        enum json_fault fault;
    } rows[] = {
        {"y_object_duplicated_key.json", JSON_FAULT_DUPLICATE},
        {"y_object_duplicated_key_and_value.json", JSON_FAULT_DUPLICATE},
        {"y_number_double_close_to_zero.json", JSON_FAULT_NUMBER},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!strcmp(rows[i].file, file)) return rows[i].fault;
    return JSON_FAULT_NONE;
}

static void conformance_set(void **state)
{
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s/json/test_parsing", conformance_dir());
    DIR *d = opendir(path);
    if (!d) {
        print_message("skipped: no conformance set (CONFORMANCE_DIR, or ../shared/conformance beside the source)\n");
        skip();
    }
    struct buf text, mine, theirs;
    buf_init(&text, 1 << 20);
    buf_init(&mine, 1 << 20);
    buf_init(&theirs, 1 << 20);
    struct arena mem;
    arena_init(&mem, NULL, 0, 8 << 20);
    unsigned yes = 0, no = 0, either = 0, either_accepted = 0;
    for (struct dirent *f; (f = readdir(d));) {
        if (!str_ends(str_of(f->d_name), STR(".json"))) continue;
        char file[8192];
        snprintf(file, sizeof file, "%s/%s", path, f->d_name);
        assert_true(read_file(file, &text));
        const struct json *v;
        enum json_fault fault;
        arena_reset(&mem);
        bool ok = json_parse(buf_str(&text), &json_limits_token, &mem, &v, &fault, NULL) == ERR_OK;
        enum json_fault want = forbidden(f->d_name);
        switch (f->d_name[0]) {
        case 'y':
            yes++;
            if (ok != !want || fault != want) fail_msg("%s: %s", f->d_name, json_fault_name(fault));
            break;
        case 'n':
            no++;
            if (ok) fail_msg("%s is accepted", f->d_name);
            break;
        default:
            either++;
            either_accepted += ok;
            print_message("%-60s %s\n", f->d_name, ok ? "accepted" : json_fault_name(fault));
        }
        if (json_compare(buf_str(&text), &json_limits_document, &mem, &mine, &theirs) == DISAGREE)
            fail_msg("%s: jansson disagrees", f->d_name);
    }
    closedir(d);
    print_message("y %u, n %u, i %u of which %u accepted\n", yes, no, either, either_accepted);
    assert_true(yes >= 95 && no >= 187 && either >= 35); /* the set, not a part of it */
    arena_reset(&mem);
    buf_free(&text);
    buf_free(&mine);
    buf_free(&theirs);
}

/* --- documents made at random --- */

static uint64_t seed;

static unsigned below(unsigned n)
{
    seed ^= seed << 13; /* xorshift64 (Marsaglia, 2003) */
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 32) % n);
}

static void make_blank(struct buf *b)
{
    if (below(6) == 0) buf_putc(b, " \t\r\n"[below(4)]);
}

static void make_string(struct buf *b)
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         "name",
                                         "\\n",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\\u0041",
                                         "\\u00e9",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "\\ud83d\\ude00",
                                         "\\uffff",
                                         "0123456789abcdef",
                                         "\x7f",
                                         "\\b\\f\\r\\t",
                                         "'",
                                         "\xef\xbf\xbf"};
    buf_putc(b, '"');
    for (unsigned n = below(4); n; n--) buf_puts(b, pieces[below(ARRAY_LEN(pieces))]);
    if (below(400) == 0) buf_puts(b, "\\u0000");
    buf_putc(b, '"');
}

static void make_number(struct buf *b)
{
    if (below(3) == 0) buf_putc(b, '-');
    buf_printf(b, "%u", below(4) ? below(1000) : 0);
    if (below(3) == 0) buf_printf(b, ".%u", below(100000));
    if (below(4) == 0) buf_printf(b, "%c%s%u", "eE"[below(2)], below(2) ? "-" : below(2) ? "+" : "", below(40));
}

static void make_value(struct buf *b, unsigned depth)
{
    make_blank(b);
    unsigned kind = below(depth < 4 ? 10 : 7);
    if (kind < 2) {
        make_string(b);
    } else if (kind < 4) {
        make_number(b);
    } else if (kind < 7) {
        buf_puts(b, kind == 4 ? "true" : kind == 5 ? "false" : "null");
    } else {
        bool object = kind > 7;
        buf_putc(b, object ? '{' : '[');
        for (unsigned i = 0, n = below(depth ? 5 : 8); i < n; i++) {
            if (i) buf_putc(b, ',');
            make_blank(b);
            if (object) {
                if (below(3))
                    buf_printf(b, "\"k%u\"", i * 8 + below(9)); /* now and then the neighbour's name */
                else
                    make_string(b);
                make_blank(b);
                buf_putc(b, ':');
            }
            make_value(b, depth + 1);
        }
        buf_putc(b, object ? '}' : ']');
    }
    make_blank(b);
}

/* One to three small injuries: a byte changed, dropped, put in, a piece doubled, the end cut off. */
static void spoil(struct buf *b)
{
    static const char chosen[] = "\"\\{}[],:0123456789-+.eEtfnu \t\n\x01\x80\xc3\xff/";
    for (unsigned n = 1 + below(3); n && b->n; n--) {
        size_t at = below((unsigned)b->n);
        switch (below(5)) {
        case 0: b->p[at] = chosen[below(sizeof chosen - 1)]; break;
        case 1: b->p[at] = (char)below(256); break;
        case 2:
            memmove(b->p + at, b->p + at + 1, b->n - at - 1);
            b->n--;
            break;
        case 3: {
            size_t len = 1 + below(8);
            if (len > b->n - at) len = b->n - at;
            if (!buf_room(b, len)) return;
            memmove(b->p + at + len, b->p + at, b->n - at);
            b->n += len;
            if (below(2)) memset(b->p + at, chosen[below(sizeof chosen - 1)], len);
            break;
        }
        default:
            if (below(4) == 0) b->n = at;
        }
    }
}

static void agrees_with_jansson(void **state)
{
    (void)state;
    enum { CASES = 120000 };
    struct buf text, mine, theirs;
    buf_init(&text, 1 << 16);
    buf_init(&mine, 1 << 18);
    buf_init(&theirs, 1 << 18);
    struct arena mem;
    arena_init(&mem, NULL, 0, 8 << 20);
    unsigned count[DISAGREE + 1] = {0};
    seed = 0x5a11f0e7;
    uint64_t from = clock_mono_ns();
    for (unsigned i = 0; i < CASES; i++) {
        buf_clear(&text);
        make_value(&text, 0);
        if (i % 3) spoil(&text);
        assert_false(text.bad);
        enum agreement a = json_compare(buf_str(&text), &json_limits_document, &mem, &mine, &theirs);
        count[a]++;
        if (a == DISAGREE)
            fail_msg("case %u: %.*s\nours   %.*s\ntheirs %.*s", i, STR_ARG(buf_str(&text)), STR_ARG(buf_str(&mine)),
                     STR_ARG(buf_str(&theirs)));
    }
    print_message("%u documents in %.2f s: both accept %u, both refuse %u, not comparable %u\n", CASES,
                  (double)(clock_mono_ns() - from) / 1e9, count[AGREE_ACCEPT], count[AGREE_REFUSE],
                  count[AGREE_NOT_COMPARABLE]);
    assert_true(count[AGREE_ACCEPT] > CASES / 4 && count[AGREE_REFUSE] > CASES / 4);
    assert_true(count[AGREE_NOT_COMPARABLE] < CASES / 50);
    arena_reset(&mem);
    buf_free(&text);
    buf_free(&mine);
    buf_free(&theirs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conformance_set),
        cmocka_unit_test(agrees_with_jansson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
