/* The Authentication Service on a store in memory, asked over its socket as a gateway would: one loop, one thread. */
#ifndef SALLYPORT_TEST_SERVICES_HARNESS_H
#define SALLYPORT_TEST_SERVICES_HARNESS_H

#include "unit.h"

#include "config/snapshot.h"
#include "crypto/seal.h"
#include "services/authentication.h"
#include "store/keeper.h"
#include "store/user_record.h"

struct harness {
    struct loop *loop;
    struct keeper *keeper;
    struct store *store; /* the test's own client */
    struct snapshot *snapshot;
    struct seal seal;
    struct authentication *service, *second; /* second: another process's, as it were, on the same store */
    char dir[64], socket[80], socket2[80];
    bool use_second;
};

struct answer {
    int status;
    char head[4096], body[65536];
};

/* `more` is appended to the section `authentication`, indented by two blanks. */
void harness_start(struct harness *h, const char *more);
void harness_second(struct harness *h);
void harness_stop(struct harness *h);
/* Turns the loop for that long. */
void harness_run(struct harness *h, unsigned ms);
void harness_wait_ready(struct harness *h);

/* Sends "METHOD /path" with the fields ("Name: value\r\n" each) and waits for the answer. */
struct answer harness_ask(struct harness *h, const char *method, const char *path, const char *fields,
                          const char *body);
/* The same for n requests at once. */
void harness_ask_many(struct harness *h, unsigned n, const char *method, const char *path, const char *fields,
                      const char *const *bodies, struct answer *out);
/* Sends n of them, turns the loop some times and leaves without waiting; what is under way goes on. */
void harness_leave(struct harness *h, unsigned n, const char *method, const char *path, const char *fields,
                   const char *body, unsigned turns);
/* As product, from address. */
struct answer harness_post(struct harness *h, const char *path, const char *product, const char *body);
struct answer harness_login(struct harness *h, const char *product, const char *user, const char *password);
struct answer harness_refresh(struct harness *h, const char *product, const char *token);

/* The text of a member of a JSON answer; "" when there is none. Slot 0..7: who keeps it. */
const char *member(const struct answer *a, const char *name, unsigned slot);

/* --- the store --- */
/* {"sub"…} of a user; roles "buyer". */
void harness_user(struct harness *h, const char *base, const char *name, const char *password, bool disabled);
void harness_put(struct harness *h, enum store_space space, str key, str value, int64_t expires_s);
void harness_delete(struct harness *h, enum store_space space, str key);
/* The value, or "" when there is none. Static room. */
str harness_get(struct harness *h, enum store_space space, str key);
unsigned harness_count(struct harness *h, enum store_space space, str prefix);

#endif
