/* One end of a connection that carries frames of store/wire.h: a socket, what came and is no whole frame yet, what
 * waits to be sent. Both ends use it: store/remote.h and store/listener.h.
 *
 * Owner: the thread of `loop`; embedded in whatever the connection belongs to. Frames are handed over one by one,
 * whole; what is put into the outgoing buffer leaves at the end of the turn. A link reads no more than WIRE_LINK_TURN
 * bytes a turn, so that one that sends without end does not keep the others waiting. */
#ifndef SALLYPORT_STORE_WIRE_LINK_H
#define SALLYPORT_STORE_WIRE_LINK_H

#include "net/loop.h"
#include "store/wire.h"

#define WIRE_LINK_TURN ((size_t)256 << 10)

struct wire_link {
    /* set by the owner before wire_link_open */
    enum wire_side from; /* whose frames come in */
    size_t max_body;     /* of a frame that comes in; may be changed any time */
    /* ERR_OK: dealt with. ERR_AGAIN: not now: it will be shown again after wire_link_resume, and nothing is read until
     * then. Anything else ends the link. */
    enum err (*on_frame)(struct wire_link *l, const struct wire_frame *f);
    /* The connection is gone and the descriptor closed; the last call. May free the link. */
    void (*on_end)(struct wire_link *l, enum err why);
    void (*on_sent)(struct wire_link *l); /* less waits to be sent than before; may be NULL */
    /* private */
    struct loop *loop;
    struct watch watch;
    struct task pump;
    struct buf in, out;
    size_t sent; /* of out */
    bool open, stopped, unread, mute;
    enum wire_fault fault; /* of ERR_MALFORMED: what was wrong with the form; WIRE_FAULT_BODY if on_frame said so */
};

/* Takes the connected socket over. `out_max`: bytes that may wait to be sent; more end the link. ERR_IO: then the
 * socket is closed, and on_end is not called. */
MUST_USE enum err wire_link_open(struct wire_link *l, struct loop *loop, int fd, size_t out_max);
/* Sends what the socket takes at once and closes; on_end is not called. Safe to repeat, and on a link that was never
 * opened. The memory of the link may go right after it. */
void wire_link_close(struct wire_link *l);

/* For the writers of store/wire.h; what they put there is sent. Only while it is open. */
struct buf *wire_link_out(struct wire_link *l);
/* Bytes that wait to be sent. */
size_t wire_link_backlog(const struct wire_link *l);
/* The other end has gone: what it said before is still handed over, but no answer will be read. */
bool wire_link_mute(const struct wire_link *l);
/* After ERR_AGAIN of on_frame: go on, at the end of this turn or in the next. */
void wire_link_resume(struct wire_link *l);

#endif
