/* The https_peer of the tests as a child process, and a loop to drive a fetch with. */
#ifndef SALLYPORT_TEST_FETCH_PEER_H
#define SALLYPORT_TEST_FETCH_PEER_H

#include "unit.h"

#include "base/clock.h"
#include "fetch/fetch.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEER_MAX 16

struct peer {
    pid_t pid;
    int in; /* closed when we end, however we end: the child ends then too */
    size_t n;
    struct {
        char name[32];
        unsigned port;
    } listeners[PEER_MAX];
};

static char cert_dir[] = "/tmp/sallyport-fetch-XXXXXX";
static char ca_file[64];

static inline bool certs_make(void)
{
    char command[512];
    if (!mkdtemp(cert_dir)) return false;
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", cert_dir);
    snprintf(command, sizeof command, "sh '%s/make_certs.sh' %s", PEER_DIR, cert_dir);
    return system(command) == 0;
}

static inline void certs_remove(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", cert_dir);
    if (system(command) != 0) print_message("left behind: %s\n", cert_dir);
}

/* false: there is no node. `port`: of the first listener ("good"); 0: any. */
static inline bool peer_start(struct peer *p, unsigned port)
{
    int to[2], from[2];
    char script[512], first[16];
    *p = (struct peer){0};
    snprintf(script, sizeof script, "%s/https_peer.mjs", PEER_DIR);
    snprintf(first, sizeof first, "%u", port);
    if (pipe(to) != 0 || pipe(from) != 0) return false;
    p->pid = fork();
    if (p->pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        for (int fd = 3; fd < 64; fd++) close(fd);
        execlp("node", "node", script, cert_dir, first, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    p->in = to[1];
    FILE *f = fdopen(from[0], "r");
    char line[128];
    bool ready = false;
    while (f && !ready && fgets(line, sizeof line, f)) {
        ready = !strcmp(line, "ready\n");
        char *blank = strchr(line, ' ');
        if (!blank || p->n == PEER_MAX) continue;
        *blank = 0;
        snprintf(p->listeners[p->n].name, sizeof p->listeners[0].name, "%.31s", line);
        p->listeners[p->n++].port = (unsigned)strtoul(blank + 1, NULL, 10);
    }
    if (f) fclose(f);
    return ready;
}

static inline void peer_stop(struct peer *p)
{
    if (p->pid <= 0) return;
    close(p->in);
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

static inline unsigned peer_port(const struct peer *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->listeners[i].name, name)) return p->listeners[i].port;
    fail_msg("the peer has no listener \"%s\"", name);
    return 0;
}

/* "localhost:good/path" etc. made into a URL: {name} is replaced by the port of that listener. */
static inline str peer_url(const struct peer *p, const char *pattern, char out[256])
{
    const char *open = strchr(pattern, '{'), *close = open ? strchr(open, '}') : NULL;
    if (!close) {
        snprintf(out, 256, "%s", pattern);
    } else {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)(close - open - 1), open + 1);
        snprintf(out, 256, "%.*s%u%s", (int)(open - pattern), pattern, peer_port(p, name), close + 1);
    }
    return str_of(out);
}

struct outcome {
    bool done;
    enum fetch_fault fault;
    uint16_t status;
    size_t body_n;
    char body[2048]; /* its beginning */
    char detail[256];
};

static inline void outcome_take(void *user, const struct fetch_result *r)
{
    struct outcome *o = user;
    assert_false(o->done); /* exactly once */
    o->done = true;
    o->fault = r->fault;
    o->status = r->status;
    o->body_n = r->body.n;
    snprintf(o->body, sizeof o->body, "%.*s", STR_ARG(r->body));
    snprintf(o->detail, sizeof o->detail, "%s", r->detail);
}

/* Turns the loop until *flag or the time is over. */
static inline void turn_until(struct loop *l, const bool *flag, unsigned max_ms)
{
    uint64_t end = clock_mono_ns() + max_ms * UINT64_C(1000000);
    while (!*flag && clock_mono_ns() < end) loop_turn(l, 20);
}

#endif
