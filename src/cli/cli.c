/* Which command argv names, what its options are, and how it may complain. */
#include "cli/cli.h"

#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>

/* "-" is a word of its own (standard input), "--" ends the options. */
static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

static int option_count(const struct cli_command *command)
{
    int n = 0;
    while (command->options && command->options[n].name) n++;
    if (n > (int)ARRAY_LEN(((struct cli_args *)0)->values)) abort();
    return n;
}

static const char *nth_option(const void *of, size_t i)
{
    const struct cli_command *command = of;
    int n = option_count(command);
    if (i == (size_t)n) return "help";
    return i < (size_t)n ? command->options[i].name : NULL;
}

/* Index of the option called by the n bytes at `name`, or -1. A one-letter name has one dash, the others two. */
static int option_index(const struct cli_command *command, const char *name, size_t n, bool one_dash)
{
    for (int i = 0; i < option_count(command); i++) {
        const char *known = command->options[i].name;
        if (strlen(known) == n && memcmp(known, name, n) == 0 && one_dash == (n == 1)) return i;
    }
    return -1;
}

static int unknown_option(const struct cli_args *args, const char *word)
{
    const char *name = word + strspn(word, "-");
    char plain[64];
    size_t n = strcspn(name, "=");
    if (n >= sizeof plain) n = sizeof plain - 1;
    memcpy(plain, name, n);
    plain[n] = '\0';
    const char *near = cli_nearest(plain, nth_option, args->command);
    if (!near) return cli_usage_error(args, "unknown option %.60s", word);
    return cli_usage_error(args, "unknown option %.60s; did you mean %s%s?", word, near[1] ? "--" : "-", near);
}

/* Takes the option at argv[*at] and its argument. CLI_OK, or the exit code after a complaint. */
static int take_option(struct cli_args *args, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    bool one_dash = word[1] != '-';
    const char *name = word + (one_dash ? 1 : 2);
    size_t n = strcspn(name, "=");
    int i = option_index(args->command, name, n, one_dash);
    if (i < 0) return unknown_option(args, word);

    const struct cli_option *option = &args->command->options[i];
    if (args->values[i]) return cli_usage_error(args, "%.*s is given twice", (int)(n + (one_dash ? 1 : 2)), word);
    const char *value = name[n] == '=' ? name + n + 1 : NULL;
    if (!option->arg) {
        if (value) return cli_usage_error(args, "--%s takes no argument", option->name);
        args->values[i] = "";
        return CLI_OK;
    }
    if (!value) {
        if (*at + 1 >= argc) return cli_usage_error(args, "%s needs an argument: %s", word, option->arg);
        value = argv[++*at];
    }
    args->values[i] = value;
    return CLI_OK;
}

static int check_rest(const struct cli_args *args)
{
    const struct cli_command *command = args->command;
    if (args->rest_n < command->min_rest) return cli_usage_error(args, "something is missing: %s", command->synopsis);
    if (command->max_rest >= 0 && args->rest_n > command->max_rest)
        return cli_usage_error(args, "do not know what to do with '%.60s'", args->rest[command->max_rest]);
    return CLI_OK;
}

/* argv is what follows the command's name. */
static int run_command(const struct cli_command *command, int argc, char **argv)
{
    struct cli_args args = {.command = command};
    args.rest = calloc((size_t)argc + 1, sizeof *args.rest);
    if (!args.rest) return cli_failure(&args, "out of memory");

    int status = CLI_OK;
    bool options_end = false, help = false;
    for (int i = 0; i < argc && status == CLI_OK && !help; i++) {
        if (options_end || !is_option(argv[i]))
            args.rest[args.rest_n++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            options_end = true;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            help = true;
        else
            status = take_option(&args, argc, argv, &i);
    }
    if (help) {
        cli_print_command(stdout, command);
    } else {
        if (status == CLI_OK) status = check_rest(&args);
        if (status == CLI_OK) status = command->run(&args);
    }
    free(args.rest);
    return status;
}

const struct cli_command *cli_find(int argc, char **argv, int *words)
{
    const struct cli_command *best = NULL;
    *words = 0;
    for (const struct cli_entry *entry = cli_table; entry->command; entry++) {
        str rest = str_of(entry->command->name);
        int n = 0;
        while (rest.n && n < argc && str_eq(str_first(rest, str_find(rest, ' ')), str_of(argv[n]))) {
            (void)str_cut(&rest, ' ');
            n++;
        }
        if (rest.n || n <= *words) continue;
        best = entry->command;
        *words = n;
    }
    return best;
}

static const char *nth_command(const void *of, size_t i)
{
    (void)of;
    return cli_table[i].command ? cli_table[i].command->name : NULL;
}

/* The candidates of nth_command have several words: the slip may be in any of them. */
static int unknown_command(int argc, char **argv)
{
    char said[128];
    bool second = argc > 1 && !is_option(argv[1]);
    snprintf(said, sizeof said, "%.60s%s%.60s", argv[0], second ? " " : "", second ? argv[1] : "");
    const char *near = cli_nearest(said, nth_command, NULL);
    if (!near) near = cli_nearest(argv[0], nth_command, NULL);
    bool family = cli_is_family(argv[0]);
    if (family && !second)
        fprintf(stderr, "sallyport: '%s' alone is not a command\n", argv[0]);
    else
        fprintf(stderr, "sallyport: there is no command '%.60s'\n",
                family || (near && strchr(near, ' ')) ? said : argv[0]);
    if (family)
        cli_print_family(stderr, argv[0]);
    else if (near)
        fprintf(stderr, "Did you mean 'sallyport %s'?\n", near);
    else
        fputs("'sallyport help' lists the commands.\n", stderr);
    return CLI_USAGE;
}

static int dispatch(int argc, char **argv)
{
    if (argc == 0) {
        cli_print_overview(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
        cli_print_overview(stdout);
        return CLI_OK;
    }
    int words = 0;
    char version[] = "version";
    if (strcmp(argv[0], "--version") == 0) argv[0] = version;
    const struct cli_command *command = cli_find(argc, argv, &words);
    if (command) return run_command(command, argc - words, argv + words);
    if (cli_is_family(argv[0]) && argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        cli_print_family(stdout, argv[0]);
        return CLI_OK;
    }
    return unknown_command(argc, argv);
}

int cli_main(int argc, char **argv)
{
    int status = dispatch(argc > 0 ? argc - 1 : 0, argv + (argc > 0 ? 1 : 0));
    /* Output that did not arrive (a full disk) is a failure, whatever the command thought. */
    if (fflush(stdout) != 0 && status == CLI_OK) {
        perror("sallyport: standard output");
        status = CLI_FAILED;
    }
    return status;
}

const char *cli_value(const struct cli_args *args, const char *name)
{
    int i = option_index(args->command, name, strlen(name), name[0] && !name[1]);
    if (i < 0) abort();
    return args->values[i];
}

bool cli_flag(const struct cli_args *args, const char *name)
{
    return cli_value(args, name) != NULL;
}

static void complain(const struct cli_args *args, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

static void complain(const struct cli_args *args, const char *fmt, va_list ap)
{
    fprintf(stderr, "sallyport %s: ", args->command->name);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int cli_usage_error(const struct cli_args *args, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(args, fmt, ap);
    va_end(ap);
    fprintf(stderr, "'sallyport %s --help' tells more.\n", args->command->name);
    return CLI_USAGE;
}

int cli_failure(const struct cli_args *args, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(args, fmt, ap);
    va_end(ap);
    return CLI_FAILED;
}
