/* All that a serving process must know of the world outside its sandbox, in one piece: the text of the configuration,
 * every file and secret that it names, and the plan (what has to be opened before the sandbox is shut).
 *
 * Made by bundle_make in a short-lived process of its own (roles/supervisor.c), which alone reads files and runs the
 * commands of secrets; it lies in memory that has no name (memfd) and is sealed when it is whole. Who serves loads its
 * configuration through bundle_source, and finds there exactly what the configuration names, with the failures, too. */
#ifndef SALLYPORT_ROLES_BUNDLE_H
#define SALLYPORT_ROLES_BUNDLE_H

#include "config/source.h"
#include "net/socket.h"

struct bundle;

/* Which process it is for: what it opens. */
enum bundle_role { BUNDLE_RUN, BUNDLE_GATEWAY, BUNDLE_DATA, BUNDLE_AUTHENTICATION };

struct bundle_options {
    enum bundle_role role;
    const char *config_path; /* the file; with `text` only its name */
    str text;                /* configuration as text; .p NULL: the file */
    const char *text_dir;
    struct config_overrides overrides;
};

struct plan_address {
    struct net_addr addr;
    char text[NET_TEXT_MAX]; /* as it is configured */
};

struct plan {
    uint32_t magic;
    uint32_t code; /* 0, or with this exit code nothing can be begun: it has been said on stderr */
    bool good;     /* the configuration could be read; else there is nothing but what is wrong with it */
    bool sandbox, fed, authentication, admin_on;
    uint32_t workers, n_listeners;
    char data[4096]; /* the data folder, absolute; it is there */
    struct plan_address listeners[CONFIG_MAX_LISTENERS];
    struct plan_address admin;
};

/* Reads everything into the memfd `fd`. `first`: nothing serves yet, so mistakes are said on stderr and an exit code is
 * noted; else they travel in the bundle. Blocks as long as files and commands take. ERR_IO, ERR_NO_MEMORY, ERR_LIMIT:
 * no bundle. */
MUST_USE enum err bundle_make(const struct bundle_options *o, bool first, int fd);
/* Of a whole one. ERR_MALFORMED, ERR_IO. */
MUST_USE enum err bundle_plan(int fd, struct plan *out);

/* Takes the descriptor. ERR_MALFORMED, ERR_IO, ERR_NO_MEMORY. */
MUST_USE enum err bundle_open(int fd, struct bundle **out);
/* NULL is fine. */
void bundle_free(struct bundle **b);
/* Borrowed until bundle_free. */
const struct config_source *bundle_source(const struct bundle *b);
/* Its pages are given back until they are looked at again. */
void bundle_rest(struct bundle *b);
/* The configuration's text. False: it has mistakes; then they are there as text and as JSON. */
bool bundle_config(const struct bundle *b, str *text, str *findings);

#endif
