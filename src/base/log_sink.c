/* The sink: producers' blocks on one side, one descriptor on the other.
 *
 * A producer fills blocks in the order in which it *opens* them; `order` tells the sink that order. Each block says
 * how far it is filled with whole lines and whether it is closed (nothing more will come). The sink writes behind
 * it, and gives a closed block back through `back`. The block given back last is used next, so that two or three
 * blocks, warm in the cache, do the work while the sink keeps up.
 *
 *   producer:  line bytes → filled (release) …           turn: published (seq_cst) → state (seq_cst) ?→ wake
 *   sink:      state = SLEEP (seq_cst) → published (seq_cst) of each: all written? → poll()
 *
 * The four sequentially consistent accesses see to it that one of the two notices the other. */
#include "base/log_sink.h"

#include "base/clock.h"
#include "base/metrics.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOCKS = 16, BLOCK_SIZE = 65536, BLOCK_NONE = BLOCKS, WAKE_BLOCKS = 2, PRODUCERS = 128, NAP_MS = 50 };
enum { CLOSE_MS = 2000, RETRY_MS = 100 };
_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line in a pipe is written in one piece");
_Static_assert(LOG_LINE_MAX <= BLOCK_SIZE, "a line fits a block");

struct block {
    _Atomic uint32_t filled; /* bytes of whole lines */
    _Atomic bool closed;
};

struct log_producer {
    /* the producer's own */
    char *data; /* BLOCKS × BLOCK_SIZE, pages used when first written */
    uint32_t at, n;
    uint32_t opened_own, returned;
    uint32_t free_n;
    uint8_t free[BLOCKS];
    uint64_t bytes, published_own;
    struct log_sink *sink;
    /* written by the producer, read by the sink */
    _Alignas(64) _Atomic uint64_t published; /* bytes committed by the end of the last turn */
    _Atomic uint32_t opened;                 /* entries of order, ever */
    uint8_t order[BLOCKS];
    _Atomic bool gone;
    struct counter dropped;
    struct block blocks[BLOCKS];
    /* written by the sink, read by the producer */
    _Alignas(64) _Atomic uint32_t taken; /* blocks given back, ever */
    uint8_t back[BLOCKS];
    /* the sink's own */
    uint32_t done; /* bytes written of the block order[taken] */
    uint64_t bytes_taken;
};

enum { PAGE = 4096, MAPPED = PAGE + BLOCKS * BLOCK_SIZE }; /* the producer, then its blocks */
_Static_assert(sizeof(struct log_producer) <= PAGE, "a producer fits its page");

enum state { SINK_RUNS, SINK_NAPS, SINK_SLEEPS };

struct log_sink {
    int fd, wake_fd;
    bool pipe, text;
    uint64_t serial;
    const char *role;
    pthread_t thread;
    _Atomic int state;
    _Atomic bool stop, ended;
    _Atomic uint32_t slots; /* producers[i] beyond it are NULL */
    _Atomic(struct log_producer *) producers[PRODUCERS];
    _Atomic uint64_t lost; /* lines: of producers that are gone, and by failed writes */
    uint64_t reported, report_ns;
    struct log_sink *abandoned;
};

static struct {
    pthread_mutex_t lock; /* over what follows, never over a write of the sink's */
    _Atomic(struct log_sink *) sink;
    struct log_producer *shared; /* of threads without one of their own */
    _Atomic uint64_t serial;     /* of the open sink, 0: none; tells a thread that its producer is gone */
    uint64_t serials;
    uint64_t lost_before;       /* by sinks that are closed */
    struct log_sink *abandoned; /* stuck in a write when they were closed: their memory stays in use */
    _Atomic(const char *) role;
    _Atomic int text;    /* -1: not known, look at the descriptor */
    _Atomic int journal; /* likewise */
    int fd;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = 2, .role = "sallyport", .text = -1, .journal = -1};

static _Thread_local struct {
    uint64_t serial;
    struct log_producer *producer;
    const char *role;
} mine;

/* --- the producer's side --- */
static void wake(struct log_sink *s)
{
    if (atomic_exchange_explicit(&s->state, SINK_RUNS, memory_order_seq_cst) == SINK_RUNS) return;
    uint64_t one = 1;
    ssize_t n UNUSED = write(s->wake_fd, &one, sizeof one); /* fails only when the counter is full: awake anyway */
}

static struct log_producer *producer_new(struct log_sink *s)
{
    char *m = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) return NULL;
    struct log_producer *p = (void *)m;
    p->data = m + PAGE;
    p->sink = s;
    p->at = BLOCK_NONE;
    while (p->free_n < BLOCKS) {
        p->free[p->free_n] = (uint8_t)(BLOCKS - 1 - p->free_n);
        p->free_n++;
    }
    return p;
}

static void producer_free(struct log_producer *p)
{
    munmap(p, MAPPED);
}

static void close_block(struct log_producer *p)
{
    if (p->at == BLOCK_NONE) return;
    atomic_store_explicit(&p->blocks[p->at].closed, true, memory_order_release);
    p->at = BLOCK_NONE;
    uint32_t waiting = p->opened_own - atomic_load_explicit(&p->taken, memory_order_relaxed);
    if (waiting >= WAKE_BLOCKS && atomic_load_explicit(&p->sink->state, memory_order_relaxed) != SINK_RUNS)
        wake(p->sink);
}

static bool open_block(struct log_producer *p)
{
    uint32_t taken = atomic_load_explicit(&p->taken, memory_order_acquire);
    while (p->returned != taken) p->free[p->free_n++] = p->back[p->returned++ % BLOCKS];
    if (!p->free_n) return false;
    p->at = p->free[--p->free_n];
    p->n = 0;
    atomic_store_explicit(&p->blocks[p->at].filled, 0, memory_order_relaxed);
    atomic_store_explicit(&p->blocks[p->at].closed, false, memory_order_relaxed);
    p->order[p->opened_own % BLOCKS] = (uint8_t)p->at;
    atomic_store_explicit(&p->opened, ++p->opened_own, memory_order_release);
    return true;
}

char *log_room(struct log_producer *p, size_t n)
{
    if (UNLIKELY(p->at == BLOCK_NONE || BLOCK_SIZE - p->n < n)) {
        close_block(p);
        if (!open_block(p)) {
            counter_add(&p->dropped, 1);
            return NULL;
        }
    }
    return p->data + (size_t)p->at * BLOCK_SIZE + p->n;
}

void log_commit(struct log_producer *p, size_t n)
{
    p->n += (uint32_t)n;
    p->bytes += n;
    atomic_store_explicit(&p->blocks[p->at].filled, p->n, memory_order_release);
}

void log_turn(struct log_producer *p)
{
    if (p->bytes == p->published_own) return;
    p->published_own = p->bytes;
    atomic_store_explicit(&p->published, p->bytes, memory_order_seq_cst);
    if (atomic_load_explicit(&p->sink->state, memory_order_seq_cst) == SINK_SLEEPS) wake(p->sink);
}

static bool producer_put(struct log_producer *p, str line)
{
    char *room = log_room(p, line.n);
    if (!room) return false;
    memcpy(room, line.p, line.n);
    log_commit(p, line.n);
    log_turn(p);
    return true;
}

/* --- the sink's side --- */

/* Waits until fd takes bytes again; false when the sink should end and it still does not. */
static bool wait_writable(const struct log_sink *s)
{
    struct pollfd f = {.fd = s->fd, .events = POLLOUT};
    for (uint64_t until = 0;;) {
        if (poll(&f, 1, RETRY_MS) != 0) return true;
        if (!atomic_load_explicit(&s->stop, memory_order_relaxed)) continue;
        uint64_t now = clock_mono_ns();
        if (!until) until = now + (uint64_t)CLOSE_MS * 1000000u;
        if (now >= until) return false;
    }
}

static bool write_piece(const struct log_sink *s, const char *p, size_t n)
{
    while (n) {
        ssize_t w = write(s->fd, p, n);
        if (w >= 0) {
            p += w;
            n -= (size_t)w;
        } else if (errno == EAGAIN) {
            if (!wait_writable(s)) return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

static uint64_t lines_in(str s)
{
    uint64_t n = 0;
    while (s.n) {
        str_cut(&s, '\n');
        n++;
    }
    return n;
}

/* Whole lines. Into a pipe in pieces that the kernel does not mix with what other processes write (PIPE_BUF). */
static void write_lines(struct log_sink *s, str lines)
{
    while (lines.n) {
        str piece = lines;
        if (s->pipe && piece.n > PIPE_BUF) {
            const char *end = memrchr(piece.p, '\n', PIPE_BUF);
            piece.n = end ? (size_t)(end + 1 - piece.p) : PIPE_BUF;
        }
        if (!write_piece(s, piece.p, piece.n))
            atomic_fetch_add_explicit(&s->lost, lines_in(piece), memory_order_relaxed);
        lines = str_from(lines, piece.n);
    }
}

/* Writes what p has; whether there was anything. */
static bool drain(struct log_sink *s, struct log_producer *p)
{
    bool any = false;
    uint32_t taken = atomic_load_explicit(&p->taken, memory_order_relaxed);
    while (taken != atomic_load_explicit(&p->opened, memory_order_acquire)) {
        uint8_t at = p->order[taken % BLOCKS];
        bool closed = atomic_load_explicit(&p->blocks[at].closed, memory_order_acquire);
        uint32_t filled = atomic_load_explicit(&p->blocks[at].filled, memory_order_acquire);
        if (filled > p->done) {
            any = true;
            write_lines(s, str_make(p->data + (size_t)at * BLOCK_SIZE + p->done, filled - p->done));
            p->bytes_taken += filled - p->done;
            p->done = filled;
        }
        if (!closed) break;
        p->done = 0;
        p->back[taken % BLOCKS] = at;
        atomic_store_explicit(&p->taken, ++taken, memory_order_release);
    }
    return any;
}

static bool sweep(struct log_sink *s)
{
    bool any = false;
    uint32_t n = atomic_load_explicit(&s->slots, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        struct log_producer *p = atomic_load_explicit(&s->producers[i], memory_order_acquire);
        if (!p) continue;
        bool gone = atomic_load_explicit(&p->gone, memory_order_acquire);
        any |= drain(s, p);
        if (!gone) continue;
        pthread_mutex_lock(&all.lock); /* log_dropped() looks at producers under it */
        atomic_fetch_add_explicit(&s->lost, counter_get(&p->dropped), memory_order_relaxed);
        atomic_store_explicit(&s->producers[i], NULL, memory_order_release);
        producer_free(p);
        pthread_mutex_unlock(&all.lock);
    }
    return any;
}

/* Whether a producer published more than was written, or left. */
static bool pending(struct log_sink *s)
{
    if (atomic_load_explicit(&s->stop, memory_order_seq_cst)) return true;
    uint32_t n = atomic_load_explicit(&s->slots, memory_order_seq_cst);
    for (uint32_t i = 0; i < n; i++) {
        struct log_producer *p = atomic_load_explicit(&s->producers[i], memory_order_seq_cst);
        if (!p) continue;
        if (atomic_load_explicit(&p->published, memory_order_seq_cst) > p->bytes_taken) return true;
        if (atomic_load_explicit(&p->gone, memory_order_seq_cst)) return true;
    }
    return false;
}

static uint64_t sink_lost(struct log_sink *s)
{
    uint64_t sum = atomic_load_explicit(&s->lost, memory_order_relaxed);
    uint32_t n = atomic_load_explicit(&s->slots, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        struct log_producer *p = atomic_load_explicit(&s->producers[i], memory_order_acquire);
        if (p) sum += counter_get(&p->dropped);
    }
    return sum;
}

/* Says in the log itself that it has holes, at most once a second. */
static void report_lost(struct log_sink *s, bool last)
{
    uint64_t lost = sink_lost(s), now = clock_mono_ns();
    if (lost == s->reported || (!last && now - s->report_ns < 1000000000u)) return;
    char line[LOG_LINE_MAX];
    const struct log_field fields[] = {log_msg("log lines dropped: they were not read fast enough"),
                                       log_u64("lines", lost - s->reported), log_u64("lines_since_start", lost)};
    s->reported = lost;
    s->report_ns = now;
    size_t n = log_render(line, LOG_LEVEL_WARN, s->role, clock_wall_ms(), s->text, fields, ARRAY_LEN(fields));
    write_piece(s, line, n);
}

static void rest(struct log_sink *s, enum state how)
{
    atomic_store_explicit(&s->state, how, memory_order_seq_cst);
    if (how == SINK_NAPS || !pending(s)) {
        struct pollfd f = {.fd = s->wake_fd, .events = POLLIN};
        if (poll(&f, 1, how == SINK_NAPS ? NAP_MS : -1) > 0) {
            uint64_t count;
            ssize_t n UNUSED = read(s->wake_fd, &count, sizeof count);
        }
    }
    atomic_store_explicit(&s->state, SINK_RUNS, memory_order_seq_cst);
}

static void *sink_main(void *arg)
{
    struct log_sink *s = arg;
    for (;;) {
        bool stop = atomic_load_explicit(&s->stop, memory_order_acquire);
        bool any = sweep(s);
        report_lost(s, stop);
        if (stop) break; /* what was committed before stop was set has been swept */
        rest(s, any ? SINK_NAPS : SINK_SLEEPS);
    }
    atomic_store_explicit(&s->ended, true, memory_order_release);
    return NULL;
}

/* --- opening, closing, attaching --- */
static bool text_form(int fd, enum log_form form)
{
    return form == LOG_FORM_TEXT || (form == LOG_FORM_AUTO && isatty(fd));
}

/* systemd.exec(5), JOURNAL_STREAM: "device:inode" of what systemd connected to the journal. Somebody else's stderr may
 * have been put in its place since, hence the comparison. */
static bool journal_stream(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    uint64_t device, inode;
    if (!stream || fstat(fd, &st) != 0) return false;
    str rest = str_of(stream), first = str_cut(&rest, ':');
    return str_to_u64(first, &device) == ERR_OK && str_to_u64(rest, &inode) == ERR_OK && device == st.st_dev &&
           inode == st.st_ino;
}

/* The slot may be taken again while the sink sweeps: only the lock's holder fills one, only the sink empties one. */
static bool add_producer(struct log_sink *s, struct log_producer *p)
{
    uint32_t n = atomic_load_explicit(&s->slots, memory_order_relaxed);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        if (atomic_load_explicit(&s->producers[i], memory_order_acquire)) continue;
        atomic_store_explicit(&s->producers[i], p, memory_order_seq_cst);
        if (i >= n) atomic_store_explicit(&s->slots, i + 1, memory_order_seq_cst);
        return true;
    }
    return false;
}

static void sink_free(struct log_sink *s)
{
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        struct log_producer *p = atomic_load_explicit(&s->producers[i], memory_order_relaxed);
        if (p) producer_free(p);
    }
    if (s->wake_fd >= 0) close(s->wake_fd);
    free(s);
}

/* No signal is ever delivered to the sink: SIGPIPE becomes an error of write, the others belong to the main thread. */
static enum err start_thread(struct log_sink *s)
{
    sigset_t everything, before;
    sigfillset(&everything);
    pthread_sigmask(SIG_SETMASK, &everything, &before);
    int e = pthread_create(&s->thread, NULL, sink_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) return e == EAGAIN ? ERR_NO_MEMORY : ERR_IO;
    pthread_setname_np(s->thread, "log");
    return ERR_OK;
}

static enum err sink_new(const struct log_options *o, struct log_sink **out, struct log_producer **shared)
{
    struct stat st;
    struct log_sink *s = calloc(1, sizeof *s);
    if (!s) return ERR_NO_MEMORY;
    s->fd = o->fd;
    s->role = o->role ? o->role : "sallyport";
    s->text = text_form(o->fd, o->form);
    s->pipe = fstat(o->fd, &st) == 0 && S_ISFIFO(st.st_mode);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct log_producer *p = s->wake_fd >= 0 ? producer_new(s) : NULL;
    enum err e = s->wake_fd < 0 ? ERR_IO : !p ? ERR_NO_MEMORY : ERR_OK;
    if (e == ERR_OK) {
        add_producer(s, p);
        e = start_thread(s);
    }
    if (e != ERR_OK) {
        sink_free(s);
        return e;
    }
    *out = s;
    *shared = p;
    return ERR_OK;
}

enum err log_open(const struct log_options *o)
{
    struct log_sink *s;
    pthread_mutex_lock(&all.lock);
    enum err e = atomic_load(&all.sink) ? ERR_CONFLICT : sink_new(o, &s, &all.shared);
    if (e == ERR_OK) {
        s->serial = ++all.serials;
        all.fd = o->fd;
        atomic_store(&all.role, s->role);
        atomic_store(&all.text, s->text);
        atomic_store(&all.journal, !s->text && journal_stream(o->fd));
        log_set_level(o->level);
        atomic_store(&all.sink, s);
        atomic_store(&all.serial, s->serial);
    }
    pthread_mutex_unlock(&all.lock);
    return e;
}

enum err log_close(void)
{
    pthread_mutex_lock(&all.lock);
    struct log_sink *s = atomic_load(&all.sink);
    atomic_store(&all.serial, 0);
    atomic_store(&all.sink, NULL);
    all.shared = NULL;
    pthread_mutex_unlock(&all.lock);
    if (!s) return ERR_OK;
    atomic_store_explicit(&s->stop, true, memory_order_seq_cst);
    wake(s);
    uint64_t until = clock_mono_ns() + (uint64_t)CLOSE_MS * 1000000u;
    while (!atomic_load_explicit(&s->ended, memory_order_acquire) && clock_mono_ns() < until) usleep(500);
    bool ended = atomic_load_explicit(&s->ended, memory_order_acquire);
    pthread_mutex_lock(&all.lock);
    all.lost_before += sink_lost(s);
    if (!ended) {
        s->abandoned = all.abandoned;
        all.abandoned = s;
    }
    pthread_mutex_unlock(&all.lock);
    if (!ended) {
        pthread_detach(s->thread);
        return ERR_TIMEOUT;
    }
    pthread_join(s->thread, NULL);
    sink_free(s);
    return ERR_OK;
}

static struct log_producer *own_producer(void)
{
    uint64_t serial = atomic_load_explicit(&all.serial, memory_order_acquire);
    return serial && serial == mine.serial ? mine.producer : NULL;
}

struct log_producer *log_attach(void)
{
    struct log_producer *p = own_producer();
    if (p) return p;
    pthread_mutex_lock(&all.lock);
    struct log_sink *s = atomic_load(&all.sink);
    p = s ? producer_new(s) : NULL;
    if (p && !add_producer(s, p)) {
        producer_free(p);
        p = NULL;
    }
    if (p) {
        mine.producer = p;
        mine.serial = s->serial;
    }
    pthread_mutex_unlock(&all.lock);
    return p;
}

void log_detach(void)
{
    struct log_producer *p = own_producer();
    mine.producer = NULL;
    mine.serial = 0;
    if (!p) return;
    struct log_sink *s = p->sink;
    close_block(p);
    atomic_store_explicit(&p->gone, true, memory_order_seq_cst); /* p may be freed from here on */
    if (atomic_load_explicit(&s->state, memory_order_seq_cst) != SINK_RUNS) wake(s);
}

static void write_directly(int fd, str line)
{
    while (line.n) {
        ssize_t w = write(fd, line.p, line.n);
        if (w < 0 && errno != EINTR) return;
        if (w > 0) line = str_from(line, (size_t)w);
    }
}

void log_sink_put(str line)
{
    struct log_producer *p = own_producer();
    if (p) {
        producer_put(p, line);
        return;
    }
    pthread_mutex_lock(&all.lock);
    if (all.shared)
        producer_put(all.shared, line);
    else
        write_directly(all.fd, line);
    pthread_mutex_unlock(&all.lock);
}

bool log_is_text(void)
{
    int text = atomic_load_explicit(&all.text, memory_order_relaxed);
    return text < 0 ? isatty(2) : text;
}

bool log_has_priority(void)
{
    int journal = atomic_load_explicit(&all.journal, memory_order_relaxed);
    return UNLIKELY(journal != 0) && (journal > 0 || journal_stream(2));
}

void log_set_role(const char *role)
{
    mine.role = role;
}

const char *log_role(void)
{
    return mine.role ? mine.role : atomic_load_explicit(&all.role, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
    pthread_mutex_lock(&all.lock);
    struct log_sink *s = atomic_load(&all.sink);
    uint64_t sum = all.lost_before + (s ? sink_lost(s) : 0);
    pthread_mutex_unlock(&all.lock);
    return sum;
}
