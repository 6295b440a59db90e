/* The answer to a GET of ours, without I/O: bytes in, a whole small body or a fault out.
 *
 * Only a 200 has a body that counts; anything else ends it at the head. Interim answers (1xx) are passed over, a few
 * of them. Everything is bounded. Owner: whoever embeds it. */
#ifndef SALLYPORT_FETCH_REPLY_H
#define SALLYPORT_FETCH_REPLY_H

#include "base/buf.h"
#include "fetch/fetch.h"
#include "http/h1.h"

struct reply {
    struct buf in;   /* not understood yet */
    struct buf body; /* of at most the bytes asked for */
    struct h1_scan scan;
    struct h1_head head;
    struct h1_chunked chunked;
    uint64_t left;   /* of a body whose length is announced */
    uint16_t status; /* 0: no final head yet */
    uint8_t interim; /* heads passed over */
    bool whole;
};

void reply_init(struct reply *r, size_t max_body);
void reply_free(struct reply *r);

/* Takes bytes as they come. r->whole: the body is there, nothing more is wanted. ERR_DENIED with *fault (REDIRECT,
 * STATUS, CODING), ERR_MALFORMED (ANSWER), ERR_LIMIT (SIZE), ERR_NO_MEMORY (MEMORY). */
MUST_USE enum err reply_take(struct reply *r, str bytes, enum fetch_fault *fault);

/* The connection ended; `clean`: by the peer's own word. ERR_OK: that was the end of the body. ERR_CLOSED: CUT. */
MUST_USE enum err reply_end(struct reply *r, bool clean, enum fetch_fault *fault);

#endif
