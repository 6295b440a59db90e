#include "crypto/ticket.h"

#include "base/rand.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <pthread.h>

/* Looked up once: libcrypto would do it for every ticket, under a lock. */
static EVP_CIPHER *aes;

static void look_up(void)
{
    aes = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
}

static bool set_mac(const struct ticket_key *k, EVP_MAC_CTX *mac)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    return EVP_MAC_init(mac, k->mac, sizeof k->mac, params) == 1;
}

static const EVP_CIPHER *cipher_of(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look_up);
    return aes;
}

void ticket_key_make(struct ticket_key *k)
{
    rand_bytes(k, sizeof *k);
}

bool ticket_key_seal(const struct ticket_key *k, unsigned char iv[TICKET_IV_LEN], EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac)
{
    rand_bytes(iv, TICKET_IV_LEN);
    return cipher_of() && EVP_EncryptInit_ex(cipher, cipher_of(), NULL, k->cipher, iv) == 1 && set_mac(k, mac);
}

bool ticket_key_open(const struct ticket_key *k, const unsigned char iv[TICKET_IV_LEN], EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac)
{
    return cipher_of() && EVP_DecryptInit_ex(cipher, cipher_of(), NULL, k->cipher, iv) == 1 && set_mac(k, mac);
}
