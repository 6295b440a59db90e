#include "unit.h"

#include "fetch/address.h"

static void table(void **state)
{
    (void)state;
    static const struct {
        const char *ip;
        enum address_class want;
    } rows[] = {
        {"8.8.8.8", ADDRESS_PUBLIC},
        {"1.0.0.0", ADDRESS_PUBLIC},
        {"0.0.0.0", ADDRESS_NEVER},
        {"0.1.2.3", ADDRESS_NEVER},
        {"127.0.0.1", ADDRESS_LOOPBACK},
        {"127.255.255.255", ADDRESS_LOOPBACK},
        {"128.0.0.0", ADDRESS_PUBLIC},
        {"126.255.255.255", ADDRESS_PUBLIC},
        {"9.255.255.255", ADDRESS_PUBLIC},
        {"10.0.0.0", ADDRESS_PRIVATE},
        {"10.255.255.255", ADDRESS_PRIVATE},
        {"11.0.0.0", ADDRESS_PUBLIC},
        {"172.15.255.255", ADDRESS_PUBLIC},
        {"172.16.0.0", ADDRESS_PRIVATE},
        {"172.31.255.255", ADDRESS_PRIVATE},
        {"172.32.0.0", ADDRESS_PUBLIC},
        {"192.167.255.255", ADDRESS_PUBLIC},
        {"192.168.0.1", ADDRESS_PRIVATE},
        {"192.169.0.0", ADDRESS_PUBLIC},
        {"100.63.255.255", ADDRESS_PUBLIC},
        {"100.64.0.0", ADDRESS_PRIVATE},
        {"100.100.100.199", ADDRESS_PRIVATE},
        {"100.100.100.200", ADDRESS_NEVER},
        {"100.127.255.255", ADDRESS_PRIVATE},
        {"100.128.0.0", ADDRESS_PUBLIC},
        {"198.17.255.255", ADDRESS_PUBLIC},
        {"198.18.0.0", ADDRESS_PRIVATE},
        {"198.19.255.255", ADDRESS_PRIVATE},
        {"198.20.0.0", ADDRESS_PUBLIC},
        {"169.253.255.255", ADDRESS_PUBLIC},
        {"169.254.0.0", ADDRESS_NEVER},
        {"169.254.169.254", ADDRESS_NEVER},
        {"169.254.170.2", ADDRESS_NEVER},
        {"169.255.0.0", ADDRESS_PUBLIC},
        {"168.63.129.15", ADDRESS_PUBLIC},
        {"168.63.129.16", ADDRESS_NEVER},
        {"192.0.0.192", ADDRESS_NEVER},
        {"192.0.2.1", ADDRESS_NEVER},
        {"192.0.1.0", ADDRESS_PUBLIC},
        {"198.51.100.1", ADDRESS_NEVER},
        {"203.0.113.255", ADDRESS_NEVER},
        {"192.88.99.1", ADDRESS_NEVER},
        {"223.255.255.255", ADDRESS_PUBLIC},
        {"224.0.0.1", ADDRESS_NEVER},
        {"239.255.255.250", ADDRESS_NEVER},
        {"240.0.0.1", ADDRESS_NEVER},
        {"255.255.255.255", ADDRESS_NEVER},
        {"::", ADDRESS_NEVER},
        {"::1", ADDRESS_LOOPBACK},
        {"::2", ADDRESS_NEVER},
        {"::127.0.0.1", ADDRESS_NEVER}, /* IPv4-compatible: deprecated */
        {"::ffff:127.0.0.1", ADDRESS_LOOPBACK},
        {"::ffff:10.1.2.3", ADDRESS_PRIVATE},
        {"::ffff:169.254.169.254", ADDRESS_NEVER},
        {"::ffff:8.8.8.8", ADDRESS_PUBLIC},
        {"::fffe:8.8.8.8", ADDRESS_NEVER},
        {"64:ff9b::8.8.8.8", ADDRESS_PUBLIC},
        {"64:ff9b::169.254.169.254", ADDRESS_NEVER},
        {"64:ff9b::10.0.0.1", ADDRESS_PRIVATE},
        {"64:ff9b:1::10.0.0.1", ADDRESS_NEVER},
        {"2002:7f00:1::", ADDRESS_LOOPBACK},
        {"2002:a9fe:a9fe::1", ADDRESS_NEVER},
        {"2002:808:808::1", ADDRESS_PUBLIC},
        {"2001:0:53aa:64c::1", ADDRESS_NEVER}, /* Teredo */
        {"2001:200::1", ADDRESS_PUBLIC},
        {"2001:db8::1", ADDRESS_NEVER},
        {"2001:db9::1", ADDRESS_PUBLIC},
        {"2606:4700::1111", ADDRESS_PUBLIC},
        {"3ffe::1", ADDRESS_PUBLIC},
        {"3fff::1", ADDRESS_NEVER},
        {"3fff:fff:ffff::1", ADDRESS_NEVER},
        {"3fff:1000::1", ADDRESS_PUBLIC},
        {"1fff::1", ADDRESS_NEVER},
        {"4000::1", ADDRESS_NEVER},
        {"100::1", ADDRESS_NEVER},
        {"fc00::1", ADDRESS_PRIVATE},
        {"fd12:3456::1", ADDRESS_PRIVATE},
        {"fd00:ec2::254", ADDRESS_NEVER},
        {"fd00:ec2::253", ADDRESS_NEVER},
        {"fd00:ec3::1", ADDRESS_PRIVATE},
        {"fd20:ce::254", ADDRESS_NEVER},
        {"fe80::1", ADDRESS_NEVER},
        {"febf::1", ADDRESS_NEVER},
        {"fec0::1", ADDRESS_NEVER},
        {"ff02::1", ADDRESS_NEVER},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ADDRESS_NEVER},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[80];
        struct net_addr a;
        snprintf(text, sizeof text, strchr(rows[i].ip, ':') ? "[%s]:443" : "%s:443", rows[i].ip);
        assert_err(net_addr_parse(str_of(text), &a), ERR_OK);
        if (address_classify(&a) != rows[i].want) fail_msg("%s: %d", rows[i].ip, (int)address_classify(&a));
    }
}

static void what_is_no_ip_is_never_allowed(void **state)
{
    (void)state;
    struct net_addr a = {0};
    assert_int_equal(address_classify(&a), ADDRESS_NEVER);
    assert_err(net_addr_parse(STR("unix:/tmp/x"), &a), ERR_OK);
    assert_int_equal(address_classify(&a), ADDRESS_NEVER);
    assert_err(net_addr_parse(STR("8.8.8.8:1"), &a), ERR_OK);
    a.len = 4; /* cut short */
    assert_int_equal(address_classify(&a), ADDRESS_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(what_is_no_ip_is_never_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
