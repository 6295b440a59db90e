/* Field names: known ones are found by one probe into a table that has no collisions.
 *
 * A name's slot is computed from its length and three of its characters. The table is written with the same
 * macro: two names in one slot would be an initializer given twice, which does not compile. */
#include "http/field_name.h"

#define SLOTS 256
#define SLOT(n, first, last_but_one, last)                                                                             \
    (((unsigned)(n)*38 + (unsigned)(first) + 3 * (unsigned)(last_but_one) + (unsigned)(last)) & (SLOTS - 1))

/* X(id, folded name, name as we write it, its first, last but one and last character) */
#define KNOWN_NAMES(X)                                                                                                 \
    X(CONNECTION, "connection", "Connection", 'c', 'o', 'n')                                                           \
    X(KEEP_ALIVE, "keep-alive", "Keep-Alive", 'k', 'v', 'e')                                                           \
    X(PROXY_CONNECTION, "proxy-connection", "Proxy-Connection", 'p', 'o', 'n')                                         \
    X(PROXY_AUTHENTICATE, "proxy-authenticate", "Proxy-Authenticate", 'p', 't', 'e')                                   \
    X(PROXY_AUTHORIZATION, "proxy-authorization", "Proxy-Authorization", 'p', 'o', 'n')                                \
    X(TE, "te", "TE", 't', 't', 'e')                                                                                   \
    X(TRAILER, "trailer", "Trailer", 't', 'e', 'r')                                                                    \
    X(TRANSFER_ENCODING, "transfer-encoding", "Transfer-Encoding", 't', 'n', 'g')                                      \
    X(UPGRADE, "upgrade", "Upgrade", 'u', 'd', 'e')                                                                    \
    X(HTTP2_SETTINGS, "http2-settings", "HTTP2-Settings", 'h', 'g', 's')                                               \
    X(CONTENT_LENGTH, "content-length", "Content-Length", 'c', 't', 'h')                                               \
    X(EXPECT, "expect", "Expect", 'e', 'c', 't')                                                                       \
    X(HOST, "host", "Host", 'h', 's', 't')                                                                             \
    X(AUTHORIZATION, "authorization", "Authorization", 'a', 'o', 'n')                                                  \
    X(APIKEY, "apikey", "apikey", 'a', 'e', 'y')                                                                       \
    X(COOKIE, "cookie", "Cookie", 'c', 'i', 'e')                                                                       \
    X(X_USER_ID, "x-user-id", "X-User-ID", 'x', 'i', 'd')                                                              \
    X(X_USER_ROLES, "x-user-roles", "X-User-Roles", 'x', 'e', 's')                                                     \
    X(X_USER_PERMISSIONS, "x-user-permissions", "X-User-Permissions", 'x', 'n', 's')                                   \
    X(X_CLIENT_ID, "x-client-id", "X-Client-ID", 'x', 'i', 'd')                                                        \
    X(X_PRODUCT, "x-product", "X-Product", 'x', 'c', 't')                                                              \
    X(X_ACTION, "x-action", "X-Action", 'x', 'o', 'n')                                                                 \
    X(X_CORRELATION_ID, "x-correlation-id", "X-Correlation-ID", 'x', 'i', 'd')                                         \
    X(X_CALLER_SERVICE, "x-caller-service", "X-Caller-Service", 'x', 'c', 'e')                                         \
    X(TXN_TOKEN, "txn-token", "Txn-Token", 't', 'e', 'n')                                                              \
    X(X_HOP_RECORD, "x-hop-record", "X-Hop-Record", 'x', 'r', 'd')                                                     \
    X(X_TXN_HANDLE, "x-txn-handle", "X-Txn-Handle", 'x', 'l', 'e')                                                     \
    X(FORWARDED, "forwarded", "Forwarded", 'f', 'e', 'd')                                                              \
    X(X_FORWARDED_FOR, "x-forwarded-for", "X-Forwarded-For", 'x', 'o', 'r')                                            \
    X(X_FORWARDED_HOST, "x-forwarded-host", "X-Forwarded-Host", 'x', 's', 't')                                         \
    X(X_FORWARDED_PROTO, "x-forwarded-proto", "X-Forwarded-Proto", 'x', 't', 'o')                                      \
    X(X_FORWARDED_PORT, "x-forwarded-port", "X-Forwarded-Port", 'x', 'r', 't')                                         \
    X(X_FORWARDED_PREFIX, "x-forwarded-prefix", "X-Forwarded-Prefix", 'x', 'i', 'x')                                   \
    X(X_FORWARDED_CLIENT_CERT, "x-forwarded-client-cert", "X-Forwarded-Client-Cert", 'x', 'r', 't')                    \
    X(X_REAL_IP, "x-real-ip", "X-Real-IP", 'x', 'i', 'p')                                                              \
    X(VIA, "via", "Via", 'v', 'i', 'a')                                                                                \
    X(CDN_LOOP, "cdn-loop", "CDN-Loop", 'c', 'o', 'p')                                                                 \
    X(X_HTTP_METHOD_OVERRIDE, "x-http-method-override", "X-HTTP-Method-Override", 'x', 'd', 'e')                       \
    X(X_ORIGINAL_URL, "x-original-url", "X-Original-URL", 'x', 'r', 'l')                                               \
    X(X_REWRITE_URL, "x-rewrite-url", "X-Rewrite-URL", 'x', 'r', 'l')                                                  \
    X(TRACEPARENT, "traceparent", "traceparent", 't', 'n', 't')                                                        \
    X(TRACESTATE, "tracestate", "tracestate", 't', 't', 'e')                                                           \
    X(BAGGAGE, "baggage", "baggage", 'b', 'g', 'e')                                                                    \
    X(CONTENT_TYPE, "content-type", "Content-Type", 'c', 'p', 'e')                                                     \
    X(DATE, "date", "Date", 'd', 't', 'e')                                                                             \
    X(SERVER, "server", "Server", 's', 'e', 'r')                                                                       \
    X(WWW_AUTHENTICATE, "www-authenticate", "WWW-Authenticate", 'w', 't', 'e')                                         \
    X(RETRY_AFTER, "retry-after", "Retry-After", 'r', 'e', 'r')                                                        \
    X(LOCATION, "location", "Location", 'l', 'o', 'n')                                                                 \
    X(ORIGIN, "origin", "Origin", 'o', 'i', 'n')                                                                       \
    X(ACCEPT, "accept", "Accept", 'a', 'p', 't')                                                                       \
    X(USER_AGENT, "user-agent", "User-Agent", 'u', 'n', 't')                                                           \
    X(LAST_EVENT_ID, "last-event-id", "Last-Event-ID", 'l', 'i', 'd')

struct known_name {
    char folded[FIELD_FOLD];
    uint8_t n;
    uint8_t id;
};

enum {
#define X(id, folded, written, a, b, c) KNOWN_##id,
    KNOWN_NAMES(X)
#undef X
        KNOWN_X_HTTP_METHOD,
    KNOWN_X_METHOD_OVERRIDE
};

static const struct known_name known[] = {
#define X(id, folded, written, a, b, c) [KNOWN_##id] = {folded, sizeof(folded) - 1, FIELD_##id},
    KNOWN_NAMES(X)
#undef X
        [KNOWN_X_HTTP_METHOD] = {"x-http-method", 13, FIELD_X_HTTP_METHOD_OVERRIDE},
    [KNOWN_X_METHOD_OVERRIDE] = {"x-method-override", 17, FIELD_X_HTTP_METHOD_OVERRIDE},
};

/* Index into `known` plus one; 0 is no name. */
static const uint8_t slots[SLOTS] = {
#define X(id, folded, written, a, b, c) [SLOT(sizeof(folded) - 1, a, b, c)] = KNOWN_##id + 1,
    KNOWN_NAMES(X)
#undef X
        [SLOT(13, 'x', 'o', 'd')] = KNOWN_X_HTTP_METHOD + 1,
    [SLOT(17, 'x', 'd', 'e')] = KNOWN_X_METHOD_OVERRIDE + 1,
};

const str field_names[FIELD_COUNT] = {
#define X(id, folded, written, a, b, c) [FIELD_##id] = STR_INIT(written),
    KNOWN_NAMES(X)
#undef X
};

static bool same_fold(const char *a, const char *b)
{
    uint64_t x[FIELD_FOLD / 8], y[FIELD_FOLD / 8];
    memcpy(x, a, FIELD_FOLD);
    memcpy(y, b, FIELD_FOLD);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}

static bool begins(const char *fold, size_t n, str prefix)
{
    return n >= prefix.n && memcmp(fold, prefix.p, prefix.n) == 0;
}

/* Names nobody gave an id, by how they begin. */
static enum field_id intern_prefix(const char *fold, size_t n)
{
    static const str identity[] = {STR_INIT("x-user-"), STR_INIT("x-sallyport-"), STR_INIT("x-identity-"),
                                   STR_INIT("x-caller-")};
    /* what proxies write of a client certificate: like X-Forwarded-Client-Cert only a known hop may say it */
    static const str forwarding[] = {STR_INIT("x-forwarded-"),  STR_INIT("x-client-cert"), STR_INIT("x-ssl-client-"),
                                     STR_INIT("x-tls-client-"), STR_INIT("x-ssl-cert"),    STR_INIT("x-arr-clientcert"),
                                     STR_INIT("x-amzn-mtls-")};
    for (size_t i = 0; i < ARRAY_LEN(identity); i++)
        if (begins(fold, n, identity[i])) return FIELD_X_IDENTITY_OTHER;
    for (size_t i = 0; i < ARRAY_LEN(forwarding); i++)
        if (begins(fold, n, forwarding[i])) return FIELD_X_FORWARDED_OTHER;
    return FIELD_OTHER;
}

/* Client-Cert and Client-Cert-Chain (RFC 9440), SSL_CLIENT_CERT and its like. */
static bool of_certificate(const char *fold, size_t n)
{
    return begins(fold, n, STR("client-cert")) || begins(fold, n, STR("ssl-client-"));
}

enum field_id field_intern_folded(const char fold[FIELD_FOLD], size_t n)
{
    if (n >= 2 && n <= FIELD_FOLD) {
        unsigned slot = SLOT(n, (unsigned char)fold[0], (unsigned char)fold[n - 2], (unsigned char)fold[n - 1]);
        unsigned k = slots[slot];
        if (k && known[k - 1].n == n && same_fold(fold, known[k - 1].folded)) return (enum field_id)known[k - 1].id;
    }
    if (n > 2 && fold[0] == 'x' && fold[1] == '-') return intern_prefix(fold, n);
    return (fold[0] == 'c' || fold[0] == 's') && of_certificate(fold, n) ? FIELD_X_FORWARDED_OTHER : FIELD_OTHER;
}

#if defined(__SSE2__)
/* Which of sixteen bytes of a line, folded, are equal to those of a name. A control is no match even where setting the
 * bit of lower case makes it look like one (CR and '-'). */
static inline unsigned same_16(__m128i v, const char *folded, unsigned *under)
{
    const __m128i line = _mm_cmpeq_epi8(v, _mm_set1_epi8('_'));
    const __m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
    const __m128i fold = _mm_or_si128(_mm_andnot_si128(line, lower), _mm_and_si128(line, _mm_set1_epi8('-')));
    const __m128i control = _mm_cmplt_epi8(v, _mm_set1_epi8(0x21)); /* as signed numbers: and what is above 0x7f */
    *under = (unsigned)_mm_movemask_epi8(line);
    return (unsigned)_mm_movemask_epi8(_mm_andnot_si128(control, _mm_cmpeq_epi8(fold, scan_load(folded))));
}

enum field_id field_intern_line(const char *p, size_t *n, bool *twin)
{
    const __m128i colon = _mm_set1_epi8(':'), a = scan_load(p), b = scan_load(p + 16);
    unsigned under, under_b = 0;
    unsigned ends = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(a, colon));
    if (!ends) ends = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(b, colon)) << 16;
    if (!ends) return FIELD_OTHER;
    unsigned k = (unsigned)__builtin_ctz(ends);
    if (k < 2) return FIELD_OTHER;
    unsigned slot = SLOT(k, (unsigned char)p[0] | 0x20, (unsigned char)p[k - 2] | 0x20, (unsigned char)p[k - 1] | 0x20);
    unsigned which = slots[slot];
    if (!which || known[which - 1].n != k) return FIELD_OTHER;
    unsigned same = same_16(a, known[which - 1].folded, &under), whole = (UINT32_C(1) << k) - 1;
    if (k > 16) same = (same & 0xffff) | same_16(b, known[which - 1].folded + 16, &under_b) << 16;
    if ((same & whole) != whole) return FIELD_OTHER;
    *n = k;
    *twin = ((under | under_b << 16) & whole) != 0;
    return (enum field_id)known[which - 1].id;
}
#endif

enum field_id field_intern(str name, bool *twin)
{
    char fold[FIELD_FOLD];
    bool under;
    enum field_id id = FIELD_OTHER;
    if (name.n && scan_name(name.p, name.n, fold, &under) == name.n) id = field_intern_folded(fold, name.n);
    if (twin) *twin = id != FIELD_OTHER && under;
    return id;
}

/* The groups of enum field_id stand in the order of message.h. */
#define CLASS(id)                                                                                                      \
    [id] = (id) >= FIELD_TRACEPARENT        ? FIELD_PLAIN                                                              \
           : (id) <= FIELD_HOST             ? FIELD_HOP                                                                \
           : (id) <= FIELD_COOKIE           ? FIELD_CREDENTIAL                                                         \
           : (id) <= FIELD_X_IDENTITY_OTHER ? FIELD_IDENTITY                                                           \
           : (id) <= FIELD_CDN_LOOP         ? FIELD_FORWARDING                                                         \
                                            : FIELD_OVERRIDE
const uint8_t field_classes[FIELD_COUNT] = {
#define X(id, folded, written, a, b, c) CLASS(FIELD_##id),
    KNOWN_NAMES(X)
#undef X
        CLASS(FIELD_X_IDENTITY_OTHER),
    CLASS(FIELD_X_FORWARDED_OTHER),
};
