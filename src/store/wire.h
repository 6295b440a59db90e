/* The frames between a store's client in one process (store/remote.h) and the data role in another
 * (store/listener.h): bytes ⇄ values, no I/O.
 *
 * A frame is a head of 12 bytes (length of the body, type, three zero bytes, id; numbers are big-endian) and a body.
 * The client begins with HELLO; the server answers WELCOME, or REFUSED and hangs up. Then, in any order:
 *
 *   client → server                                    server → client
 *   REQUEST  a job; id: chosen by the client           ANSWER    what came of it
 *   WATCH    a watch; id: its own number space         WATCHING  it has begun, or the error
 *   NEXT     the page was dealt with                   CHANGES   a piece of a page, in order
 *   CONFIRM  in force there up to                      PAGE      that was all of it; where to resume
 *   BEAT     renews the lease of a watch; with a tag   BEATEN    that tag, and how long the watch has owed
 *   UNWATCH  the lease is given back
 *
 * What a peer may cost is bounded: a body holds at most WIRE_BODY_MAX bytes (WIRE_HELLO_MAX before WELCOME), at most
 * one page of a watch is under way until its NEXT, and whoever reads a frame knows from its head whether there is room.
 * Decoders are strict: an unknown type, a byte too few or too many, a value out of its range is ERR_MALFORMED, and the
 * connection ends. Slices that a decoder gives point into the body. */
#ifndef SALLYPORT_STORE_WIRE_H
#define SALLYPORT_STORE_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/store.h"

#define WIRE_VERSION   1
#define WIRE_HEAD      12
#define WIRE_HELLO_MAX 256
#define WIRE_BODY_MAX  (STORE_BATCH_MAX + ((size_t)128 << 10)) /* what surrounds 1,000 entries included */
#define WIRE_PIECE_MAX ((size_t)64 << 10) /* a CHANGES frame is closed behind the change that reaches it */

enum wire_type {
    WIRE_HELLO = 1,
    WIRE_REQUEST,
    WIRE_WATCH,
    WIRE_NEXT,
    WIRE_CONFIRM,
    WIRE_BEAT,
    WIRE_UNWATCH,
    WIRE_WELCOME = 65,
    WIRE_REFUSED,
    WIRE_ANSWER,
    WIRE_WATCHING,
    WIRE_CHANGES,
    WIRE_PAGE,
    WIRE_BEATEN
};

struct wire_frame {
    enum wire_type type;
    uint32_t id;
    str body;
};

enum wire_fault {
    WIRE_FAULT_NONE = 0,
    WIRE_FAULT_LENGTH,   /* the body is longer than it may be */
    WIRE_FAULT_TYPE,     /* no such type, or not from that side */
    WIRE_FAULT_RESERVED, /* bytes that must be zero */
    WIRE_FAULT_BODY      /* cut short, bytes left over, a value out of its range */
};
const char *wire_fault_name(enum wire_fault f);

enum wire_side { WIRE_OF_CLIENT = 0, WIRE_OF_SERVER };

/* Cuts the first frame off `in`, of a body of at most max_body. *used: what it takes of `in`. ERR_AGAIN: it is not all
 * there yet; *used: how many bytes it takes at least. ERR_MALFORMED: *fault. */
MUST_USE enum err wire_cut(str in, enum wire_side from, size_t max_body, struct wire_frame *out, size_t *used,
                           enum wire_fault *fault);

/* --- bodies --- */

struct wire_hello {
    uint16_t version;
    uint32_t spaces; /* bits 1 << STORE_…: which ones it wants */
    str name;        /* of the client, for logs and lists: 1..STORE_NAME_MAX bytes of printable ASCII */
};
/* A WELCOME holds the version and the spaces that are served to it; a REFUSED the version and why. */
struct wire_welcome {
    uint16_t version;
    uint32_t spaces;
};
struct wire_refused {
    uint16_t version;
    enum err err;
};

struct wire_watch {
    enum store_space space;
    str prefix, name;
    uint32_t lease_ms;
    struct store_position from, confirmed;
};

struct wire_beaten {
    uint64_t tag, held_ms;
};

/* Writers append one whole frame to `out`, which is `bad` when there was no room. */
void wire_put_hello(struct buf *out, const struct wire_hello *h);
void wire_put_welcome(struct buf *out, const struct wire_welcome *w);
void wire_put_refused(struct buf *out, const struct wire_refused *r);
/* The question of a job that store_job_check found good. */
void wire_put_request(struct buf *out, uint32_t id, const struct store_job *job);
/* What came of a job. */
void wire_put_answer(struct buf *out, uint32_t id, const struct store_job *job);
void wire_put_watch(struct buf *out, uint32_t id, const struct wire_watch *w);
void wire_put_watching(struct buf *out, uint32_t id, enum err err);
/* NEXT, UNWATCH: frames without a body. */
void wire_put_bare(struct buf *out, enum wire_type type, uint32_t id);
/* CONFIRM, PAGE */
void wire_put_position(struct buf *out, enum wire_type type, uint32_t id, struct store_position at);
void wire_put_beat(struct buf *out, uint32_t id, uint64_t tag);
void wire_put_beaten(struct buf *out, uint32_t id, const struct wire_beaten *b);
/* As many of the changes as one frame takes, at least one; returns how many. */
uint32_t wire_put_changes(struct buf *out, uint32_t id, const struct store_change *changes, uint32_t n);

/* Readers: ERR_MALFORMED, or ERR_NO_MEMORY (`mem` is full) where one is taken. */
MUST_USE enum err wire_hello(str body, struct wire_hello *out);
MUST_USE enum err wire_welcome(str body, struct wire_welcome *out);
MUST_USE enum err wire_refused(str body, struct wire_refused *out);
/* The question alone, in the form of a job; its arrays are in `mem`. What it asks is still to be judged by
 * store_job_check. */
MUST_USE enum err wire_request(str body, struct arena *mem, struct store_job *out);
/* What an answer begins with, and then its entries one by one. */
struct wire_answer {
    enum err err;
    uint32_t failed;
    struct store_position at;
    bool more;
    uint32_t n_entries;
    str entries; /* unread */
};
MUST_USE enum err wire_answer(str body, struct wire_answer *out);
MUST_USE enum err wire_answer_entry(struct wire_answer *a, struct store_entry *out);
MUST_USE enum err wire_watch(str body, struct wire_watch *out);
MUST_USE enum err wire_watching(str body, enum err *out);
MUST_USE enum err wire_bare(str body);
MUST_USE enum err wire_position(str body, struct store_position *out);
MUST_USE enum err wire_beat(str body, uint64_t *tag);
MUST_USE enum err wire_beaten(str body, struct wire_beaten *out);
/* Takes the first change off *body. ERR_NOT_FOUND: that was all. */
MUST_USE enum err wire_change(str *body, struct store_change *out);

#endif
