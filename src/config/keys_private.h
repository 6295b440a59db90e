/* What the tables of keys share. Private to src/config. */
#ifndef SALLYPORT_CONFIG_KEYS_PRIVATE_H
#define SALLYPORT_CONFIG_KEYS_PRIVATE_H

#include "config/keys.h"
#include "config/read.h"

#define KB      UINT64_C(1024)
#define MB      (KB * 1024)
#define GB      (MB * 1024)
#define HOUR_MS 3600000
#define DAY_S   86400u

#define AT(type, member) .offset = offsetof(type, member)
#define REFUSED(key)                                                                                                   \
    {                                                                                                                  \
        .name = key, .shape = SHAPE_REFUSED                                                                            \
    }
#define END                                                                                                            \
    {                                                                                                                  \
        .name = NULL                                                                                                   \
    }

/* --- checks of texts: what is wrong, as a sentence behind "must be" (config/keys_checks.c) --- */
text_check check_name;
text_check check_action_name;
text_check check_permission;
text_check check_gateway_name;
text_check check_environment;
text_check check_long;
text_check check_path;
text_check check_https;
text_check check_url;
text_check check_name_server;
text_check check_algorithm;
text_check check_signing_algorithm;
text_check check_own_issuer;
text_check check_user_base;
text_check check_claim;
text_check check_strip;

extern const char *const caller_kinds[]; /* config/keys_products.c */

/* --- the maps in the file --- */
extern const struct key_map keys_authentication; /* config/keys_authentication.c */
extern const struct key_map keys_issuer;         /* config/keys_issuers.c */
extern const struct key_map keys_secret;
extern const struct key_map keys_product; /* config/keys_products.c */
extern const struct key_map keys_action;
extern const struct key_map keys_service;    /* config/keys_services.c */
extern const struct key_map keys_edge_limit; /* config/keys_edge.c */
extern const struct key_map keys_product_limit;
extern const struct key_map keys_action_limit;
extern const struct key_map keys_listener;
extern const struct key_map keys_tls;
extern const struct key_map keys_tracing;

#endif
