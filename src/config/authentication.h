/* What the `authentication`, `store`, `feed` and `seal` sections of a configuration say: plain values.
 *
 * In `struct config` and in the snapshot alike (there everything lives in the snapshot's arena), so that the roles
 * that read it keep a reference on a snapshot and nothing else. Holds no secret: `seal` says where it comes from
 * (config/secret_source.h fetches it), and only the role that opens seals does. */
#ifndef SALLYPORT_CONFIG_AUTHENTICATION_H
#define SALLYPORT_CONFIG_AUTHENTICATION_H

#include "base/str.h"

/* The names of what is built in. */
#define AUTHENTICATION_ISSUER   "authentication"      /* the issuer, the service */
#define AUTHENTICATION_SOCKET   "authentication.sock" /* in the data folder */
#define AUTHENTICATION_LOGIN    "authentication:login"
#define AUTHENTICATION_REFRESH  "authentication:refresh"
#define AUTHENTICATION_LOGOUT   "authentication:logout"
#define AUTHENTICATION_SESSIONS "authentication:sessions"
#define AUTHENTICATION_KEYS     "authentication:keys"

enum config_engine { CONFIG_ENGINE_SQLITE = 0, CONFIG_ENGINE_MEMORY };

enum product_login { LOGIN_NONE = 0, LOGIN_PASSWORD };

/* How a product proves its apisecret when its users log in, refresh and log out. */
enum product_proof { PROOF_NONE = 0, PROOF_BASIC, PROOF_SIGNATURE };

/* "10/m": so many in each window. */
struct config_rate {
    uint32_t count, window_s;
};

struct authentication_settings {
    bool on; /* the section is there; else nothing below is set */
    str issuer;
    const str *audience; /* at least one */
    uint32_t n_audience;
    uint32_t access_s, refresh_s, session_s; /* lives of access token, refresh token (idle) and session (absolute) */
    str algorithm;                           /* "ES256": for new signing keys; alg_from_name knows it */
    uint32_t rotate_s, publish_ahead_s;
    uint32_t memory_kib, passes;         /* of argon2id */
    uint32_t concurrent, queue;          /* passwords under computation, and waiting for it */
    struct config_rate account, address; /* attempts */
    const str *user_bases;               /* at least one; the first is the default of a product */
    uint32_t n_user_bases;
};

#endif
