/* The keys that session tickets are sealed with (RFC 5077 §4: AES-256-CBC, then HMAC-SHA-256), in the form in which
 * libssl wants it done. Knows no connection and no rotation. */
#ifndef SALLYPORT_CRYPTO_TICKET_H
#define SALLYPORT_CRYPTO_TICKET_H

#include "base/str.h"

#define TICKET_NAME_LEN 16
#define TICKET_IV_LEN   16

struct ticket_key {
    unsigned char name[TICKET_NAME_LEN]; /* goes in clear before each ticket */
    unsigned char cipher[32], mac[32];
};

struct evp_cipher_ctx_st;
struct evp_mac_ctx_st;

/* A fresh one, from the kernel's random source. */
void ticket_key_make(struct ticket_key *k);
/* Prepares libssl's contexts for sealing one (draws `iv`) or for opening one. False: memory. */
bool ticket_key_seal(const struct ticket_key *k, unsigned char iv[TICKET_IV_LEN], struct evp_cipher_ctx_st *cipher,
                     struct evp_mac_ctx_st *mac);
bool ticket_key_open(const struct ticket_key *k, const unsigned char iv[TICKET_IV_LEN],
                     struct evp_cipher_ctx_st *cipher, struct evp_mac_ctx_st *mac);

#endif
