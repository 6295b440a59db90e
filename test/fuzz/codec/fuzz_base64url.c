/* Whatever is accepted is the one text for its bytes; everything encodes to something that decodes back. */
#include "codec/base64url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *bytes = malloc(base64url_decoded_max(size));
    char *text = malloc(base64url_encoded_len(size) + 1);
    unsigned char *back = malloc(base64url_decoded_max(base64url_encoded_len(size)));
    check(bytes && text && back);
    size_t n;
    if (base64url_decode(str_make((const char *)data, size), bytes, &n) == ERR_OK) {
        check(base64url_encoded_len(n) == size);
        base64url_encode(bytes, n, text);
        check(size == 0 || memcmp(text, data, size) == 0);
    }
    base64url_encode(data, size, text);
    check(base64url_decode(str_make(text, base64url_encoded_len(size)), back, &n) == ERR_OK);
    check(n == size && (size == 0 || memcmp(back, data, size) == 0));
    free(bytes);
    free(text);
    free(back);
    return 0;
}
