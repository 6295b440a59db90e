/* What is remembered of a request that is traced, until it is exported: a record of fixed size, and a ring of them
 * between the worker that made it and the control thread.
 *
 * One writer, one reader. The writer neither allocates nor waits nor takes a lock: when the reader lags behind, the
 * span is dropped and counted. Holds no key, no token, no user and no query. */
#ifndef SALLYPORT_SERVE_SPAN_H
#define SALLYPORT_SERVE_SPAN_H

#include "serve/decision.h"

enum span_text { /* when room runs out the last are cut first */
                 SPAN_ACTION,
                 SPAN_METHOD,
                 SPAN_PRODUCT,
                 SPAN_ROUTE,    /* the template: "/orders/{id}" */
                 SPAN_UPSTREAM, /* the instance: "10.0.0.11:8080" */
                 SPAN_FAULT,
                 SPAN_AUTHORITY, /* as the client named us */
                 SPAN_PATH,      /* without the query */
                 SPAN_TEXTS
};

#define SPAN_SIZE 448
#define SPAN_HEAD (4 * 8 + 16 + 3 * 8 + 4 * 2 + 4 + ULID_LEN + SPAN_TEXTS)
struct span {
    uint64_t begin_ns, end_ns; /* Unix time */
    uint64_t upstream_ns;      /* when it went on to the service; 0: it never did */
    uint64_t bytes_out;        /* of the answer's body */
    unsigned char trace_id[16];
    unsigned char id[8], parent[8]; /* parent zero: the trace begins here */
    unsigned char upstream_id[8];   /* of the call to the service, as its traceparent has it */
    uint16_t status, reason;        /* as answered; enum reason */
    uint16_t attempts;              /* to reach an instance */
    uint16_t text_n;
    uint8_t gate, effect, minor; /* HTTP/1.minor */
    bool tls;                    /* the client's side */
    char decision[ULID_LEN];
    uint8_t len[SPAN_TEXTS];
    char text[SPAN_SIZE - SPAN_HEAD]; /* one behind the other, in the order of the enum */
};
_Static_assert(sizeof(struct span) == SPAN_SIZE, "a span is 56 words");

/* Fills the texts; too long ones are cut. */
void span_texts(struct span *s, const str texts[SPAN_TEXTS]);
str span_text(const struct span *s, enum span_text which);
/* 2n hex digits to n bytes; what is no digit counts as 0. */
void span_id_of(const char *hex, unsigned char *out, size_t n);

#define SPAN_RING 512
struct span_ring;

/* 229 kB of address space; a page is used when it is first written. ERR_NO_MEMORY. */
MUST_USE enum err span_ring_new(struct span_ring **out);
void span_ring_free(struct span_ring **ring);

/* By the writer: room for the next one, or NULL (then it is dropped, and counted). It counts once span_ring_put says
 * that it is whole. */
struct span *span_ring_room(struct span_ring *ring);
void span_ring_put(struct span_ring *ring);

/* By the reader: the oldest, NULL when there is none; span_ring_took gives its place back. */
const struct span *span_ring_peek(const struct span_ring *ring);
void span_ring_took(struct span_ring *ring);

/* Dropped so far. Any thread. */
uint64_t span_ring_dropped(const struct span_ring *ring);

#endif
