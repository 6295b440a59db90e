/* Certificates and keys as files have them, beside what openssl(1) says of the same files. */
#include "crypto/x509.h"

#include "unit.h"

#include <time.h>
#include <unistd.h>

static char folder[256];

static str read_all(FILE *f)
{
    static char room[64][16384];
    static unsigned next;
    char *p = room[next++ % 64];
    return str_make(p, fread(p, 1, sizeof room[0], f));
}

static str file(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s", path);
    str s = read_all(f);
    fclose(f);
    return s;
}

static str said(const char *before, const char *name, const char *behind)
{
    char command[700];
    snprintf(command, sizeof command, "%s%s/%s%s", before, folder, name, behind);
    FILE *f = popen(command, "r");
    str s = read_all(f);
    assert_int_equal(pclose(f), 0);
    return s;
}

static struct x509_chain *chain_of(const char *name)
{
    struct x509_chain *c = NULL;
    assert_err(x509_chain_parse(file(name), &c, NULL), ERR_OK);
    return c;
}

static void names_in_their_order(void **state)
{
    (void)state;
    static const struct {
        const char *file, *names;
        size_t certificates;
    } cases[] = {
        {"public.pem", "public.test www.public.test localhost ", 2},
        {"wild.pem", "*.wild.test upper.test ", 2},
        {"partner.pem", "", 2},
        {"public.leaf", "public.test www.public.test localhost ", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct x509_chain *c = chain_of(cases[i].file);
        char all[512] = "";
        size_t n = 0;
        for (size_t k = 0; k < x509_chain_names(c); k++)
            n += (size_t)snprintf(all + n, sizeof all - n, "%.*s ", STR_ARG(x509_chain_name(c, k)));
        assert_string_equal(all, cases[i].names);
        assert_int_equal(x509_chain_count(c), cases[i].certificates);
        assert_int_equal(x509_chain_name(c, x509_chain_names(c)).n, 0);
        x509_chain_free(&c);
    }
}

static void pins_and_dates_are_those_of_openssl(void **state)
{
    (void)state;
    static const char *const all[] = {"public.pem", "publicrsa.pem", "expired.pem", "self.pem"};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct x509_chain *c = chain_of(all[i]);
        unsigned char pin[X509_SPKI_LEN], same[X509_SPKI_LEN];
        char hex[2 * X509_SPKI_LEN + 1];
        x509_chain_spki_sha256(c, pin);
        for (size_t k = 0; k < sizeof pin; k++) snprintf(hex + 2 * k, 3, "%02x", pin[k]);
        str want = said("openssl x509 -noout -pubkey -in ", all[i], " | openssl pkey -pubin -outform DER | sha256sum");
        assert_str(str_first(want, 64), str_of(hex));
        x509_handle_spki_sha256(x509_chain_handle(c, 0), same);
        assert_memory_equal(pin, same, sizeof pin);
        want = said("date +%s -d \"$(openssl x509 -noout -enddate -in ", all[i], " | cut -d= -f2)\"");
        assert_int_equal(x509_chain_not_after_s(c), strtoll(want.p, NULL, 10));
        assert_int_equal(x509_handle_not_after_s(x509_chain_handle(c, 0)), x509_chain_not_after_s(c));
        assert_true(x509_chain_not_before_s(c) < x509_chain_not_after_s(c) || i == 2);
        assert_true(x509_chain_is_rsa(c) == (i == 1));
        x509_chain_free(&c);
    }
}

static void pairs(void **state)
{
    (void)state;
    const struct {
        const char *name;
        str cert, key;
        enum err want;
        enum x509_fault fault;
    } cases[] = {
        {"ecdsa", file("public.pem"), file("public.key"), ERR_OK, X509_FAULT_NONE},
        {"rsa", file("publicrsa.pem"), file("publicrsa.key"), ERR_OK, X509_FAULT_NONE},
        {"another's", file("public.pem"), file("second.key"), ERR_DENIED, X509_FAULT_MISMATCH},
        {"another kind", file("public.pem"), file("publicrsa.key"), ERR_DENIED, X509_FAULT_MISMATCH},
        {"swapped", file("public.key"), file("public.pem"), ERR_MALFORMED, X509_FAULT_NO_CERTIFICATE},
        {"encrypted", file("public.pem"), file("encrypted.key"), ERR_MALFORMED, X509_FAULT_ENCRYPTED},
        {"curve", file("big.pem"), file("big.key"), ERR_UNSUPPORTED, X509_FAULT_KIND},
        {"empty", STR_NONE, STR_NONE, ERR_MALFORMED, X509_FAULT_NO_CERTIFICATE},
        {"cut", str_first(file("public.pem"), 300), file("public.key"), ERR_MALFORMED, X509_FAULT_CERTIFICATE},
        {"cut key", file("public.pem"), str_first(file("public.key"), 100), ERR_MALFORMED, X509_FAULT_NO_KEY},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum x509_fault fault = X509_FAULT_NONE;
        enum err e = x509_pair_check(cases[i].cert, cases[i].key, &fault);
        if (e != cases[i].want || fault != cases[i].fault)
            fail_msg("%s: %s, %s", cases[i].name, err_name(e), x509_fault_text(fault));
    }
}

/* Wherever a file is cut, it is read whole, less, or not at all; nothing is read behind its end. */
static void cut_anywhere(void **state)
{
    (void)state;
    str whole = file("public.pem");
    for (size_t n = 0; n < whole.n; n += 7) {
        char *copy = malloc(n ? n : 1);
        memcpy(copy, whole.p, n);
        struct x509_chain *c = NULL;
        if (x509_chain_parse(str_make(copy, n), &c, NULL) == ERR_OK) assert_true(x509_chain_count(c) <= 2);
        x509_chain_free(&c);
        free(copy);
    }
}

static void wildcards(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool want;
    } cases[] = {
        {"a.test", "a.test", true},        {"a.test", "b.test", false},
        {"*.a.test", "b.a.test", true},    {"*.a.test", "a.test", false},
        {"*.a.test", "c.b.a.test", false}, {"*.a.test", ".a.test", false},
        {"*.a.test", "*.a.test", true},    {"a.test", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (x509_name_matches(str_of(cases[i].pattern), str_of(cases[i].name)) != cases[i].want)
            fail_msg("%s %s", cases[i].pattern, cases[i].name);
}

static void ocsp(void **state)
{
    (void)state;
    const struct {
        const char *cert;
        str answer;
        enum err want;
        enum x509_fault fault;
    } cases[] = {
        {"public.pem", file("public.ocsp"), ERR_OK, X509_FAULT_NONE},
        {"public.leaf", file("public.ocsp"), ERR_OK, X509_FAULT_NONE}, /* without its issuer: by the serial number */
        {"second.pem", file("public.ocsp"), ERR_DENIED, X509_FAULT_OCSP_OTHER},
        {"second.leaf", file("public.ocsp"), ERR_DENIED, X509_FAULT_OCSP_OTHER},
        {"public.pem", file("unsigned.ocsp"), ERR_DENIED, X509_FAULT_OCSP_OTHER},
        {"public.pem", file("revoked.ocsp"), ERR_DENIED, X509_FAULT_OCSP_REVOKED},
        {"public.pem", file("public.pem"), ERR_MALFORMED, X509_FAULT_OCSP},
        {"public.pem", str_first(file("public.ocsp"), 90), ERR_MALFORMED, X509_FAULT_OCSP},
        {"public.pem", STR_NONE, ERR_MALFORMED, X509_FAULT_OCSP},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct x509_chain *c = chain_of(cases[i].cert);
        enum x509_fault fault = X509_FAULT_NONE;
        int64_t until = 0;
        enum err e = x509_ocsp_check(c, cases[i].answer, &until, &fault);
        if (e != cases[i].want || fault != cases[i].fault)
            fail_msg("%zu: %s, %s", i, err_name(e), x509_fault_text(fault));
        if (e == ERR_OK) assert_in_range(until, time(NULL) + 86400, time(NULL) + 3 * 86400);
        x509_chain_free(&c);
    }
}

static void without_memory(void **state)
{
    (void)state;
    str cert = file("public.pem"), key = file("public.key");
    EACH_ALLOC_FAILING({
        enum err e = x509_pair_check(cert, key, NULL);
        assert_err(e, alloc_fail_hit() ? ERR_NO_MEMORY : ERR_OK);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_in_their_order),
        cmocka_unit_test(pins_and_dates_are_those_of_openssl),
        cmocka_unit_test(pairs),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(wildcards),
        cmocka_unit_test(ocsp),
        cmocka_unit_test(without_memory),
    };
    char command[600];
    snprintf(folder, sizeof folder, "/tmp/sallyport-x509-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    snprintf(command, sizeof command, "sh '%s' '%s'", CERTS, folder);
    if (system(command) != 0) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) != 0 ? 1 : failed;
}
