/* `man`: writes one manual page a command, and sallyport(1), into a folder. Used by the build; not listed in help.
 *
 * The pages are mdoc(7), checked with mandoc -Tlint. */
#include "cli/cli.h"
#include "cli/table.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

/* A backslash, and a dot or quote that begins a line, would be read as commands. */
static void put_escaped(FILE *out, str text, bool at_line_start)
{
    if (at_line_start && text.n && (text.p[0] == '.' || text.p[0] == '\'')) fputs("\\&", out);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\\')
            fputs("\\e", out);
        else if (text.p[i] == '-')
            fputs("\\-", out);
        else
            fputc(text.p[i], out);
    }
}

/* Bytes that put_escaped makes of it. */
static size_t escaped_size(str text)
{
    size_t n = text.n;
    for (size_t i = 0; i < text.n; i++) n += text.p[i] == '-' || text.p[i] == '\\';
    return n;
}

/* Running text, in lines that a diff can show. */
static void put_text(FILE *out, str text)
{
    enum { WIDTH = 72 };
    size_t column = 0;
    while (text.n) {
        str word = str_cut(&text, ' ');
        if (column && column + escaped_size(word) >= WIDTH) {
            fputc('\n', out);
            column = 0;
        } else if (column) {
            fputc(' ', out);
        }
        put_escaped(out, word, column == 0);
        column += escaped_size(word) + 1;
    }
    fputc('\n', out);
}

/* The end of the sentence that begins at `from`: mdoc wants a new line behind it, to space it. */
static size_t sentence_end(str line, size_t from)
{
    for (size_t i = from; i + 2 < line.n; i++) {
        bool ends = (line.p[i] == '.' || line.p[i] == '?' || line.p[i] == '!') && line.p[i + 1] == ' ';
        if (ends && isupper((unsigned char)line.p[i + 2])) return i + 1;
    }
    return line.n;
}

/* An empty line begins a paragraph. */
static void put_paragraphs(FILE *out, const char *text)
{
    str rest = str_of(text);
    while (rest.n) {
        str line = str_cut(&rest, '\n');
        if (!line.n) fputs(".Pp\n", out);
        for (size_t from = 0, end; from < line.n; from = end + 1) {
            end = sentence_end(line, from);
            put_text(out, str_make(line.p + from, end - from));
        }
    }
}

static void put_literal(FILE *out, const char *text)
{
    fputs(".Bd -literal -offset indent\n", out);
    str rest = str_of(text);
    while (rest.n) {
        put_escaped(out, str_cut(&rest, '\n'), true);
        fputc('\n', out);
    }
    fputs(".Ed\n", out);
}

static void put_head(FILE *out, const char *page, const char *summary, const char *date)
{
    fprintf(out, ".Dd %s\n.Dt ", date);
    for (const char *p = page; *p; p++) fputc(toupper((unsigned char)*p), out);
    fprintf(out, " 1\n.Os\n.Sh NAME\n.Nm %s\n.Nd ", page);
    put_text(out, str_of(summary));
}

static void put_exit_status(FILE *out)
{
    fputs(".Sh EXIT STATUS\n.Bl -tag -width Ds\n"
          ".It 0\ndone, or accepted\n.It 1\nrefused, or failed at run time\n.It 2\nwrong usage\n"
          ".It 78\nwrong configuration\n.El\n",
          out);
}

static void put_command(FILE *out, const struct cli_command *command, const char *page, const char *date)
{
    put_head(out, page, command->summary, date);
    fprintf(out, ".Sh SYNOPSIS\n.Nm sallyport %s\n", command->name);
    if (command->synopsis && *command->synopsis) put_text(out, str_of(command->synopsis));
    fputs(".Sh DESCRIPTION\n", out);
    put_paragraphs(out, command->description ? command->description : command->summary);
    fputs(".Pp\nThe options are:\n.Bl -tag -width Ds\n", out);
    for (const struct cli_option *option = command->options; option && option->name; option++) {
        fprintf(out, ".It Fl %s%s%s%s\n", option->name[1] ? "\\-" : "", option->name, option->arg ? " Ar " : "",
                option->arg ? option->arg : "");
        put_text(out, str_of(option->help));
    }
    fputs(".It Fl \\-help\nprint a summary of this page\n.El\n", out);
    put_exit_status(out);
    if (command->examples) {
        fputs(".Sh EXAMPLES\n", out);
        put_literal(out, command->examples);
    }
    fputs(".Sh SEE ALSO\n.Xr sallyport 1\n", out);
}

static void page_name(char *out, size_t n, const char *command)
{
    snprintf(out, n, "sallyport-%s", command);
    for (char *p = out; *p; p++)
        if (*p == ' ') *p = '-';
}

static void put_overview(FILE *out, const char *date)
{
    char page[64];
    put_head(out, "sallyport", "an API gateway that lets in only who may", date);
    fputs(
        ".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar argument ...\n.Sh DESCRIPTION\n"
        "Sallyport stands in front of services, verifies who calls, checks what the\n"
        "caller may do, and passes on what is allowed.\nEverything that is not declared is denied.\nThe commands are:\n"
        ".Bl -tag -width Ds\n",
        out);
    for (const struct cli_entry *entry = cli_table; entry->command; entry++) {
        if (entry->group == CLI_GROUP_HIDDEN) continue;
        page_name(page, sizeof page, entry->command->name);
        fprintf(out, ".It Xr %s 1\n", page);
        put_text(out, str_of(entry->command->summary));
    }
    fputs(".El\n.Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev SALLYPORT_SOCKET\n"
          "The control socket of the running product, for the commands that ask it\nsomething.\n"
          "An option\n.Fl \\-socket\ngoes before it; without either,\n.Pa ./.sallyport/cli.sock ,\n"
          ".Pa /run/sallyport/cli.sock\nand\n.Pa /var/lib/sallyport/cli.sock\nare tried.\n.El\n",
          out);
    put_exit_status(out);
}

/* Opens FOLDER/page.1 for writing; complains and gives NULL. */
static FILE *open_page(const struct cli_args *args, const char *page)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s.1", args->rest[0], page);
    FILE *out = n > 0 && (size_t)n < sizeof path ? fopen(path, "we") : NULL;
    if (!out) (void)cli_failure(args, "%s: %s", path, strerror(errno));
    return out;
}

static int close_page(const struct cli_args *args, FILE *out, const char *page)
{
    bool bad = ferror(out) != 0;
    if (fclose(out) != 0 || bad) return cli_failure(args, "%s.1: %s", page, strerror(errno));
    return CLI_OK;
}

/* "November 20, 2026", which mdoc wants; from SOURCE_DATE_EPOCH where a reproducible build sets it. */
static int page_date(const struct cli_args *args, char *out, size_t n)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    uint64_t seconds = (uint64_t)time(NULL);
    if (epoch && str_to_u64(str_of(epoch), &seconds) != ERR_OK)
        return cli_failure(args, "SOURCE_DATE_EPOCH is no number");
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(out, n, "%B ", &tm) == 0) return cli_failure(args, "the date is out of range");
    size_t used = strlen(out);
    snprintf(out + used, n - used, "%d, %d", tm.tm_mday, tm.tm_year + 1900);
    return CLI_OK;
}

static int man_run(const struct cli_args *args)
{
    char date[64], page[64];
    int status = page_date(args, date, sizeof date);
    if (status != CLI_OK) return status;
    if (mkdir(args->rest[0], 0777) != 0 && errno != EEXIST)
        return cli_failure(args, "%s: %s", args->rest[0], strerror(errno));
    FILE *out = open_page(args, "sallyport");
    if (!out) return CLI_FAILED;
    put_overview(out, date);
    status = close_page(args, out, "sallyport");
    for (const struct cli_entry *entry = cli_table; entry->command && status == CLI_OK; entry++) {
        if (entry->group == CLI_GROUP_HIDDEN) continue;
        page_name(page, sizeof page, entry->command->name);
        out = open_page(args, page);
        if (!out) return CLI_FAILED;
        put_command(out, entry->command, page, date);
        status = close_page(args, out, page);
    }
    return status;
}

const struct cli_command cli_man = {
    .name = "man",
    .summary = "write the manual pages into a folder",
    .synopsis = "FOLDER",
    .description = "Writes one page a command, FOLDER/sallyport-COMMAND.1, and FOLDER/sallyport.1; makes the "
                   "folder if it is not there.",
    .min_rest = 1,
    .max_rest = 1,
    .run = man_run,
};
