/* What the admin listener and the control socket answer: a parsed request in, a response out; no I/O.
 *
 * Admin (TCP, loopback by default): GET /livez /readyz[?verbose] /startupz /metrics. Host must be an address of
 * its own and Origin, if present, too: a page in an operator's browser gets nothing (DNS rebinding, cross-site
 * POST). Control socket (Unix, 0600, peer credentials checked by net/unix_socket.h): the same and
 *   GET /v1/status · GET /v1/check · GET /v1/decisions/{id|last} · GET /v1/decisions?follow=1[&deny=1] (NDJSON) · POST
 * /v1/reload · POST /v1/upgrade · GET /v1/upstreams Writes take application/json only. What there is to tell comes from
 * the role through a table of callbacks, and what else the control socket serves (the administration) from one more of
 * them, `extra`. One thread: the control thread, where all callbacks run too; none may destroy the control or a reply.
 */
#ifndef SALLYPORT_SERVE_CONTROL_H
#define SALLYPORT_SERVE_CONTROL_H

#include "base/arena.h"
#include "base/buf.h"
#include "http/message.h"
#include "serve/decision.h"
#include "serve/reason.h"

#define CONTROL_RINGS_MAX  64
#define CONTROL_CHECKS_MAX 32
#define CONTROL_BODY_MAX   ((size_t)1 << 16) /* of a request */
#define CONTROL_REPLY_MAX  ((size_t)16 << 20)

enum control_face { CONTROL_ADMIN = 0, CONTROL_LOCAL };

struct control_check {
    const char *name; /* "configuration", "issuer:corp": lives as long as the call's arena */
    bool ok;
    str detail; /* borrowed likewise */
};

struct control_status {
    str name, environment, config_file; /* borrowed until the callback's arena ends */
    str roles;                          /* "gateway" */
    uint64_t started_ms, loaded_ms;     /* Unix ms: process start; the configuration now in force */
    uint64_t generation;
    uint32_t workers;
    uint64_t connections; /* open from clients now */
    bool ready, draining;
    str listeners;           /* "gateway :8080, admin 127.0.0.1:8081" */
    int32_t pid, parent_pid; /* of who serves; of who starts and feeds it, 0: none */
    str sandbox;             /* "on", "off", or what of it is missing */
};

/* What the configuration now in force says about an action: for `why`. Lists are separated by ", ". */
struct control_facts {
    str match;       /* "GET /orders/{id}" */
    str accept;      /* "token, apikey"; "public" */
    str service;     /* where it goes */
    str roles;       /* that are granted it */
    str permissions; /* likewise */
    str products;    /* that may */
};

struct control_reply;
struct control_peer;

struct control_reload {
    bool ok;
    bool late;           /* neither taken whole nor refused: `text` says who lags behind */
    uint64_t generation; /* in force now: the new one, or the old one that stayed */
    str text;            /* refused: all the mistakes as `lint` prints them */
    str findings;        /* refused: the same as a JSON array, or empty */
};

/* Every callback gets `ctx`; those that may be NULL say so. */
struct control_source {
    void *ctx;
    /* Started: the first configuration is in force and listeners are open. */
    bool (*started)(void *ctx);
    /* Fills up to CONTROL_CHECKS_MAX; ready means every one is ok. */
    size_t (*checks)(void *ctx, struct arena *mem, struct control_check *out);
    void (*metrics)(void *ctx, struct buf *out);
    void (*status)(void *ctx, struct arena *mem, struct control_status *out);
    /* What is amiss, as one JSON object for `sallyport check`. NULL: there is nothing to tell. */
    void (*check)(void *ctx, struct arena *mem, struct buf *out);
    /* The rings of the workers, up to CONTROL_RINGS_MAX. They live longer than any reply. */
    size_t (*rings)(void *ctx, const struct decision_ring **out);
    /* GET /v1/upstreams, one JSON object. NULL: this one has none. */
    void (*upstreams)(void *ctx, struct buf *out);
    /* False: no such action now. */
    bool (*facts)(void *ctx, str action, struct arena *mem, struct control_facts *out);
    /* Begins a reload; the role calls control_reload_done(reply, …) exactly once, now or later, unless
     * reload_cancel came first. */
    void (*reload)(void *ctx, struct control_reply *reply);
    void (*reload_cancel)(void *ctx, struct control_reply *reply);
    /* What this file does not serve itself, of whoever came by the control socket; NULL: nothing. False: there is no
     * such address (404). True: control_reply_done or control_reply_refuse was called, or control_reply_wait, and then
     * one of the two follows exactly once, unless extra_cancel came first. Method and Content-Type are its own to look
     * at (control_is_json); peer, request and body are borrowed for the call. */
    bool (*extra)(void *ctx, const struct control_peer *peer, const struct request *request, str body,
                  struct control_reply *reply);
    /* The asker is gone: what waits with that `waiting` (control_reply_wait) must not touch the reply any more. What it
     * has begun in the store goes on. */
    void (*extra_cancel)(void *ctx, struct control_reply *reply, void *waiting);
    /* The same of an upgrade, with control_upgrade_done and upgrade_cancel. NULL: this one cannot be replaced. */
    void (*upgrade)(void *ctx, struct control_reply *reply);
    void (*upgrade_cancel)(void *ctx, struct control_reply *reply);
};

struct control {
    const struct control_source *source;
};

/* Who is asking: filled by the listener for each connection. */
struct control_peer {
    enum control_face face;
    str local;       /* the listener's address, "127.0.0.1:8081"; all addresses (":8081", "[::]:8081", "0.0.0.0:8081"):
                      * then Host may be any IP literal with that port, which no page can have as its name */
    const str *also; /* further authorities that are ours (a configured name); may be NULL */
    size_t also_n;
    bool known; /* CONTROL_LOCAL: uid and pid are the kernel's word (SO_PEERCRED) */
    uint32_t uid;
    int32_t pid;
};

enum control_next {
    CONTROL_DONE = 0, /* status, content_type and body are the response */
    CONTROL_WAIT,     /* ready() will be called when they are */
    CONTROL_FOLLOW    /* answer 200 with an open-ended body: call control_follow() every 100 ms or so */
};

/* Owned by the listener's connection; at a fixed address from control_handle until control_reply_free. */
struct control_reply {
    uint16_t status;
    str content_type; /* a constant */
    str allow;        /* of a 405, or empty */
    struct buf body;
    enum control_next next;
    void (*ready)(void *arg); /* set by the listener before control_handle; called at most once */
    void *ready_arg;
    /* private to control.c */
    const struct control *control;
    bool inside;    /* control_handle has not returned yet */
    bool waiting;   /* for control_reload_done */
    bool upgrading; /* for control_upgrade_done */
    bool extra_waits;
    void *extra_waiting;
    bool deny_only;
    size_t rings_n;
    struct decision_cursor cursors[CONTROL_RINGS_MAX];
};

/* Whole request in, `r->ready` set; fills the rest of *r. HEAD is answered like GET: the listener leaves the body out.
 * Responses carry Cache-Control: no-store and X-Content-Type-Options: nosniff (the listener adds them). */
void control_handle(const struct control *c, const struct control_peer *peer, const struct request *request, str body,
                    struct control_reply *r);

/* Appends what has come since as NDJSON to r->body (the caller sends and clears it); how many decisions. Lines are
 * those of decision_record_json(), or {"missed":N}. Appends nothing while 256 kB wait to be sent. */
size_t control_follow(struct control_reply *r);

/* The role's answer to source->reload. */
void control_reload_done(struct control_reply *r, const struct control_reload *result);

/* The role's answer to source->upgrade: 200 {"text"}, or 409 with it. */
void control_upgrade_done(struct control_reply *r, bool done, str text);

/* --- for source->extra --- */
/* RFC 9110 §8.3: one Content-Type, application/json, parameters aside. */
bool control_is_json(const struct request *q);
/* The value of a query member, as it stands there (percent signs and all); "" if it stands alone; .p == NULL: none. */
str control_query(const struct request *q, str name);
/* An answer will come; `waiting` comes back in extra_cancel. */
void control_reply_wait(struct control_reply *r, void *waiting);
/* The answer is what was put into r->body. content_type: a constant, "application/json" mostly. */
void control_reply_done(struct control_reply *r, uint16_t status, str content_type);
/* A problem (serve/problem.h) in its place; what was put into r->body is dropped. */
void control_reply_refuse(struct control_reply *r, enum reason reason);

/* Frees the body and cancels what waits. Idempotent. */
void control_reply_free(struct control_reply *r);

#endif
