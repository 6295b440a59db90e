/* The memory of nonces that were used, one for all workers: a signed request counts once.
 *
 * Bounded. A nonce is kept until the time its user names (when the signature would not hold any more anyway), never
 * less: is there no room, the request is refused, for what is not remembered could be sent again. Found by a keyed
 * 64-bit hash of scope and nonce: nobody can aim at another's place, and should two ever have the same one, a good
 * request too many is refused. Knows no signature and no clock. Any thread; nobody waits. */
#ifndef SALLYPORT_PROXY_REPLAY_H
#define SALLYPORT_PROXY_REPLAY_H

#include "base/str.h"

#define REPLAY_SLOTS (1u << 18) /* of a gateway: 4 MB of addresses, used page by page */

struct replay;

/* slots: a power of two, 32 at least. ERR_NO_MEMORY. */
MUST_USE enum err replay_new(uint32_t slots, struct replay **out);
void replay_free(struct replay **r);

/* Notes that `nonce` was used within `scope` (who chose it: a product, a key id). now_ns, until_ns: nanoseconds of one
 * clock; where signatures are judged by Unix time it should be that one, so that a clock that is set back brings back
 * what was noted. ERR_OK: it is new, and is known until `until_ns`. ERR_CONFLICT: it was used. ERR_LIMIT: no room.
 * ERR_MALFORMED: it would not be known for a moment (until_ns <= now_ns), or for too long. All but ERR_OK refuse. */
MUST_USE enum err replay_note(struct replay *r, str scope, str nonce, uint64_t now_ns, uint64_t until_ns);

#endif
