/* Asking the administration of the running product (services/admin.h), and printing what it says.
 *
 * Which socket: --socket; else those of the folder that --data names; else SALLYPORT_SOCKET; else those of
 * ./.sallyport, /run/sallyport and /var/lib/sallyport. A folder has up to three: cli.sock (`sallyport run`, or a
 * gateway alone), authentication-cli.sock and data-cli.sock (roles in processes of their own). Who does not serve what
 * is asked is passed over for the next. */
#ifndef SALLYPORT_CLI_ADMIN_CLIENT_H
#define SALLYPORT_CLI_ADMIN_CLIENT_H

#include "cli/control_print.h"

#define ADMIN_OPTIONS                                                                                                  \
    {"json", NULL, "print the product's answer as JSON"},                                                              \
        {"data", "DIR", "the data folder of the running product: its sockets are there"},                              \
    {                                                                                                                  \
        "socket", "PATH", "the control socket of the running product"                                                  \
    }
#define ADMIN_TEXT                                                                                                     \
    "\n\nThe running product is asked: --socket names its socket, --data its data folder, else SALLYPORT_SOCKET "      \
    "does; else it is looked for in ./.sallyport, /run/sallyport and /var/lib/sallyport. It answers the user it runs " \
    "as, and root. Every change is in the audit record before it is answered.\n\n"                                     \
    "Exit status: 0 done, 1 refused or nobody answered, 2 usage."

/* How long a call may take. */
enum { ADMIN_ASK_MS = 20000 };

struct admin_answer {
    uint16_t status;
    struct buf body;
    struct arena mem;
    const struct json *v;
};

/* One question; CLI_OK with an answer below 300, else what went wrong is on stderr. Always admin_answer_free. */
int admin_ask(const struct cli_args *args, const char *method, const char *path, str json, uint32_t timeout_ms,
              struct admin_answer *out);
void admin_answer_free(struct admin_answer *a);
/* The problem of an answer that is one, on stderr; CLI_FAILED. */
int admin_problem_print(const struct cli_args *args, const struct admin_answer *a);

/* --- building what is asked --- */
/* "a,b,c" as a member that is a list; nothing if `list` is NULL. */
void admin_put_list(struct buf *b, const char *name, const char *list);
/* printf into a path. */
const char *admin_path(char *room, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define ADMIN_PATH 1024

/* --- printing --- */
/* "2026-11-20 10:46:04Z", or "-" for 0. */
void admin_print_time(FILE *out, uint64_t unix_ms);
/* The text in a column of that width, escaped; "-" for an empty one; a blank behind. */
void admin_print_column(str text, int width);
/* A list of texts, separated by commas; "-" for none. */
void admin_print_list(const struct json *list);

/* The member wait_ms of what is asked, when --wait is shorter than what the product waits by itself. */
void admin_put_wait(const struct cli_args *args, struct buf *b);
/* The answer to a change that enforcers must hear of: asks on until it is complete or --wait is over, says who has it.
 * CLI_OK only if everybody has. `what`: "user alice is revoked". */
int admin_await(const struct cli_args *args, const struct admin_answer *a, const char *what);
#define ADMIN_WAIT_OPTION                                                                                              \
    {                                                                                                                  \
        "wait", "SECONDS", "how long to wait until every enforcer has it (default: 900; 0: not at all)"                \
    }

#endif
