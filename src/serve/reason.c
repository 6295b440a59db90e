#include "serve/reason.h"

/* In the order of the enum; a place left empty would show as a NULL code, which the tests refuse. */
static const struct reason_info table[REASON_COUNT] = {
    [REASON_INTERNAL] = {.code = "internal_error",
                         .status = 500,
                         .title = "Internal error",
                         .explain = "The gate itself failed, so it refused.",
                         .remedy = "Look for a line of level error with this decision_id in the log, and report it."},

    /* --- permitted --- */
    [REASON_GRANTED] = {.code = "granted",
                        .title = "Permitted",
                        .explain =
                            "The product may perform the action, and a role or permission of the user grants it.",
                        .remedy = "Nothing to do."},
    [REASON_GRANTED_APIKEY] =
        {.code = "granted_apikey",
         .title = "Permitted",
         .explain = "The action accepts the product's own credential alone (its key, a signature, a client "
                    "certificate), and the product may perform it.",
         .remedy = "Nothing to do."},
    [REASON_PUBLIC] = {.code = "public",
                       .title = "Permitted",
                       .explain = "The action is declared public: no credential is asked for or looked at.",
                       .remedy = "Nothing to do. To protect it, remove `public: true` from the action."},

    /* --- the request itself --- */
    [REASON_REQUEST_MALFORMED] =
        {.code = "request_malformed",
         .status = 400,
         .close = true,
         .title = "Malformed request",
         .explain = "The head of the request is not valid HTTP, or can be read in two ways; such requests are how one "
                    "server is made to disagree with another.",
         .remedy = "Correct the client; `fault` names the part that is wrong. A proxy in front may be rewriting it."},
    [REASON_PATH_REFUSED] =
        {.code = "path_refused",
         .status = 400,
         .title = "Path refused",
         .explain =
             "The path has no single meaning (dot segments, encoded slashes, empty segments, bad encoding …), so "
             "what is decided might not be what the service sees.",
         .remedy = "Send the path in its plain form; `fault` names what was found."},
    [REASON_UPGRADE_REFUSED] = {.code = "upgrade_refused",
                                .status = 400,
                                .title = "Upgrade refused",
                                .explain =
                                    "The request asks to switch to another protocol, which no action allows yet.",
                                .remedy = "Send it without Upgrade."},
    [REASON_EXPECTATION_FAILED] = {.code = "expectation_failed",
                                   .status = 417,
                                   .close = true,
                                   .title = "Expectation failed",
                                   .explain = "The request expects something other than 100-continue.",
                                   .remedy = "Remove the Expect header from the client's requests."},
    [REASON_TARGET_TOO_LONG] = {.code = "target_too_long",
                                .status = 414,
                                .close = true,
                                .title = "Target too long",
                                .explain = "The request target is longer than limits.target.",
                                .remedy = "Shorten the address, or raise limits.target."},
    [REASON_HEAD_TOO_LARGE] = {.code = "head_too_large",
                               .status = 431,
                               .close = true,
                               .title = "Request header fields too large",
                               .explain = "The head is larger than limits.head, or has more fields than limits.fields.",
                               .remedy =
                                   "Send fewer or smaller headers (cookies are the usual cause), or raise the limit."},
    [REASON_BODY_TOO_LARGE] =
        {.code = "body_too_large",
         .status = 413,
         .close = true,
         .title = "Content too large",
         .explain = "The body is larger than the action's `body`, or limits.body; of a signed request, "
                    "which is held until it is checked, than limits.buffer.",
         .remedy = "Send less, or raise `body` of that one action; limits.buffer for larger signed ones."},
    [REASON_BODY_MALFORMED] = {.code = "body_malformed",
                               .status = 400,
                               .close = true,
                               .title = "Malformed body",
                               .explain = "The body's chunked coding is broken, or ended early.",
                               .remedy = "Correct the client; `fault` names the part that is wrong."},
    [REASON_CODING_UNSUPPORTED] = {.code = "coding_unsupported",
                                   .status = 501,
                                   .close = true,
                                   .title = "Transfer coding not supported",
                                   .explain = "The body comes in a transfer coding other than chunked.",
                                   .remedy = "Send it chunked or with Content-Length."},
    [REASON_VERSION_UNSUPPORTED] = {.code = "version_unsupported",
                                    .status = 505,
                                    .close = true,
                                    .title = "HTTP version not supported",
                                    .explain = "The request is in a version of HTTP that this listener does not speak.",
                                    .remedy = "Use HTTP/1.1."},
    [REASON_REQUEST_TIMEOUT] = {.code = "request_timeout",
                                .status = 408,
                                .close = true,
                                .title = "Request timeout",
                                .explain =
                                    "The head did not come within timeouts.head, or the body came more slowly than "
                                    "timeouts.body_rate.",
                                .remedy =
                                    "A slow network needs a lower body_rate; many of these at once are an attack."},
    [REASON_LOOP_DETECTED] = {.code = "loop_detected",
                              .status = 508,
                              .title = "Loop detected",
                              .explain = "The request has been through this gateway before: CDN-Loop names it.",
                              .remedy =
                                  "A service sends its calls back to the gateway: give it the address of the service "
                                  "it means. Two gateways in a row need different names (`name:`)."},
    [REASON_HOP_LIMIT] = {.code = "hop_limit",
                          .status = 508,
                          .title = "Too many hops",
                          .explain = "The request has been through more proxies than `hops` allows.",
                          .remedy = "Look for a loop through other proxies; otherwise raise `hops`."},

    /* --- the route --- */
    [REASON_NO_ROUTE] =
        {.code = "no_route",
         .status = 404,
         .title = "Not found",
         .explain = "No action matches the path, and no service has the name of its first segment.",
         .remedy = "If it should exist, declare an action: `name: {match: \"{method} {path}\", to: SERVICE}`."},
    [REASON_METHOD_NOT_ALLOWED] = {.code = "method_not_allowed",
                                   .status = 405,
                                   .title = "Method not allowed",
                                   .explain = "The path is known, but no action of it takes this method.",
                                   .remedy = "Add the method to the action's `match`, or use one that Allow names."},
    [REASON_METHOD_UNKNOWN] = {.code = "method_unknown",
                               .status = 501,
                               .close = true,
                               .title = "Method not implemented",
                               .explain = "The method is none that an action could declare: CONNECT, or not registered "
                                          "for HTTP (methods are written in capitals).",
                               .remedy = "Use a registered method. One that is known, but that no action of the path "
                                         "takes, is method_not_allowed."},

    /* --- who is calling --- */
    [REASON_NO_CREDENTIAL] =
        {.code = "no_credential",
         .status = 401,
         .challenge = CHALLENGE_ACCEPTED,
         .title = "Authentication required",
         .explain = "The request carries none of the credentials that the action accepts.",
         .remedy = "Send one: the user's token in `Authorization: Bearer`, the product's key in `apikey`; the action's "
                   "`accept` says what else would do."},
    [REASON_APIKEY_MISSING] = {.code = "apikey_missing",
                               .status = 401,
                               .challenge = CHALLENGE_APIKEY,
                               .title = "Authentication required",
                               .explain = "The product is known by its key, and the request carries none.",
                               .remedy = "Send the key in the header `apikey`. `sallyport key new PRODUCT` makes one."},
    [REASON_APIKEY_MALFORMED] =
        {.code = "apikey_malformed",
         .status = 401,
         .challenge = CHALLENGE_APIKEY,
         .title = "Invalid key",
         .explain = "What stands in `apikey` is no key of ours: wrong form, wrong checksum, or sent twice.",
         .remedy =
             "Send the key exactly as `sallyport key new` printed it, once. A wrong checksum means a slip in copying."},
    [REASON_APIKEY_UNKNOWN] = {.code = "apikey_unknown",
                               .status = 401,
                               .challenge = CHALLENGE_APIKEY,
                               .title = "Invalid key",
                               .explain =
                                   "The key is well formed, but no product of the configuration in force has it.",
                               .remedy = "Add the line that `sallyport key new` printed to the product's `keys`, then "
                                         "`sallyport reload`. Check that the key belongs to this environment."},
    [REASON_APIKEY_DISABLED] = {.code = "apikey_disabled",
                                .status = 401,
                                .challenge = CHALLENGE_APIKEY,
                                .title = "Invalid key",
                                .explain = "The key was disabled in the store.",
                                .remedy = "`sallyport key list` tells why. Make the product a new one: `sallyport key "
                                          "new --product PRODUCT`."},
    [REASON_APIKEY_EXPIRED] = {.code = "apikey_expired",
                               .status = 401,
                               .challenge = CHALLENGE_APIKEY,
                               .title = "Key expired",
                               .explain = "The key was made with an end, and that has come.",
                               .remedy = "Make the product a new one: `sallyport key new --product PRODUCT`."},
    [REASON_TOKEN_MISSING] = {.code = "token_missing",
                              .status = 401,
                              .challenge = CHALLENGE_BEARER,
                              .title = "Authentication required",
                              .explain = "The action needs a user's token, and the request carries none.",
                              .remedy =
                                  "Send `Authorization: Bearer TOKEN`. If the product's key should be enough, give "
                                  "the action `accept: [token, apikey]`."},
    [REASON_TOKEN_MALFORMED] =
        {.code = "token_malformed",
         .status = 401,
         .challenge = CHALLENGE_INVALID_TOKEN,
         .title = "Invalid token",
         .explain = "What stands in Authorization is not a compact signed JWT within the bounds, or "
                    "the header was sent twice.",
         .remedy = "`sallyport token inspect TOKEN` shows what is in it; `fault` names what is wrong."},
    [REASON_TOKEN_TYPE] = {.code = "token_type",
                           .status = 401,
                           .challenge = CHALLENGE_INVALID_TOKEN,
                           .title = "Invalid token",
                           .explain =
                               "The token is of another kind than its issuer's access tokens (`typ`, an ID token, a "
                               "token bound to a key).",
                           .remedy =
                               "Send the access token, not the ID token. An issuer that sets no `typ` of at+jwt needs "
                               "`typ: legacy`."},
    [REASON_TOKEN_ALGORITHM] =
        {.code = "token_algorithm",
         .status = 401,
         .challenge = CHALLENGE_INVALID_TOKEN,
         .title = "Invalid token",
         .explain = "The token's algorithm is not one that its issuer's `algorithms` allow, or does "
                    "not suit the key it names.",
         .remedy = "If the issuer really signs with it, add it to `algorithms`; otherwise the token is "
                   "forged."},
    [REASON_TOKEN_KEY_UNKNOWN] = {.code = "token_key_unknown",
                                  .status = 401,
                                  .challenge = CHALLENGE_INVALID_TOKEN,
                                  .title = "Invalid token",
                                  .explain =
                                      "None of the issuer's keys has the token's `kid`, or more than one key fits.",
                                  .remedy =
                                      "After a change of keys the new one is fetched within `min_interval`. Otherwise "
                                      "the token comes from somewhere else: compare `kid` with the issuer's JWKS."},
    [REASON_TOKEN_SIGNATURE] = {.code = "token_signature",
                                .status = 401,
                                .challenge = CHALLENGE_INVALID_TOKEN,
                                .title = "Invalid token",
                                .explain = "The signature does not belong to this token and the issuer's key.",
                                .remedy = "The token was changed, cut short in copying, or forged."},
    [REASON_TOKEN_ISSUER_UNKNOWN] = {.code = "token_issuer_unknown",
                                     .status = 401,
                                     .challenge = CHALLENGE_INVALID_TOKEN,
                                     .title = "Invalid token",
                                     .explain = "No issuer of the configuration has the token's `iss`, to the letter.",
                                     .remedy =
                                         "Compare `iss` (`sallyport token inspect`) with `issuers.*.issuer`: a slash "
                                         "at the end counts."},
    [REASON_TOKEN_AUDIENCE] = {.code = "token_audience",
                               .status = 401,
                               .challenge = CHALLENGE_INVALID_TOKEN,
                               .title = "Invalid token",
                               .explain = "The token is meant for somebody else: its `aud` holds none of the issuer's "
                                          "`audience`.",
                               .remedy = "Have the client ask for a token for this API, or correct `audience`."},
    [REASON_TOKEN_EXPIRED] = {.code = "token_expired",
                              .status = 401,
                              .challenge = CHALLENGE_INVALID_TOKEN,
                              .title = "Token expired",
                              .explain = "The token's `exp` has passed.",
                              .remedy =
                                  "The client must fetch a new token. If it is new, compare the clocks of the issuer "
                                  "and of this host."},
    [REASON_TOKEN_REVOKED] =
        {.code = "token_revoked",
         .status = 401,
         .challenge = CHALLENGE_INVALID_TOKEN,
         .title = "Token revoked",
         .explain = "The token, its session, its user or its product was revoked after it was issued; `fault` "
                    "says which.",
         .remedy = "The user must log in again. `sallyport audit tail` tells who revoked it and why."},
    [REASON_TOKEN_NOT_YET_VALID] = {.code = "token_not_yet_valid",
                                    .status = 401,
                                    .challenge = CHALLENGE_INVALID_TOKEN,
                                    .title = "Token not valid yet",
                                    .explain = "The token's `nbf` or `iat` is more than 5 s in the future.",
                                    .remedy = "Compare the clocks of the issuer and of this host."},
    [REASON_TOKEN_CLAIMS] = {.code = "token_claims",
                             .status = 401,
                             .challenge = CHALLENGE_INVALID_TOKEN,
                             .title = "Invalid token",
                             .explain =
                                 "A claim that is needed (the subject, `exp`) is missing, or one has the wrong form.",
                             .remedy =
                                 "`fault` names the claim; `claims` of the issuer says where each is looked for."},
    [REASON_TOKEN_PRODUCT] =
        {.code = "token_product",
         .status = 401,
         .challenge = CHALLENGE_INVALID_TOKEN,
         .title = "Invalid token",
         .explain =
             "The token names a product that its issuer may not vouch for, or the product cannot be told from it.",
         .remedy = "List the product in the issuer's `products`, and say in `claims.product` where it stands."},
    [REASON_CLAIM_UNSAFE] = {.code = "claim_unsafe",
                             .status = 401,
                             .challenge = CHALLENGE_INVALID_TOKEN,
                             .title = "Invalid token",
                             .explain =
                                 "A claim cannot be carried in a header, not even encoded: control characters, or too "
                                 "long.",
                             .remedy = "Such a token is an attempt to forge headers, unless the issuer is broken."},
    [REASON_PRODUCT_MISMATCH] = {.code = "product_mismatch",
                                 .status = 401,
                                 .challenge = CHALLENGE_ACCEPTED,
                                 .title = "Credentials do not belong together",
                                 .explain = "The key is one product's, and the token another's.",
                                 .remedy = "Send the key and the token of the same product."},
    [REASON_KEYS_UNAVAILABLE] = {.code = "keys_unavailable",
                                 .status = 503,
                                 .title = "Temporarily unavailable",
                                 .explain =
                                     "The issuer's keys have not been fetched yet, so its tokens cannot be verified.",
                                 .remedy =
                                     "`/readyz?verbose` and the log tell why the fetch fails. It is tried again every "
                                     "few seconds."},
    [REASON_FEED_STALE] = {.code = "feed_stale",
                           .status = 503,
                           .title = "Temporarily unavailable",
                           .explain = "The gateway has heard nothing from the store for longer than its lease, or not "
                                      "yet: whether this credential was revoked meanwhile is not known, so it is "
                                      "refused.",
                           .remedy = "See that the data role runs and that its socket in the data folder can be "
                                     "reached; `/readyz?verbose` tells since when."},

    /* --- may they --- */
    [REASON_ACTION_NOT_GRANTED] =
        {.code = "action_not_granted",
         .status = 403,
         .challenge = CHALLENGE_INSUFFICIENT_SCOPE,
         .title = "Not permitted",
         .explain = "None of the user's roles and permissions (of those the issuer may assert) grants the action.",
         .remedy =
             "If they should: add {action} to one of their roles under `roles`, or let the issuer assert the role "
             "that has it (`issuers.*.roles`)."},
    [REASON_PRODUCT_NOT_GRANTED] = {.code = "product_not_granted",
                                    .status = 403,
                                    .challenge = CHALLENGE_APIKEY,
                                    .title = "Not permitted",
                                    .explain = "The product may not perform the action, whoever the user is.",
                                    .remedy = "If it should: add {action} to `products.{product}.may`."},

    /* --- permitted, but without an answer --- */
    [REASON_RATE_LIMITED] =
        {.code = "rate_limited",
         .status = 429,
         .title = "Too many requests",
         .explain = "A limit of the edge, the action or the product is used up; `fault` names it.",
         .remedy = "The client waits for Retry-After seconds, and reads RateLimit to know before. The bounds are the "
                   "`limit` of the action, of the product, or of the file."},
    [REASON_QUOTA_EXHAUSTED] =
        {.code = "quota_exhausted",
         .status = 429,
         .title = "Quota exhausted",
         .explain = "The product has used its quota of this hour, day or month (UTC).",
         .remedy =
             "It is whole again when the window ends (Retry-After); raise `quota` of product {product} for more now."},
    [REASON_QUOTA_UNKNOWN] =
        {.code = "quota_unknown",
         .status = 503,
         .title = "Service unavailable",
         .explain = "What is left of the product's quota cannot be learned: the store does not answer, and what this "
                    "gateway had in hand is used.",
         .remedy = "See why the data role does not answer (`sallyport status`); it goes on by itself."},
    [REASON_UPSTREAM_NONE] = {.code = "upstream_none",
                              .status = 503,
                              .title = "Temporarily unavailable",
                              .explain = "The service has no instance that could be tried.",
                              .remedy = "Look at the service's `instances`, and whether they run."},
    [REASON_UPSTREAM_CONNECT] = {.code = "upstream_connect",
                                 .status = 502,
                                 .title = "Bad gateway",
                                 .explain = "No connection to the service: refused, unreachable, or not within "
                                            "timeouts.connect.",
                                 .remedy = "Is the service running, and is {upstream} its address?"},
    [REASON_UPSTREAM_CLOSED] =
        {.code = "upstream_closed",
         .status = 502,
         .title = "Bad gateway",
         .explain = "The service closed the connection before its response was whole.",
         .remedy = "Look at the service's own log at this time: it may have crashed or been restarted."},
    [REASON_UPSTREAM_GARBAGE] = {.code = "upstream_garbage",
                                 .status = 502,
                                 .title = "Bad gateway",
                                 .explain = "What the service sent is not an HTTP response that we accept.",
                                 .remedy = "`fault` names what is wrong with it. Is {upstream} an HTTP/1.1 port?"},
    [REASON_UPSTREAM_TIMEOUT] = {.code = "upstream_timeout",
                                 .status = 504,
                                 .title = "Gateway timeout",
                                 .explain = "The service did not begin to answer within timeouts.response.",
                                 .remedy = "If it needs that long, raise timeouts.response."},
    [REASON_DEADLINE] = {.code = "deadline",
                         .status = 504,
                         .title = "Gateway timeout",
                         .explain = "The exchange was not done within the action's `timeout`, or timeouts.total.",
                         .remedy = "If it needs that long, raise `timeout` of that one action."},
    [REASON_CLIENT_CLOSED] = {.code = "client_closed",
                              .status = 499,
                              .close = true,
                              .title = "Client closed the request",
                              .explain = "The client left before it had its answer; nothing was answered.",
                              .remedy =
                                  "Nothing to do here. Many of these mean that clients lose patience: look at the "
                                  "durations."},

    /* --- ourselves --- */
    [REASON_OVERLOADED] = {.code = "overloaded",
                           .status = 503,
                           .close = true,
                           .title = "Temporarily unavailable",
                           .explain = "A bound of this process was reached: limits.connections, or memory.",
                           .remedy = "Raise limits.connections and the descriptor limit, or add a gateway."},
    [REASON_DRAINING] = {.code = "draining",
                         .status = 503,
                         .close = true,
                         .title = "Temporarily unavailable",
                         .explain = "This process is shutting down.",
                         .remedy = "Nothing to do if it was meant; a load balancer should follow /readyz."},

    /* --- who is calling, in another way than by token and key --- */
    [REASON_CALLER_NOT_ACCEPTED] =
        {.code = "caller_not_accepted",
         .status = 401,
         .challenge = CHALLENGE_ACCEPTED,
         .title = "Credential not accepted here",
         .explain = "The credential holds, but the action does not accept it of this kind of caller (user, service, "
                    "third party), or does not accept that kind at all; `fault` names the kind.",
         .remedy = "Send what the action's `accept` names for that kind. The kind is `caller` of the product, or of "
                   "the token's issuer."},
    [REASON_SIGNATURE_MISSING] =
        {.code = "signature_missing",
         .status = 401,
         .challenge = CHALLENGE_SIGNATURE,
         .title = "Signature required",
         .explain = "The action wants the request to be signed (RFC 9421), and it is not: Signature-Input or Signature "
                    "is not there.",
         .remedy = "Sign it with the product's apisecret: `sallyport sign METHOD URL --product P` shows how."},
    [REASON_SIGNATURE_WRONG] =
        {.code = "signature_wrong",
         .status = 401,
         .challenge = CHALLENGE_SIGNATURE,
         .title = "Signature not accepted",
         .explain = "The signature of the request does not hold, is not made for this request as it came, or is of no "
                    "product that may sign here; `fault` says which.",
         .remedy = "`sallyport sign` makes a good one to compare with. A clock that is off by more than 30 s makes "
                   "every signature fail."},
    [REASON_CERTIFICATE_MISSING] =
        {.code = "certificate_missing",
         .status = 401,
         .challenge = CHALLENGE_ACCEPTED,
         .title = "Client certificate required",
         .explain = "The action accepts a client certificate, and the connection has none.",
         .remedy = "Connect by TLS with the certificate whose digest stands in the product's `certificates`."},
    [REASON_CERTIFICATE_UNKNOWN] =
        {.code = "certificate_unknown",
         .status = 401,
         .challenge = CHALLENGE_ACCEPTED,
         .title = "Client certificate not known",
         .explain = "The connection has a client certificate of a known authority, but its public key is no product's.",
         .remedy = "Add the SHA-256 of its SubjectPublicKeyInfo to the product's `certificates`."},

    /* --- no room at the service --- */
    [REASON_POOL_EXHAUSTED] =
        {.code = "pool_exhausted",
         .status = 503,
         .title = "Service unavailable",
         .explain =
             "Every connection to the service that may be open is in use, and none came free within the time for "
             "connecting, or too many requests wait for one already.",
         .remedy = "`sallyport upstreams` shows whether one instance is slow. If they can bear more, raise the "
                   "service's `pool`."},
    [REASON_BREAKER_OPEN] =
        {.code = "breaker_open",
         .status = 503,
         .title = "Service unavailable",
         .explain = "Too many requests of this kind of caller failed at the service: for a while none is sent.",
         .remedy = "It closes by itself once trials are answered again; `sallyport upstreams` shows it. The bounds are "
                   "the service's `breaker`."},
    [REASON_CONCURRENCY_LIMIT] =
        {.code = "concurrency_limit",
         .status = 503,
         .title = "Service unavailable",
         .explain = "As many requests of this kind of caller are under way at the service as may be.",
         .remedy = "Let the client have fewer at a time, or raise `breaker.concurrent` of the service."},

    /* --- admin listener, control socket --- */
    [REASON_HOST_REFUSED] = {.code = "host_refused",
                             .status = 421,
                             .close = true,
                             .title = "Misdirected request",
                             .explain =
                                 "Host is not an address of the admin listener; a web page could be behind it (DNS "
                                 "rebinding).",
                             .remedy = "Use the address that `listen.admin` has, or localhost."},
    [REASON_ORIGIN_REFUSED] = {.code = "origin_refused",
                               .status = 403,
                               .close = true,
                               .title = "Origin refused",
                               .explain = "The request comes from a web page of another origin.",
                               .remedy = "Nothing to do: no page but our own may ask."},
    [REASON_MEDIA_TYPE_REFUSED] = {.code = "media_type_refused",
                                   .status = 415,
                                   .title = "Unsupported media type",
                                   .explain = "What changes something takes application/json only.",
                                   .remedy = "Send `Content-Type: application/json`."},
    [REASON_NOT_FOUND] = {.code = "not_found",
                          .status = 404,
                          .title = "Not found",
                          .explain = "There is no such address here.",
                          .remedy = "See `sallyport help` for what can be asked."},
    [REASON_DECISION_UNKNOWN] = {.code = "decision_unknown",
                                 .status = 404,
                                 .title = "Decision not in memory",
                                 .explain =
                                     "No decision of that id is in memory: it was pushed out by later ones, made by "
                                     "another process, or before the last start.",
                                 .remedy = "Look it up in the access log: `sallyport why ID --log FILE`."},
    [REASON_CONFIG_REFUSED] = {.code = "config_refused",
                               .status = 422,
                               .title = "Configuration refused",
                               .explain = "The configuration has mistakes; the one in force stays.",
                               .remedy = "Correct what is listed, check with `sallyport lint`, and reload."},

    /* --- the Authentication Service --- */
    [REASON_LOGIN_FAILED] =
        {.code = "login_failed",
         .status = 401,
         .challenge = CHALLENGE_BEARER,
         .title = "Login failed",
         .explain = "No such user in the product's base, a wrong password, or a user who is disabled: which of them, "
                    "only the audit record says.",
         .remedy = "`sallyport audit tail` shows what it was; `sallyport user show NAME` the user."},
    [REASON_LOGIN_THROTTLED] = {.code = "login_throttled",
                                .status = 429,
                                .title = "Too many attempts",
                                .explain = "Too many failed logins for this account from this address, or from this "
                                           "address in all.",
                                .remedy = "Wait as Retry-After says. The rates are `authentication.throttle`."},
    [REASON_LOGIN_NOT_ALLOWED] = {.code = "login_not_allowed",
                                  .status = 403,
                                  .title = "No logins for this product",
                                  .explain = "The product has no users that log in: its `login` is none.",
                                  .remedy = "If {product} has users, set `login: password` and `users`."},
    [REASON_PRODUCT_PROOF_MISSING] =
        {.code = "product_proof_missing",
         .status = 401,
         .challenge = CHALLENGE_APIKEY,
         .title = "Proof of the product required",
         .explain = "The product must prove its apisecret with each login, refresh and logout, and did not.",
         .remedy = "Send it by HTTP Basic, or sign the request, as `secret` of the product says."},
    [REASON_PRODUCT_PROOF_WRONG] =
        {.code = "product_proof_wrong",
         .status = 401,
         .challenge = CHALLENGE_APIKEY,
         .title = "Proof of the product not accepted",
         .explain = "The apisecret is not the product's, or the signature of the request does not hold.",
         .remedy = "`fault` names what is wrong. A clock that is off by more than 30 s makes every signature fail."},
    [REASON_SIGNATURE_REPLAYED] = {.code = "signature_replayed",
                                   .status = 401,
                                   .challenge = CHALLENGE_SIGNATURE,
                                   .title = "Request was sent before",
                                   .explain = "A request with this very signature was taken already.",
                                   .remedy = "Sign every request anew; two in one second need different nonces."},
    [REASON_REFRESH_INVALID] =
        {.code = "refresh_invalid",
         .status = 401,
         .challenge = CHALLENGE_INVALID_TOKEN,
         .title = "Refresh token not accepted",
         .explain = "The refresh token is unknown, its session has ended, or it belongs to another product.",
         .remedy = "The user logs in again. If that comes too early, raise authentication.refresh_token."},
    [REASON_REFRESH_REUSED] =
        {.code = "refresh_reused",
         .status = 401,
         .challenge = CHALLENGE_INVALID_TOKEN,
         .title = "Refresh token was used before",
         .explain = "A refresh token came a second time, so somebody else may hold it: its session was ended and its "
                    "access tokens are revoked.",
         .remedy = "The user logs in again. If it happens often, a client refreshes twice and forgets the answer."},
    [REASON_PASSWORDS_BUSY] = {.code = "passwords_busy",
                               .status = 503,
                               .title = "Temporarily unavailable",
                               .explain = "More logins at once than passwords can be checked: the queue is full.",
                               .remedy = "Raise authentication.password.concurrent or queue, or add a process."},
    [REASON_STORE_UNAVAILABLE] = {.code = "store_unavailable",
                                  .status = 503,
                                  .title = "Temporarily unavailable",
                                  .explain = "The store did not answer, so nothing was decided.",
                                  .remedy = "Does the role data run, and is there room on its disk?"},
    [REASON_SIGNING_KEY_NONE] =
        {.code = "signing_key_none",
         .status = 503,
         .title = "Temporarily unavailable",
         .explain = "There is no key to sign with yet: the first one is being published to every gateway.",
         .remedy = "Wait a moment. If it stays so, `sallyport keys list` and the log say what it waits for."},
};

const struct reason_info *reason_info(enum reason r)
{
    return (unsigned)r < REASON_COUNT ? &table[r] : &table[REASON_INTERNAL];
}

const char *reason_code(enum reason r)
{
    return reason_info(r)->code;
}

enum err reason_of(str code, enum reason *out)
{
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        if (!str_eq(code, str_of(table[i].code))) continue;
        *out = (enum reason)i;
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

bool reason_is_permit(enum reason r)
{
    return r == REASON_GRANTED || r == REASON_GRANTED_APIKEY || r == REASON_PUBLIC;
}
