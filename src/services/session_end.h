/* Ending a session, whoever asks: first what it was given is revoked, then it is deleted with its index. A crash in
 * between leaves a session that may be ended again and whose tokens are refused already. */
#ifndef SALLYPORT_SERVICES_SESSION_END_H
#define SALLYPORT_SERVICES_SESSION_END_H

#include "store/revocation_record.h"
#include "store/session_record.h"

struct session_end {
    /* the caller's, alive until done */
    struct store *store;
    char sid[SESSION_ID_LEN];
    str base, name; /* whose it is; empty: not known, read first */
    str reason, by; /* of the revocation */
    uint64_t now_ms;
    int64_t access_token_s; /* the longest life of an access token */
    void (*done)(struct session_end *e);
    /* what came of it */
    enum err err; /* ERR_OK; ERR_NOT_FOUND: there is no such session (its tokens are revoked all the same) */
    struct store_position at; /* ERR_OK: of the revocation in space control, to wait for */
    /* private */
    struct store_job job;
    struct store_op ops[2];
    struct record_key keys[2];
    str asked;
    struct buf value;
    char user[USER_SUBJECT_MAX];
};
void session_end(struct session_end *e);

#endif
