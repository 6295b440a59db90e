#include "store/wire_link.h"

#include "net/socket.h"

#define PIECE ((size_t)64 << 10)  /* bytes asked of the socket at once */
#define KEEP  ((size_t)64 << 10)  /* a buffer that is empty keeps no more than that */
#define SHIFT ((size_t)256 << 10) /* what was sent is cut off when it is so much */

static void shrink(struct buf *b)
{
    size_t max = b->max;
    if (b->n || b->cap <= KEEP) return;
    buf_free(b);
    buf_init(b, max);
}

static void shut(struct wire_link *l)
{
    watch_drop(l->loop, &l->watch);
    loop_undefer(l->loop, &l->pump);
    buf_free(&l->in);
    buf_free(&l->out);
    l->open = false;
}

size_t wire_link_backlog(const struct wire_link *l)
{
    return l->open ? l->out.n - l->sent : 0;
}

/* ERR_OK: as much as the socket takes now. *less: something was sent. */
static enum err flush(struct wire_link *l, bool *less)
{
    *less = false;
    while (l->sent < l->out.n) {
        size_t n = 0;
        enum err e = net_send(l->watch.fd, l->out.p + l->sent, l->out.n - l->sent, &n);
        if (e != ERR_OK) return e;
        if (!n) break;
        l->sent += n;
        *less = true;
    }
    if (l->sent == l->out.n) {
        buf_clear(&l->out);
        l->sent = 0;
        shrink(&l->out);
    } else if (l->sent >= SHIFT) {
        buf_consume(&l->out, l->sent);
        l->sent = 0;
    }
    return ERR_OK;
}

static void end(struct wire_link *l, enum err why)
{
    bool less;
    if (!l->open) return;
    if (!l->mute && !l->out.bad) (void)!flush(l, &less); /* a last word, if the socket takes it */
    shut(l);
    l->on_end(l, why);
}

/* Nobody reads us any more; but what was said before that is still to be heard. */
static void go_mute(struct wire_link *l)
{
    l->mute = true;
    l->unread = true;
    buf_clear(&l->out);
    l->sent = 0;
}

/* Hands over the whole frames that are there. ERR_OK: none is left; *want: bytes that the next one takes. */
static enum err hand_over(struct wire_link *l, size_t *want)
{
    size_t at = 0;
    enum err e = ERR_OK;
    *want = WIRE_HEAD;
    while (e == ERR_OK) {
        struct wire_frame f;
        size_t used;
        e = wire_cut(str_from(buf_str(&l->in), at), l->from, l->max_body, &f, &used, &l->fault);
        if (e != ERR_OK) {
            *want = used;
            break;
        }
        e = l->on_frame(l, &f);
        if (!l->open) return ERR_CLOSED; /* whoever got the frame has closed the link */
        if (e == ERR_OK) at += used;
        if (e == ERR_AGAIN) l->stopped = true;
        if (e == ERR_MALFORMED) l->fault = WIRE_FAULT_BODY;
    }
    buf_consume(&l->in, at);
    shrink(&l->in);
    return e == ERR_AGAIN ? ERR_OK : e;
}

static enum err receive(struct wire_link *l, size_t want, size_t *got)
{
    size_t room = want > l->in.n ? want - l->in.n : 0;
    if (room < PIECE) room = PIECE;
    if (room > WIRE_LINK_TURN) room = WIRE_LINK_TURN; /* memory for what came, not for what was announced */
    char *p = buf_room(&l->in, room);
    if (!p) return ERR_NO_MEMORY;
    enum err e = net_recv(l->watch.fd, p, room, got);
    if (e == ERR_OK) l->in.n += *got;
    return e;
}

static void read_on(struct wire_link *l)
{
    size_t want, total = 0;
    enum err e = hand_over(l, &want);
    while (e == ERR_OK && !l->stopped) {
        size_t got = 0;
        if (total >= WIRE_LINK_TURN) { /* the others' turn */
            loop_defer(l->loop, &l->pump);
            return;
        }
        e = receive(l, want, &got);
        total += got;
        if (e == ERR_OK) e = hand_over(l, &want);
    }
    if (!l->open) return;
    if (e == ERR_AGAIN) {
        l->unread = false;
        if (!l->mute) return;
        e = ERR_CLOSED;
    }
    if (e != ERR_OK) end(l, e);
}

static void pump(struct task *t)
{
    struct wire_link *l = CONTAINER_OF(t, struct wire_link, pump);
    bool less = false;
    if (!l->open) return;
    if (l->out.bad) {
        end(l, ERR_LIMIT);
        return;
    }
    if (!l->mute && flush(l, &less) != ERR_OK) {
        go_mute(l);
        less = true; /* nothing waits any more: whoever waited for room may go on to the end */
    }
    if (less && l->on_sent) l->on_sent(l);
    if (l->open && l->unread && !l->stopped) read_on(l);
}

static void on_event(struct watch *w, uint32_t events)
{
    struct wire_link *l = CONTAINER_OF(w, struct wire_link, watch);
    if (events & (uint32_t)~EPOLLOUT) l->unread = true;
    pump(&l->pump);
}

enum err wire_link_open(struct wire_link *l, struct loop *loop, int fd, size_t out_max)
{
    l->loop = loop;
    l->watch = (struct watch){on_event, fd};
    l->pump = (struct task){.run = pump};
    buf_init(&l->in, WIRE_HEAD + WIRE_BODY_MAX + WIRE_LINK_TURN);
    buf_init(&l->out, out_max);
    l->sent = 0;
    l->stopped = l->unread = l->mute = false;
    l->fault = WIRE_FAULT_NONE;
    l->open = true;
    if (watch_add(loop, &l->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP) == ERR_OK) return ERR_OK;
    shut(l);
    return ERR_IO;
}

void wire_link_close(struct wire_link *l)
{
    bool less;
    if (!l->open) return;
    if (!l->mute && !l->out.bad) (void)!flush(l, &less); /* it is over either way */
    shut(l);
}

struct buf *wire_link_out(struct wire_link *l)
{
    loop_defer(l->loop, &l->pump);
    if (l->mute) buf_clear(&l->out); /* nobody will read it */
    return &l->out;
}

bool wire_link_mute(const struct wire_link *l)
{
    return l->mute;
}

void wire_link_resume(struct wire_link *l)
{
    if (!l->open || !l->stopped) return;
    l->stopped = false;
    l->unread = true;
    loop_defer(l->loop, &l->pump);
}
