#include "config/edge.h"

static const char *name_of(const char *const *names, size_t n, size_t i)
{
    return i < n ? names[i] : "unknown";
}

const char *caller_kind_name(enum caller_kind k)
{
    static const char *const names[] = {"none", "user", "service", "third-party"};
    return name_of(names, ARRAY_LEN(names), k);
}

const char *credential_name(unsigned accept_bit)
{
    switch (accept_bit) {
    case ACCEPT_TOKEN: return "token";
    case ACCEPT_APIKEY: return "apikey";
    case ACCEPT_SIGNATURE: return "signature";
    case ACCEPT_CERTIFICATE: return "certificate";
    default: return "none";
    }
}

const char *limit_per_name(enum limit_per p)
{
    static const char *const names[] = {"user", "key", "product", "address", "caller", "action"};
    return name_of(names, ARRAY_LEN(names), p);
}

const char *quota_window_name(enum quota_window w)
{
    static const char *const names[] = {"hour", "day", "month"};
    return name_of(names, ARRAY_LEN(names), w);
}
