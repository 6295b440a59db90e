/* Whether certificates, their keys and OCSP answers are what a server can show: read, fitting, in their time.
 *
 * Private to src/config. Contents in, reports out; opens no file. What is wrong for certain is an error, what time has
 * done or will do a warning. */
#ifndef SALLYPORT_CONFIG_CERTIFICATES_H
#define SALLYPORT_CONFIG_CERTIFICATES_H

#include "config/config.h"

/* A certificate and its private key; `ocsp_der` may be empty. Places are those of the paths in the configuration. */
struct certificate_files {
    const struct config_str *cert, *ocsp;
    struct config_pos key_at;
    str cert_pem, key_pem, ocsp_der;
};
void certificates_check(struct diags *d, const struct certificate_files *f, int64_t now_s);

/* The certificate alone, when its key is somewhere that cannot be looked at now. */
void certificates_check_chain(struct diags *d, const struct config_str *cert, str cert_pem, int64_t now_s);

/* A bundle of authorities. */
void certificates_check_bundle(struct diags *d, const struct config_str *path, str pem);

#endif
