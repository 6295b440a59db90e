/* Signature-Input, Signature and Content-Digest (lines of the input, in this order): what is read covers what it must,
 * its base ends in the parameters exactly as they came, and the right MAC over that base is taken. */
#include "identity/http_signature.h"

#include "crypto/mac.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good) abort();
}

static void try_read(const struct http_signature_message *m, str input)
{
    struct arena mem;
    struct http_signature s;
    enum http_signature_fault fault = HTTP_SIGNATURE_FAULT_NONE;
    arena_init(&mem, NULL, 0, 1 << 20);
    enum err e = http_signature_read(m, &mem, &s, &fault);
    must((e == ERR_OK) == (fault == HTTP_SIGNATURE_FAULT_NONE));
    if (e == ERR_OK) {
        str params = str_from(input, str_find(input, '=') + 1);
        must(str_ends(s.base, params) && str_starts(str_from(input, 0), s.label));
        must(memmem(s.base.p, s.base.n, "\"@method\": POST\n", 16) != NULL);
        must(memmem(s.base.p, s.base.n, "\"content-digest\": ", 18) != NULL);
        must(http_signature_verify(&s, s.keyid, STR("k"), s.created_s, &fault) == ERR_DENIED);
        hmac_sha256(STR("k"), s.base, s.mac);
        if (!s.expires_s || s.expires_s > s.created_s)
            must(http_signature_verify(&s, s.keyid, STR("k"), s.created_s, &fault) == ERR_OK);
    }
    arena_reset(&mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str rest = str_make((const char *)data, size);
    str input = str_cut(&rest, '\n'), signature = str_cut(&rest, '\n'), digest = str_cut(&rest, '\n');
    const struct http_signature_field fields[] = {{STR("Signature-Input"), input},
                                                  {STR("Signature"), signature},
                                                  {STR("Content-Digest"), digest},
                                                  {STR("Content-Type"), STR("application/json")}};
    struct http_signature_message m = {.method = STR("POST"),
                                       .scheme = STR("https"),
                                       .authority = STR("api.example.com"),
                                       .path = STR("/p"),
                                       .fields = fields,
                                       .n_fields = ARRAY_LEN(fields),
                                       .body = STR("{}")};
    try_read(&m, input);
    (void)!content_digest_check(digest, rest);
    return 0;
}
