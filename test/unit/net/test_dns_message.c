#include "../../support/unit.h"

#include "name_server.h"
#include "net/dns_message.h"

#include <stdlib.h>

static struct message m;
static struct dns_message out;

static enum err take(const char *name, enum dns_type type)
{
    return dns_message_read(m.p, m.n, str_of(name), type, &out);
}

/* A copy of exactly that size: whoever reads behind it is seen by ASan and valgrind. */
static enum err take_first(size_t n, const char *name, enum dns_type type)
{
    unsigned char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, m.p, n);
    enum err e = dns_message_read(copy, n, str_of(name), type, &out);
    free(copy);
    return e;
}

static void full_one(void)
{
    message_begin(&m, 7, "www.a.test", DNS_TYPE_A, 0);
    message_cname(&m, "WWW.a.test", 50, "x.a.test");
    message_cname(&m, "x.a.test", 40, "y.test");
    message_a(&m, "y.test", 60, "10.0.0.1");
    message_a(&m, "y.test", 70, "10.0.0.2");
    message_a(&m, "z.test", 1, "6.6.6.6");
    message_soa(&m, "test", 5, 5);
}

static void records(void **state)
{
    (void)state;
    full_one();
    assert_err(take("www.a.test", DNS_TYPE_A), ERR_OK);
    assert_int_equal(out.n, 2);
    assert_int_equal(out.ttl_s, 40); /* of the alias; a SOA beside records says nothing of them */
    assert_memory_equal(out.v[0].ip, "\x0a\0\0\1", 4);
    assert_err(take("Www.A.test", DNS_TYPE_A), ERR_OK);
    /* another question than ours */
    assert_err(take("www.b.test", DNS_TYPE_A), ERR_MALFORMED);
    assert_err(take("www.a.test", DNS_TYPE_AAAA), ERR_MALFORMED);
    assert_err(take("ww.wa.test", DNS_TYPE_A), ERR_MALFORMED); /* labels are not text with dots */

    message_begin(&m, 7, "_x._tcp.test", DNS_TYPE_SRV, 0);
    message_srv(&m, "_x._tcp.test", 9, 1, 2, 3, "Host.TEST");
    message_srv(&m, "_x._tcp.test", 8, 65535, 0, 65535, "");
    assert_err(take("_x._tcp.test", DNS_TYPE_SRV), ERR_OK);
    assert_int_equal(out.n, 2);
    assert_int_equal(out.ttl_s, 8);
    assert_string_equal(out.v[0].target, "host.test");
    assert_int_equal(out.v[0].port, 3);
    assert_string_equal(out.v[1].target, "");

    message_begin(&m, 7, "n.test", DNS_TYPE_A, 3);
    message_soa(&m, "test", 60, 30);
    assert_err(take("n.test", DNS_TYPE_A), ERR_OK);
    assert_int_equal(out.rcode, 3);
    assert_int_equal(out.n, 0);
    assert_int_equal(out.ttl_s, 30);
    message_begin(&m, 7, "n.test", DNS_TYPE_A, 3);
    assert_err(take("n.test", DNS_TYPE_A), ERR_OK);
    assert_int_equal(out.ttl_s, UINT32_MAX);
}

/* Cut anywhere, it is refused or is the answer to something shorter: nothing is read behind its end. */
static void cut(void **state)
{
    (void)state;
    full_one();
    size_t whole = m.n, soa = whole - 6 - 10 - 20 - 9 - 17; /* what the section behind the answers has at least */
    for (size_t n = 0; n < whole; n++) {
        enum err e = take_first(n, "www.a.test", DNS_TYPE_A);
        if (n < soa - 10) assert_err(e, ERR_MALFORMED);
    }
    for (size_t at = 0; at < whole; at++) /* and each byte turned into every other */
        for (unsigned v = 0; v < 256; v++) {
            unsigned char was = m.p[at];
            m.p[at] = (unsigned char)v;
            (void)!take_first(whole, "www.a.test", DNS_TYPE_A);
            m.p[at] = was;
        }
}

static void raw(const unsigned char *p, size_t n)
{
    memcpy(m.p + m.n, p, n);
    m.n += n;
}

static void pointers(void **state)
{
    static const struct {
        const char *name;
        unsigned char owner[8];
        size_t n;
        enum err want;
    } table[] = {
        {"to the question", {0xc0, 12}, 2, ERR_OK},
        {"behind a label", {1, 'a', 0xc0, 14}, 4, ERR_OK}, /* a.test */
        {"to itself", {0xc0, 24}, 2, ERR_MALFORMED},
        {"to its own label", {1, 'a', 0xc0, 24}, 4, ERR_MALFORMED},
        {"forward", {0xc0, 60}, 2, ERR_MALFORMED},
        {"into the header", {0xc0, 2}, 2, ERR_MALFORMED},
        {"reserved bits", {0x41, 'a', 0}, 3, ERR_MALFORMED},
        {"reserved bits, too", {0x81, 'a', 0}, 3, ERR_MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        message_begin(&m, 7, "a.test", DNS_TYPE_A, 0); /* 12 + 8 + 4 = 24 */
        assert_int_equal(m.n, 24);
        raw(table[i].owner, table[i].n);
        message_u16(&m, DNS_TYPE_A);
        message_u16(&m, 1);
        message_u32(&m, 10);
        message_u16(&m, 4);
        message_u32(&m, 0x0a000001);
        message_count(&m, 6);
        enum err e = take("a.test", DNS_TYPE_A);
        if (e != table[i].want || (e == ERR_OK && out.n != 1)) fail_msg("%s: %s", table[i].name, err_name(e));
    }
}

static void forms(void **state)
{
    char name[80];
    (void)state;
    /* a name of more than 255 bytes, made of pointers to what grows */
    message_begin(&m, 7, "a.test", DNS_TYPE_A, 0);
    memset(name, 'x', 63);
    name[63] = 0;
    size_t at[8];
    for (int i = 0; i < 8; i++) { /* each label in front of the one before, in data nobody asked for */
        message_name(&m, "t");
        message_u16(&m, 99);
        message_u16(&m, 1);
        message_u32(&m, 1);
        message_u16(&m, 66);
        at[i] = m.n;
        m.p[m.n++] = 63;
        memcpy(m.p + m.n, name, 63);
        m.n += 63;
        message_u16(&m, i ? 0xc000 | (unsigned)at[i - 1] : 0xc00c);
        message_count(&m, 6);
    }
    message_u16(&m, 0xc000 | (unsigned)at[7]);
    message_u16(&m, DNS_TYPE_A);
    message_u16(&m, 1);
    message_u32(&m, 1);
    message_u16(&m, 4);
    message_u32(&m, 1);
    assert_err(take("a.test", DNS_TYPE_A), ERR_OK); /* that record is not counted yet */
    message_count(&m, 6);
    assert_err(take("a.test", DNS_TYPE_A), ERR_MALFORMED);

    /* the data's length is not the type's */
    message_begin(&m, 7, "a.test", DNS_TYPE_AAAA, 0);
    message_a(&m, "a.test", 1, "10.0.0.1");
    m.p[24 + 8 + 1] = DNS_TYPE_AAAA;
    assert_err(take("a.test", DNS_TYPE_AAAA), ERR_MALFORMED);
    /* more records announced than there are, fewer, too many */
    message_begin(&m, 7, "a.test", DNS_TYPE_A, 0);
    message_a(&m, "a.test", 1, "10.0.0.1");
    m.p[7] = 2;
    assert_err(take("a.test", DNS_TYPE_A), ERR_MALFORMED);
    m.p[7] = 0;
    assert_err(take("a.test", DNS_TYPE_A), ERR_OK);
    assert_int_equal(out.n, 0);
    m.p[6] = 0xff;
    assert_err(take("a.test", DNS_TYPE_A), ERR_MALFORMED);
    /* a query, another opcode, two questions */
    message_begin(&m, 7, "a.test", DNS_TYPE_A, 0);
    m.p[2] = 0x01;
    assert_err(take("a.test", DNS_TYPE_A), ERR_MALFORMED);
    m.p[2] = 0xa1;
    assert_err(take("a.test", DNS_TYPE_A), ERR_MALFORMED);
    m.p[2] = 0x81;
    m.p[5] = 2;
    assert_err(take("a.test", DNS_TYPE_A), ERR_MALFORMED);
    /* a target that cannot be a host's name: a dot in a label, a blank */
    message_begin(&m, 7, "_x._tcp.test", DNS_TYPE_SRV, 0);
    message_srv(&m, "_x._tcp.test", 8, 1, 1, 1, "bad/host.test");
    assert_err(take("_x._tcp.test", DNS_TYPE_SRV), ERR_MALFORMED);
    /* aliases: as many as are allowed, one more, in a circle */
    for (int links = DNS_ALIASES_MAX; links <= DNS_ALIASES_MAX + 1; links++) {
        message_begin(&m, 7, "c0.test", DNS_TYPE_A, 0);
        for (int i = 0; i < links; i++) {
            char from[16], to[16];
            snprintf(from, sizeof from, "c%d.test", links - 1 - i); /* in any order */
            snprintf(to, sizeof to, "c%d.test", links - i);
            message_cname(&m, from, 4, to);
        }
        snprintf(name, sizeof name, "c%d.test", links);
        message_a(&m, name, 4, "10.0.0.9");
        assert_err(take("c0.test", DNS_TYPE_A), links == DNS_ALIASES_MAX ? ERR_OK : ERR_MALFORMED);
    }
    message_begin(&m, 7, "a.test", DNS_TYPE_A, 0);
    message_cname(&m, "a.test", 4, "a.test");
    assert_err(take("a.test", DNS_TYPE_A), ERR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(records), cmocka_unit_test(cut), cmocka_unit_test(pointers),
                                       cmocka_unit_test(forms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
