/* The list of commands, for the parts of the command line that speak about all of them: dispatch, help,
 * completion and man pages. Read-only, built at compile time. */
#ifndef SALLYPORT_CLI_TABLE_H
#define SALLYPORT_CLI_TABLE_H

#include "cli/cli.h"

enum cli_group { CLI_GROUP_SERVE, CLI_GROUP_ROLE, CLI_GROUP_ASK, CLI_GROUP_ADMIN, CLI_GROUP_ABOUT, CLI_GROUP_HIDDEN };

struct cli_entry {
    const struct cli_command *command; /* NULL ends the list */
    enum cli_group group;
};

extern const struct cli_entry cli_table[];

/* The command that argv begins with and how many words its name takes; NULL (and 0) if there is none. The longest
 * name wins, so "token verify" is found before "token". */
const struct cli_command *cli_find(int argc, char **argv, int *words);

/* The known word nearest to `word` if it is near enough to be a slip of the finger, else NULL. `nth` gives the i-th
 * candidate, NULL behind the last. */
const char *cli_nearest(const char *word, const char *(*nth)(const void *of, size_t i), const void *of);

/* Help of everything (one screen), of one command, of the commands whose name begins with `prefix` and a blank. */
void cli_print_overview(FILE *out);
void cli_print_command(FILE *out, const struct cli_command *command);
void cli_print_family(FILE *out, const char *prefix);
/* Whether there are commands "prefix …". */
bool cli_is_family(const char *prefix);

#endif
