/* A small HTTP/1.1 server for the examples: one thread, epoll, libc only, loopback only.
 *
 * It answers one request at a time per connection, whole: the body is read to its end (bounded) before the handler
 * is called, and the handler's answer has a length. Keep-alive, Content-Length and chunked requests, pipelining,
 * Expect: 100-continue and HEAD work. It knows nothing of tokens, keys or users: that is what the gateway in front of
 * it is for. Not meant to face the internet. */
#ifndef EXAMPLES_SERVER_H
#define EXAMPLES_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_FIELDS_MAX 128

struct request_field {
    const char *name, *value;
};

/* Valid while the handler runs. All strings end with NUL. */
struct request {
    const char *method;
    const char *path;  /* without the query */
    const char *query; /* "" when there is none */
    const char *body;
    size_t body_n;
    struct request_field fields[REQUEST_FIELDS_MAX];
    size_t fields_n;
};

/* The value of the first field of that name (any case), or NULL. */
const char *request_field(const struct request *r, const char *name);
/* "/a/b/c" → "a","b","c": copies at most `max` segments into seg[][]; how many there are, or max + 1 when there are
 * more (or one is too long). */
#define SEGMENT_MAX 128
size_t request_segments(const struct request *r, char seg[][SEGMENT_MAX], size_t max);

/* The answer under construction; starts as 200 with an empty JSON body. */
struct reply {
    int status;
    const char *type;  /* Content-Type; application/json unless set */
    const char *extra; /* more header lines, each with its CRLF, or NULL */
    char *body;
    size_t body_n, body_cap;
    bool failed; /* out of memory: the server answers 500 */
};

void reply_text(struct reply *r, const char *text);
void reply_bytes(struct reply *r, const char *bytes, size_t n);
/* A JSON string with its quotes, or null for NULL. */
void reply_json(struct reply *r, const char *text);

/* `--name TEXT` on the command line, kept in *value (which borrows from argv). */
struct server_option {
    const char *name; /* "--root" */
    const char *what; /* "FOLDER", for --help */
    const char **value;
};

struct server {
    const char *name;    /* "business": printed when listening */
    const char *summary; /* for --help */
    int default_port;
    void (*handle)(const struct request *request, struct reply *reply);
    const struct server_option *options; /* more than those below; ends with {0}; or NULL */
};

/* Reads --port N, --port-auto (the next free port from N on), --help and the server's own options; serves until SIGTERM
 * or SIGINT; exit code. */
int server_main(const struct server *s, int argc, char **argv);

#endif
