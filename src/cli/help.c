/* What `help`, `--help` and `version` print. The overview fits a terminal of 24 lines by 80 columns. */
#include "cli/cli.h"
#include "cli/table.h"

static const char *const group_titles[] = {
    [CLI_GROUP_SERVE] = "Serve", [CLI_GROUP_ROLE] = "One role as a process of its own",
    [CLI_GROUP_ASK] = "Ask",     [CLI_GROUP_ADMIN] = "Administer (`sallyport help WORD` lists each)",
    [CLI_GROUP_ABOUT] = "About",
};

/* Groups of which a line or two must do: their commands by first words only. */
static bool in_words(size_t group)
{
    return group == CLI_GROUP_ROLE || group == CLI_GROUP_ADMIN || group == CLI_GROUP_ABOUT;
}

/* How many commands begin like `name` does, up to its first blank; 1 for a name of one word. */
static int family_size(const char *name)
{
    const char *blank = strchr(name, ' ');
    int n = 0;
    for (const struct cli_entry *entry = cli_table; blank && entry->command; entry++)
        n += strncmp(entry->command->name, name, (size_t)(blank - name) + 1) == 0;
    return blank ? n : 1;
}

/* "  token …         verify, inspect, mint": a family is one line, so that all of it fits a screen. */
static const struct cli_entry *print_family_line(FILE *out, const struct cli_entry *entry)
{
    const char *name = entry->command->name;
    size_t n = strcspn(name, " ") + 1;
    int used = fprintf(out, "  %.*s…", (int)n, name) - 2; /* … has three bytes and one column */
    fprintf(out, "%*s", 16 - used, "");
    const char *before = "";
    for (; entry->command && strncmp(entry->command->name, name, n) == 0; entry++) {
        fprintf(out, "%s%s", before, entry->command->name + n);
        before = ", ";
    }
    fputc('\n', out);
    return entry - 1;
}

/* By first words only: "  user … product … revoke". */
static void print_words(FILE *out, enum cli_group group)
{
    enum { WIDTH = 60 };
    int column = 0;
    size_t last_n = 0;
    const char *last = "";
    for (const struct cli_entry *entry = cli_table; entry->command; entry++) {
        const char *name = entry->command->name;
        size_t n = strcspn(name, " ");
        if (entry->group != group || (n == last_n && strncmp(name, last, n) == 0)) continue;
        bool family = name[n] == ' ';
        int width = 2 + (int)n + (family ? 2 : 0);
        if (column + width > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        fprintf(out, "  %.*s%s", (int)n, name, family ? " …" : "");
        column += width;
        last = name;
        last_n = n;
    }
    fputc('\n', out);
}

void cli_print_overview(FILE *out)
{
    fputs("Sallyport: an API gateway that lets in only who may.\n"
          "usage: sallyport COMMAND [--help] …\n",
          out);
    for (size_t group = 0; group < ARRAY_LEN(group_titles); group++) {
        bool titled = false;
        for (const struct cli_entry *entry = cli_table; entry->command; entry++) {
            if (entry->group != (enum cli_group)group || (titled && in_words(group))) continue;
            if (!titled) fprintf(out, "%s\n", group_titles[group]);
            titled = true;
            if (in_words(group)) {
                print_words(out, (enum cli_group)group);
                continue;
            }
            if (family_size(entry->command->name) > 1)
                entry = print_family_line(out, entry);
            else
                fprintf(out, "  %-13s %s\n", entry->command->name, entry->command->summary);
        }
    }
    fputs("Exit: 0 ok, 1 refused or failed, 2 usage, 78 configuration.\n", out);
}

bool cli_is_family(const char *prefix)
{
    size_t n = strlen(prefix);
    for (const struct cli_entry *entry = cli_table; entry->command; entry++)
        if (strncmp(entry->command->name, prefix, n) == 0 && entry->command->name[n] == ' ') return true;
    return false;
}

void cli_print_family(FILE *out, const char *prefix)
{
    size_t n = strlen(prefix);
    for (const struct cli_entry *entry = cli_table; entry->command; entry++)
        if (strncmp(entry->command->name, prefix, n) == 0 && entry->command->name[n] == ' ')
            fprintf(out, "  sallyport %-14s %s\n", entry->command->name, entry->command->summary);
}

/* How many columns the text takes: characters, not bytes. */
static int columns_of(str text)
{
    int n = 0;
    for (size_t i = 0; i < text.n; i++) n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    return n;
}

/* The first word of *text; what stands in brackets is one word. */
static str cut_word(str *text)
{
    size_t n = 0;
    int depth = 0;
    for (; n < text->n && (text->p[n] != ' ' || depth > 0); n++) {
        depth += text->p[n] == '[';
        depth -= text->p[n] == ']';
    }
    str word = str_first(*text, n);
    *text = str_from(*text, n + 1);
    return word;
}

/* Breaks `text` at blanks into lines of at most `width` columns, each behind `indent` blanks; the first line is
 * begun already. */
static void print_wrapped(FILE *out, str text, int indent, int width)
{
    int column = indent;
    bool first = true;
    while (text.n) {
        str word = cut_word(&text);
        int columns = columns_of(word);
        if (!first && column + 1 + columns > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", STR_ARG(word));
        column += columns;
        first = false;
    }
    fputc('\n', out);
}

static void print_option(FILE *out, const struct cli_option *option)
{
    enum { HELP_COLUMN = 24, WIDTH = 80 };
    const char *arg = option->arg ? option->arg : "";
    fprintf(out, "  %s%s%s%s", option->name[1] ? "--" : "-", option->name, *arg ? " " : "", arg);
    int n = 2 + (option->name[1] ? 2 : 1) + columns_of(str_of(option->name)) + (*arg ? 1 : 0) + columns_of(str_of(arg));
    if (n >= HELP_COLUMN) {
        fputc('\n', out);
        n = 0;
    }
    fprintf(out, "%*s", HELP_COLUMN - n, "");
    print_wrapped(out, str_of(option->help), HELP_COLUMN, WIDTH);
}

/* A paragraph's own line breaks are kept: they are the author's tables. */
static void print_lines(FILE *out, const char *text, int indent)
{
    str rest = str_of(text);
    while (rest.n) {
        str line = str_cut(&rest, '\n');
        if (!line.n) {
            fputc('\n', out);
            continue;
        }
        fprintf(out, "%*s", indent, "");
        print_wrapped(out, line, indent, 80);
    }
}

void cli_print_command(FILE *out, const struct cli_command *command)
{
    fprintf(out, "sallyport %s: %s\n\n", command->name, command->summary);
    int indent = fprintf(out, "usage: sallyport %s ", command->name);
    print_wrapped(out, str_of(command->synopsis), indent < 40 ? indent : 40, 80);
    if (command->description) {
        fputc('\n', out);
        print_lines(out, command->description, 0);
    }
    fputs("\nOptions\n", out);
    for (const struct cli_option *option = command->options; option && option->name; option++)
        print_option(out, option);
    print_option(out, &(struct cli_option){"help", NULL, "print this"});
    if (command->examples) {
        fputs("\nExamples\n", out);
        print_lines(out, command->examples, 2);
    }
    if (cli_is_family(command->name)) { /* a role, and what can be asked of it */
        fputs("\nAlso\n", out);
        cli_print_family(out, command->name);
    }
}

static int help_run(const struct cli_args *args)
{
    if (args->rest_n == 0) {
        cli_print_overview(stdout);
        return CLI_OK;
    }
    char *words[4];
    int n = 0;
    for (; n < args->rest_n && n < (int)ARRAY_LEN(words); n++) words[n] = (char *)(uintptr_t)args->rest[n];
    int used = 0;
    const struct cli_command *command = cli_find(n, words, &used);
    if (command && used == args->rest_n) {
        cli_print_command(stdout, command);
        return CLI_OK;
    }
    if (n == 1 && cli_is_family(words[0])) {
        cli_print_family(stdout, words[0]);
        return CLI_OK;
    }
    return cli_usage_error(args, "there is no command '%.60s'", args->rest[used < n ? used : 0]);
}

const struct cli_command cli_help = {
    .name = "help",
    .summary = "list the commands, or tell about one",
    .synopsis = "[COMMAND …]",
    .description = "Without an argument, prints the list of commands. With the name of a command, prints what "
                   "'sallyport COMMAND --help' prints.",
    .examples = "sallyport help\nsallyport help version",
    .max_rest = 4,
    .run = help_run,
};

static int version_run(const struct cli_args *args)
{
    if (cli_flag(args, "json"))
        printf("{\"name\":\"sallyport\",\"version\":\"%s\",\"compiler\":\"%s\"}\n", SALLYPORT_VERSION, __VERSION__);
    else
        printf("sallyport %s\n", SALLYPORT_VERSION);
    return CLI_OK;
}

static const struct cli_option version_options[] = {
    {"json", NULL, "print one JSON object"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_version = {
    .name = "version",
    .summary = "print the version",
    .synopsis = "[--json]",
    .description = "Prints the version of this program; with --json also the compiler that built it.",
    .examples = "sallyport version --json",
    .options = version_options,
    .run = version_run,
};
