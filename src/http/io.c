#include "http/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum err http_io_init(struct http_io *io, struct loop *loop, const struct h1_limits *limits, size_t body_room,
                      size_t max_buffers)
{
    *io = (struct http_io){.loop = loop, .limits = *limits, .date_s = -1};
    io->buffer_size = limits->max_head + body_room;
    io->scratch_size = limits->max_head + 16384;
    io->scratch = malloc(io->scratch_size);
    if (!io->scratch) return ERR_NO_MEMORY;
    slab_init(&io->buffers, io->buffer_size, 8, max_buffers);
    return ERR_OK;
}

void http_io_close(struct http_io *io)
{
    free(io->scratch);
    io->scratch = NULL;
    slab_free(&io->buffers);
}

str http_io_date(struct http_io *io)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t now = (int64_t)(loop_wall_ms(io->loop) / 1000);
    if (UNLIKELY(now != io->date_s)) {
        time_t s = (time_t)now;
        struct tm t;
        if (!gmtime_r(&s, &t)) return STR("Thu, 01 Jan 1970 00:00:00 GMT");
        snprintf(io->date, sizeof io->date, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * t.tm_wday,
                 t.tm_mday % 100, months + 3 * t.tm_mon, (t.tm_year + 1900) % 10000, t.tm_hour % 100, t.tm_min % 100,
                 t.tm_sec % 100);
        io->date_s = now;
    }
    return str_make(io->date, 29);
}

/* Appends what the socket did not take to what waits already (normally nothing). */
static enum err keep(struct http_pending *o, const struct iovec *iov, int n, size_t sent)
{
    size_t total = 0, waiting = o->n - o->at;
    for (int i = 0; i < n; i++) total += iov[i].iov_len;
    if (LIKELY(total == sent)) return ERR_OK;
    char *p = malloc(waiting + total - sent);
    if (!p) return ERR_NO_MEMORY;
    if (waiting) memcpy(p, o->p + o->at, waiting);
    free(o->p);
    *o = (struct http_pending){p, waiting, 0};
    for (int i = 0; i < n; i++) {
        size_t skip = sent < iov[i].iov_len ? sent : iov[i].iov_len;
        memcpy(o->p + o->n, (const char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
        o->n += iov[i].iov_len - skip;
        sent -= skip;
    }
    return ERR_OK;
}

enum err pending_send(struct http_pending *o, int fd, struct tls_stream *tls, struct iovec *iov, int n,
                      uint64_t *counted)
{
    size_t sent = 0;
    if (LIKELY(!pending_any(o))) {
        enum err e = UNLIKELY(tls != NULL) ? tls_stream_sendv(tls, iov, n, &sent)
                     : n == 1              ? net_send(fd, iov[0].iov_base, iov[0].iov_len, &sent)
                                           : net_sendv(fd, iov, n, &sent);
        if (e != ERR_OK) return e;
    }
    *counted += sent;
    return keep(o, iov, n, sent);
}

enum err pending_flush(struct http_pending *o, int fd, struct tls_stream *tls, uint64_t *counted)
{
    if (!pending_any(o)) return ERR_OK;
    size_t sent = 0;
    enum err e = transport_send(fd, tls, o->p + o->at, o->n - o->at, &sent);
    if (e != ERR_OK) return e;
    *counted += sent;
    o->at += sent;
    if (pending_any(o)) return ERR_AGAIN;
    pending_free(o);
    return ERR_OK;
}

void pending_free(struct http_pending *o)
{
    free(o->p);
    *o = (struct http_pending){0};
}

static struct iovec piece(const char *p, size_t n)
{
    return (struct iovec){(void *)(uintptr_t)p, n};
}

int http_body_iov(struct iovec iov[4], struct h1_out *scratch, bool chunked, str data, bool end,
                  const struct fields *trailers)
{
    int n = 0;
    if (!chunked) {
        if (data.n) iov[n++] = piece(data.p, data.n);
        return n;
    }
    if (data.n) {
        size_t from = scratch->n;
        char line[H1_CHUNK_LINE_MAX];
        h1_out_raw(scratch, str_make(line, h1_chunk_line(line, data.n)));
        iov[n++] = piece(scratch->p + from, scratch->n - from);
        iov[n++] = piece(data.p, data.n);
    }
    size_t from = scratch->n;
    if (data.n) h1_out_raw(scratch, STR("\r\n"));
    if (end) {
        h1_out_raw(scratch, STR("0\r\n"));
        if (trailers) http_out_fields(scratch, trailers);
        h1_out_end(scratch);
    }
    if (scratch->n > from) iov[n++] = piece(scratch->p + from, scratch->n - from);
    return n;
}

void http_out_fields(struct h1_out *o, const struct fields *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        const struct field *x = &f->v[i];
        if (x->drop || field_class_of((enum field_id)x->id) == FIELD_HOP) continue;
        h1_out_field(o, x->name, x->value);
    }
}
