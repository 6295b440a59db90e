/* Keys of session tickets, shared by all workers and all contexts of a process, so that a client resumes with whichever
 * worker it meets and across a reload. A key is used for `rotate_s` seconds, opens what it sealed for as long again,
 * and is wiped then: what was recorded before cannot be read by who takes the machine later. Any thread; counted. */
#ifndef SALLYPORT_NET_TLS_TICKETS_H
#define SALLYPORT_NET_TLS_TICKETS_H

#include "crypto/secret.h"
#include "crypto/ticket.h"

struct tls_tickets;

/* One reference. ERR_NO_MEMORY. */
MUST_USE enum err tls_tickets_new(struct tls_tickets **out);
struct tls_tickets *tls_tickets_ref(struct tls_tickets *t);
/* Lets go and sets *t to NULL; the last one wipes the keys. NULL is fine. */
void tls_tickets_unref(struct tls_tickets **t);

/* Makes and wipes what is due; `now_s`: Unix seconds. The two below do it, too; who calls it from a timer makes sure
 * that it happens without handshakes. */
void tls_tickets_turn(struct tls_tickets *t, uint32_t rotate_s, uint64_t now_s);
/* The key to seal with; the caller wipes its copy. */
void tls_tickets_seal_key(struct tls_tickets *t, uint32_t rotate_s, uint64_t now_s, struct ticket_key *out);
/* The key of that name, if it is one of the two; *old: the ticket is to be replaced. */
bool tls_tickets_open_key(struct tls_tickets *t, uint32_t rotate_s, uint64_t now_s,
                          const unsigned char name[TICKET_NAME_LEN], struct ticket_key *out, bool *old);

#endif
