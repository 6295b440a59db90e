/* The event log, and the sink that writes every line of the process to one descriptor.
 *
 * One JSON object a line (text when the descriptor is a terminal): ts level role msg, then trace_id decision_id
 * gate and further typed fields. A message is a constant and a value comes in through a typed constructor that
 * escapes it: there is no format string, and no constructor takes a key, a token or a `struct secret`. Should a
 * caller pass one as text all the same, log_redacted() recognises its form and the line says "[redacted]".
 * Before the object stands a priority, when it is the journal that reads (log_has_priority).
 *
 * Threads. A thread that logs often owns a *producer* (log_attach): blocks of memory it appends whole lines to
 * without allocation, lock or waiting; the sink's thread reads behind it and writes. When nobody reads the other
 * end, lines are dropped and counted; a producer never waits. Threads without a producer share one under a lock
 * that is never held over a write. Before log_open and after log_close an event is written directly. */
#ifndef SALLYPORT_BASE_LOG_H
#define SALLYPORT_BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_LEVEL_DEBUG = 0, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };

const char *log_level_name(enum log_level level); /* "info" */
/* "debug" "info" "warn" "error". ERR_MALFORMED. */
MUST_USE enum err log_level_of(str name, enum log_level *out);

enum log_form { LOG_FORM_AUTO = 0, LOG_FORM_JSON, LOG_FORM_TEXT }; /* AUTO: text if the descriptor is a terminal */

struct log_options {
    int fd; /* borrowed; usually 2 */
    enum log_form form;
    enum log_level level;
    const char *role; /* of threads that set none; a constant */
};

/* Starts the sink's thread. ERR_NO_MEMORY, ERR_IO. Call once, before other threads log. */
MUST_USE enum err log_open(const struct log_options *options);
/* Writes what the producers handed over, for at most 2 s, and ends the thread; producers are gone after it, so
 * their threads must have ended or detached. ERR_TIMEOUT: the other end did not read; what was left is lost. */
enum err log_close(void);

void log_set_level(enum log_level level); /* from any thread */
bool log_enabled(enum log_level level);
bool log_is_text(void);
/* Whether the descriptor is the journal's: then a line of JSON begins with its priority, "<6>" (sd-daemon(3)), which
 * the journal takes off again. */
bool log_has_priority(void);
/* The role that this thread's lines carry; a constant, NULL for the process's own. */
void log_set_role(const char *role);
const char *log_role(void);
/* Lines lost so far because nobody read, or because a write failed. */
uint64_t log_dropped(void);

/* --- events --- */
enum log_type { LOG_TYPE_MSG, LOG_TYPE_STR, LOG_TYPE_U64, LOG_TYPE_I64, LOG_TYPE_BOOL };
struct log_field {
    const char *name; /* a constant */
    enum log_type type;
    union {
        str s;
        uint64_t u;
        int64_t i;
        bool b;
    } value;
};

/* log_event(LOG_LEVEL_WARN, log_msg("keys not fetched"), log_str("issuer", name), log_u64("status", 502));
 * The message comes first; a string longer than LOG_VALUE_MAX is cut; a line never exceeds LOG_LINE_MAX. */
#define LOG_VALUE_MAX 1024
#define LOG_LINE_MAX  4096
#define log_event(level, ...)                                                                                          \
    log_write((level), (const struct log_field[]){__VA_ARGS__},                                                        \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
void log_write(enum log_level level, const struct log_field *fields, size_t n);

static inline struct log_field log_msg(const char *constant)
{
    return (struct log_field){"msg", LOG_TYPE_MSG, {.s = str_of(constant)}};
}
static inline struct log_field log_str(const char *name, str value)
{
    return (struct log_field){name, LOG_TYPE_STR, {.s = value}};
}
static inline struct log_field log_u64(const char *name, uint64_t value)
{
    return (struct log_field){name, LOG_TYPE_U64, {.u = value}};
}
static inline struct log_field log_i64(const char *name, int64_t value)
{
    return (struct log_field){name, LOG_TYPE_I64, {.i = value}};
}
static inline struct log_field log_bool(const char *name, bool value)
{
    return (struct log_field){name, LOG_TYPE_BOOL, {.b = value}};
}
/* The three that tie a line to a request, in the order they stand in. */
static inline struct log_field log_trace(str trace_id)
{
    return log_str("trace_id", trace_id);
}
static inline struct log_field log_decision(str decision_id)
{
    return log_str("decision_id", decision_id);
}
static inline struct log_field log_gate(unsigned gate)
{
    return log_u64("gate", gate);
}

/* Whether s holds what looks like a compact JWS (eyJ….) or an API key of ours (sp_…_…_…). */
bool log_redacted(str s);

/* --- producers: one thread writes, the sink reads --- */
struct log_producer;

/* Makes the calling thread's producer; NULL when memory is out, the sink is not open or there are too many (128). */
MUST_USE struct log_producer *log_attach(void);
/* Gives the calling thread's producer up; what it holds is still written. */
void log_detach(void);

/* Room for one line of at most n <= LOG_LINE_MAX bytes, or NULL: then the line is dropped and counted. */
char *log_room(struct log_producer *p, size_t n);
/* The line of n bytes now stands in that room, its '\n' included. */
void log_commit(struct log_producer *p, size_t n);
/* At the end of a loop turn: wakes the sink if it sleeps and there is something for it. The sink looks by itself
 * every 50 ms while lines come, and is woken early when four blocks are full: no timer is needed. */
void log_turn(struct log_producer *p);

#endif
