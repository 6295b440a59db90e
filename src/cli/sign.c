/* `sallyport sign`: the fields that make a request one that its product has signed, to try it with curl. Asks nobody;
 * the secret stays here. */
#include "base/clock.h"
#include "base/rand.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "codec/url.h"
#include "crypto/secret.h"
#include "http/message.h"
#include "identity/http_signature.h"
#include "store/record.h"

#include <errno.h>
#include <string.h>

#define BODY_MAX (16u << 20)

/* The apisecret, as bytes behind which no newline counts. The caller wipes the buffer. */
static int take_secret(const struct cli_args *args, struct buf *room, str *out)
{
    const char *path = cli_value(args, "secret-file"), *why = NULL;
    if (!path) return cli_usage_error(args, "--secret-file is missing: where the product's apisecret stands");
    enum err e = strcmp(path, "-") == 0 ? input_read(path, room) : input_read_secret(path, room, &why);
    if (e != ERR_OK)
        return cli_failure(args, "%s: %s", path, why ? why : e == ERR_LIMIT ? "too large" : strerror(errno));
    *out = buf_str(room);
    if (str_ends(*out, STR("\n"))) out->n--;
    return out->n ? CLI_OK : cli_failure(args, "%s is empty", path);
}

static int take_body(const struct cli_args *args, struct buf *out)
{
    const char *path = cli_value(args, "body");
    enum err e = path ? input_read(path, out) : ERR_OK;
    if (e == ERR_OK) return CLI_OK;
    return cli_failure(args, "%s: %s", path, e == ERR_LIMIT ? "larger than 16 MB" : strerror(errno));
}

static int print(const struct cli_args *args, const struct http_signature_message *m, str key)
{
    struct arena mem;
    struct http_signature_fields f;
    char nonce[22];
    const char *product = cli_value(args, "product");
    int code = CLI_OK;
    arena_init(&mem, NULL, 0, 1u << 20);
    secret_base62(nonce, sizeof nonce);
    enum err e = http_signature_make(m, str_of(product), key, str_make(nonce, sizeof nonce), clock_wall_s(), &mem, &f);
    if (e != ERR_OK) {
        code = cli_failure(args, "cannot sign that: %s", err_name(e));
    } else {
        if (f.digest.n) printf("Content-Digest: %.*s\n", STR_ARG(f.digest));
        printf("Signature-Input: %.*s\nSignature: %.*s\n", STR_ARG(f.input), STR_ARG(f.signature));
        if (fflush(stdout) != 0) code = cli_failure(args, "cannot write it");
    }
    arena_reset(&mem);
    return code;
}

static int sign(const struct cli_args *args, const struct url *u, str body, str key)
{
    return print(args,
                 &(struct http_signature_message){.method = str_of(args->rest[0]),
                                                  .scheme = u->tls ? STR("https") : STR("http"),
                                                  .authority = u->authority,
                                                  .path = u->path,
                                                  .query = u->query,
                                                  .has_query = u->has_query,
                                                  .body = body},
                 key);
}

static int run_sign(const struct cli_args *args)
{
    struct url u;
    enum url_fault fault;
    struct buf secret, body;
    const char *product = cli_value(args, "product");
    str key = STR_NONE;
    if (!product || !record_name_ok(str_of(product)))
        return cli_usage_error(args, "--product is %s", product ? "no product's name" : "missing");
    if (!method_known(str_of(args->rest[0])))
        return cli_usage_error(args, "'%.30s' is no method: they are written in capitals", args->rest[0]);
    if (url_parse(str_of(args->rest[1]), &u, &fault) != ERR_OK)
        return cli_usage_error(args, "'%.200s' is no URL that a request may have (%s)", args->rest[1],
                               url_fault_name(fault));
    buf_init(&secret, 65536);
    buf_init(&body, BODY_MAX);
    int code = take_secret(args, &secret, &key);
    if (code == CLI_OK) code = take_body(args, &body);
    if (code == CLI_OK) code = sign(args, &u, buf_str(&body), key);
    if (secret.p) secret_wipe(secret.p, secret.cap);
    buf_free(&secret);
    buf_free(&body);
    return code;
}

static const struct cli_option sign_options[] = {
    {"product", "NAME", "who signs: it stands in the signature as keyid"},
    {"secret-file", "FILE", "the product's apisecret; -: standard input"},
    {"body", "FILE", "the body, byte for byte as it will be sent"},
    {0},
};

const struct cli_command cli_sign = {
    .name = "sign",
    .summary = "print the header fields that sign a request (RFC 9421)",
    .synopsis = "METHOD URL --product NAME --secret-file FILE [--body FILE]",
    .description =
        "Prints Signature-Input and Signature, and Content-Digest if there is a body, for one request to an action "
        "that accepts a `signature`: HMAC-SHA256 with the product's apisecret over method, target and digest. The "
        "request must be sent within 30 seconds, to that very URL, once.\n\n"
        "Nothing is asked and nothing is sent.",
    .examples = "sallyport sign GET https://api.example.com/orders/7 --product partner --secret-file partner.secret\n"
                "sallyport sign POST $URL --product partner --secret-file s --body b.json |\n"
                "  curl -H @- --data-binary @b.json $URL",
    .options = sign_options,
    .min_rest = 2,
    .max_rest = 2,
    .run = run_sign,
};
