/* Problem documents (RFC 9457) and challenges for a refusal, written into the caller's room without allocation.
 *
 * Outward a problem names no rule; in dev mode it does. */
#ifndef SALLYPORT_SERVE_PROBLEM_H
#define SALLYPORT_SERVE_PROBLEM_H

#include "serve/reason.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"
#define PROBLEM_MAX          2048 /* room that always suffices */
#define CHALLENGE_MAX        256

struct problem {
    enum reason reason;
    uint8_t gate;     /* 0: none (admin) */
    str decision_id;  /* may be empty */
    uint8_t accepted; /* SCHEME_*: what would be taken instead; with a certificate, which no challenge can ask for, the
                         detail says so */
    bool dev;         /* only then are the next two shown */
    str detail;       /* cut at 256 bytes */
    str rule;         /* cut at 512 bytes: "action payOrder is granted to roles buyer" */
};

/* {"type","title","status","code","decision_id","gate"[,"detail"][,"rule"]} and a line end; the length, or 0 if cap
 * is below PROBLEM_MAX. */
size_t problem_body(const struct problem *p, char *out, size_t cap);

/* The value of WWW-Authenticate; its length, 0 if the reason has none or cap is too small (never with
 * CHALLENGE_MAX). Always carries the reason's code. `accepted` (SCHEME_*) is what CHALLENGE_ACCEPTED names. */
size_t problem_challenge(enum reason r, uint8_t accepted, char *out, size_t cap);

#endif
