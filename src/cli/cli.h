/* The command line: one table of commands; help, completion and man pages are made from it.
 *
 * A command file defines one or more `const struct cli_command`, listed in cli.c's table. Exit codes:
 * 0 ok, 1 refused or failed at run time, 2 usage, 78 configuration. Data goes to stdout, talk to stderr. */
#ifndef SALLYPORT_CLI_CLI_H
#define SALLYPORT_CLI_CLI_H

#include "base/str.h"

#include <stdio.h>

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_CONFIG = 78 };

struct cli_option {
    const char *name; /* "jwks": written --jwks; a one-letter name is written -x */
    const char *arg;  /* "FILE", or NULL for a flag */
    const char *help; /* one line */
};

struct cli_args {
    const struct cli_command *command;
    const char *values[32]; /* by index into command->options: the argument, "" for a flag that is set, NULL unset */
    const char **rest;      /* what is not an option; "-" is no option; everything behind "--" */
    int rest_n;
};

struct cli_command {
    const char *name;                 /* "token verify": words separated by one blank */
    const char *summary;              /* one line, no full stop */
    const char *synopsis;             /* "--jwks FILE [--iss ISS] TOKEN|-" */
    const char *description;          /* paragraphs separated by an empty line */
    const char *examples;             /* one command a line, or NULL */
    const struct cli_option *options; /* ends with a NULL name; --help is understood everywhere; may be NULL */
    int min_rest, max_rest;           /* how many non-option arguments it takes; max -1: any */
    int (*run)(const struct cli_args *args);
};

/* Runs the command that argv names; the process's exit code. */
int cli_main(int argc, char **argv);

/* The value of --name, or NULL; asking for an option the command does not declare is our own mistake (abort). */
const char *cli_value(const struct cli_args *args, const char *name);
bool cli_flag(const struct cli_args *args, const char *name);

/* "sallyport token verify: text" on stderr with a pointer to --help; returns CLI_USAGE. */
int cli_usage_error(const struct cli_args *args, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* "sallyport token verify: text" on stderr; returns CLI_FAILED. */
int cli_failure(const struct cli_args *args, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
