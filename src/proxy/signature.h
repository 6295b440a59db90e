/* Requests that their product has signed (RFC 9421, HMAC-SHA256 with its apisecret), as the Authentication Service
 * verifies them: over what came, before anything is changed; each once.
 *
 * The head is verified at once, the body when it is here (body_step), in between nothing of it leaves. What is not
 * signed by a product of ours makes us keep nothing. */
#ifndef SALLYPORT_PROXY_SIGNATURE_H
#define SALLYPORT_PROXY_SIGNATURE_H

#include "net/tls_stream.h"
#include "proxy/exchange.h"

/* Whether there is anything of a signature. */
bool signature_presented(const struct exchange *x);

/* STEP_NEXT: *out is the product that signed this head within the last 30 s, for the first time; if a body follows its
 * digest is in x->signed_digest. STEP_REFUSE. Never STEP_WAIT: to be called once a request, for the second time would
 * be a replay. */
enum step signature_verify(struct exchange *x, const struct snapshot_product **out);

#endif
