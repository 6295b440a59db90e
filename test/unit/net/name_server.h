/* A name server for tests, on a thread of its own, UDP and TCP at one port of 127.0.0.1. What it answers depends on the
 * name that is asked for (name_server.c lists them), and much of it is wrong on purpose. */
#ifndef SALLYPORT_TEST_NAME_SERVER_H
#define SALLYPORT_TEST_NAME_SERVER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct name_server {
    int udp, tcp, stop[2];
    uint16_t port;
    unsigned long thread;
    _Atomic unsigned queries, tcp_queries;
    _Atomic unsigned turn; /* what change.test answers: set by the test */
};

void name_server_start(struct name_server *s);
void name_server_stop(struct name_server *s);

/* --- messages, also for tests of the reader --- */

struct message {
    unsigned char p[65536];
    size_t n;
};

/* Header and question; an answer without records. */
void message_begin(struct message *m, uint16_t id, const char *name, unsigned type, unsigned rcode);
void message_a(struct message *m, const char *name, uint32_t ttl, const char *ip);
void message_cname(struct message *m, const char *name, uint32_t ttl, const char *to);
void message_srv(struct message *m, const char *name, uint32_t ttl, unsigned priority, unsigned weight, unsigned port,
                 const char *target);
/* In the authority section: after all answers. */
void message_soa(struct message *m, const char *zone, uint32_t ttl, uint32_t least);
void message_u16(struct message *m, unsigned v);
void message_u32(struct message *m, uint32_t v);
void message_name(struct message *m, const char *name);
/* Adds one to a count of the header: 6 answers, 8 authority. */
void message_count(struct message *m, size_t at);

#endif
