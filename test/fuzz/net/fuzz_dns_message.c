/* The first byte says what was asked for, the rest is what came back. */
#include "net/dns_message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_message m;
    static const enum dns_type types[] = {DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_SRV};
    if (size < 1) return 0;
    if (dns_message_read(data + 1, size - 1, STR("a.test"), types[data[0] % 3], &m) != ERR_OK) return 0;
    if (m.n > DNS_RECORDS_MAX) abort();
    for (size_t i = 0; i < m.n && data[0] % 3 == 2; i++)
        if (strlen(m.v[i].target) > DNS_NAME_MAX || (m.v[i].target[0] && !dns_name_ok(str_of(m.v[i].target)))) abort();
    return 0;
}
