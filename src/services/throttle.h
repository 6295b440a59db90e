/* How often passwords may be tried: bounded tables, no I/O, time passed in.
 *
 * Three counts, all of failures (a good login gives its charge back):
 *   account and address together: `account` attempts in its window, then refused. A stranger elsewhere is another pair:
 *     he cannot lock the owner out.
 *   address: `address` attempts in its window over all accounts, then refused. IPv6: the /64.
 *   account over all addresses: never refused. Beyond five times `account` each attempt from an address that has not
 *     logged in there before waits, up to 2 s; the owner's own addresses do not wait.
 * Accounts that do not exist are counted as if they did. A table that is full forgets the entry with the least on it:
 * filling it takes nothing off an account that is being attacked. */
#ifndef SALLYPORT_SERVICES_THROTTLE_H
#define SALLYPORT_SERVICES_THROTTLE_H

#include "base/str.h"

struct throttle_rate {
    uint32_t count;
    uint64_t window_ms;
};

struct throttle;

/* ERR_NO_MEMORY. */
MUST_USE enum err throttle_new(struct throttle_rate account, struct throttle_rate address, struct throttle **out);
void throttle_set(struct throttle *t, struct throttle_rate account, struct throttle_rate address);
void throttle_free(struct throttle **t);

struct throttle_attempt {
    uint64_t pair, address, account; /* private: hashes */
};
/* Who tries: base and folded name (or what was given for one), and the address as text. */
struct throttle_attempt throttle_attempt(str base, str name, str address);

/* ERR_OK: try, after *delay_ms; the attempt is charged. ERR_LIMIT: refused for *retry_ms more. */
MUST_USE enum err throttle_begin(struct throttle *t, const struct throttle_attempt *who, uint64_t now_ms,
                                 uint32_t *delay_ms, uint64_t *retry_ms);
/* The attempt was good: its charge is given back, and the address is known for the account. */
void throttle_good(struct throttle *t, const struct throttle_attempt *who, uint64_t now_ms);
/* It came to no verdict (busy, store away): only the charge is given back. */
void throttle_void(struct throttle *t, const struct throttle_attempt *who, uint64_t now_ms);

/* Something else that an address does wrong (a false apisecret): ERR_LIMIT: too often. */
MUST_USE enum err throttle_address(struct throttle *t, str address, uint64_t now_ms, uint64_t *retry_ms);
void throttle_address_failed(struct throttle *t, str address, uint64_t now_ms);

#endif
