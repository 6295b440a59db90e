/* `completion`: scripts for bash, zsh and fish, made from the table of commands.
 *
 * All texts come from our own table, never from a user; help lines are still quoted for the shell that reads them. */
#include "cli/cli.h"
#include "cli/table.h"

static const char *dashes(const struct cli_option *option)
{
    return option->name[1] ? "--" : "-";
}

/* The distinct words that may stand behind `prefix` ("" for the first word), separated by blanks. */
static void print_next_words(const char *prefix)
{
    size_t n = strlen(prefix);
    const char *last = "";
    size_t last_n = 0;
    for (const struct cli_entry *entry = cli_table; entry->command; entry++) {
        const char *name = entry->command->name;
        if (entry->group == CLI_GROUP_HIDDEN || strncmp(name, prefix, n) != 0) continue;
        if (n && name[n] != ' ') continue;
        const char *word = name + n + (n ? 1 : 0);
        size_t word_n = strcspn(word, " ");
        if (word_n == last_n && memcmp(word, last, word_n) == 0) continue; /* families stand together in the table */
        printf("%s%.*s", last_n ? " " : "", (int)word_n, word);
        last = word;
        last_n = word_n;
    }
}

static void print_option_words(const struct cli_command *command)
{
    for (const struct cli_option *option = command->options; option && option->name; option++)
        printf("%s%s ", dashes(option), option->name);
    printf("--help");
}

static void print_bash(void)
{
    fputs("# bash completion for sallyport; made by 'sallyport completion bash'\n"
          "_sallyport() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path= word i\n"
          "    for ((i = 1; i < COMP_CWORD && i < 3; i++)); do\n"
          "        word=${COMP_WORDS[i]}\n"
          "        [[ $word == -* ]] && break\n"
          "        path=\"${path:+$path }$word\"\n"
          "    done\n"
          "    case $prev in\n",
          stdout);
    fputs("        completion) mapfile -t COMPREPLY < <(compgen -W 'bash zsh fish' -- \"$cur\"); return ;;\n", stdout);
    fputs("    esac\n"
          "    case $path in\n",
          stdout);
    for (const struct cli_entry *entry = cli_table; entry->command; entry++) {
        if (entry->group == CLI_GROUP_HIDDEN) continue;
        const char *name = entry->command->name;
        printf("        '%s'%s%s%s)\n"
               "            if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W '",
               name, strchr(name, ' ') ? "" : "|'", strchr(name, ' ') ? "" : name, strchr(name, ' ') ? "" : " '*");
        print_option_words(entry->command);
        fputs("' -- \"$cur\"); else mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); fi ;;\n", stdout);
    }
    for (const struct cli_entry *entry = cli_table; entry->command; entry++) {
        const char *blank = strchr(entry->command->name, ' ');
        if (!blank) continue;
        char family[32];
        snprintf(family, sizeof family, "%.*s", (int)(blank - entry->command->name), entry->command->name);
        if (entry != cli_table && strncmp(entry[-1].command->name, family, strlen(family)) == 0) continue;
        printf("        %s) mapfile -t COMPREPLY < <(compgen -W '", family);
        print_next_words(family);
        fputs("' -- \"$cur\") ;;\n", stdout);
    }
    fputs("        '') mapfile -t COMPREPLY < <(compgen -W '", stdout);
    print_next_words("");
    fputs("' -- \"$cur\") ;;\n"
          "    esac\n"
          "}\n"
          "complete -o filenames -F _sallyport sallyport\n",
          stdout);
}

/* `text` inside single quotes of a shell; brackets and colons, which _arguments reads, get a backslash. */
static void print_quoted(const char *text, const char *escaped)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr(escaped, *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static bool is_path(const char *arg)
{
    return strcmp(arg, "FILE") == 0 || strcmp(arg, "FOLDER") == 0 || strcmp(arg, "PATH") == 0;
}

static void print_zsh(void)
{
    fputs("#compdef sallyport\n"
          "# zsh completion for sallyport; made by 'sallyport completion zsh'\n"
          "_sallyport() {\n"
          "    local verb=\"${words[2]}\"\n"
          "    local -i used=1\n"
          "    case \"${words[2]} ${words[3]}\" in\n",
          stdout);
    for (const struct cli_entry *entry = cli_table; entry->command; entry++)
        if (entry->group != CLI_GROUP_HIDDEN && strchr(entry->command->name, ' '))
            printf("        '%s') verb='%s'; used=2 ;;\n", entry->command->name, entry->command->name);
    fputs("    esac\n"
          "    if (( CURRENT == 2 )); then\n"
          "        local -a commands=(",
          stdout);
    print_next_words("");
    fputs(")\n"
          "        compadd -a commands\n"
          "        return\n"
          "    fi\n",
          stdout);
    fputs("    words=(\"$verb\" \"${(@)words[used+2,-1]}\")\n"
          "    (( CURRENT -= used ))\n"
          "    case $verb in\n",
          stdout);
    for (const struct cli_entry *entry = cli_table; entry->command; entry++) {
        if (entry->group == CLI_GROUP_HIDDEN) continue;
        printf("        '%s') _arguments", entry->command->name);
        for (const struct cli_option *option = entry->command->options; option && option->name; option++) {
            printf(" '%s%s%s[", dashes(option), option->name, option->arg ? (option->name[1] ? "=" : "+") : "");
            print_quoted(option->help, "[]:\\");
            fputs("]", stdout);
            if (option->arg) {
                fputs(":", stdout);
                print_quoted(option->arg, "[]:\\");
                fputs(is_path(option->arg) ? ":_files" : ": ", stdout);
            }
            fputs("'", stdout);
        }
        printf(" '--help[print help]'%s ;;\n",
               strcmp(entry->command->name, "completion") == 0 ? " '1:shell:(bash zsh fish)'" : " '*:file:_files'");
    }
    for (const struct cli_entry *entry = cli_table; entry->command; entry++) {
        const char *blank = strchr(entry->command->name, ' ');
        if (!blank) continue;
        char family[32];
        snprintf(family, sizeof family, "%.*s", (int)(blank - entry->command->name), entry->command->name);
        if (entry != cli_table && strncmp(entry[-1].command->name, family, strlen(family)) == 0) continue;
        printf("        %s) compadd ", family);
        print_next_words(family);
        fputs(" ;;\n", stdout);
    }
    fputs("    esac\n"
          "}\n"
          "if [ \"$funcstack[1]\" = _sallyport ]; then _sallyport \"$@\"; else compdef _sallyport sallyport; fi\n",
          stdout);
}

static void print_fish(void)
{
    fputs("# fish completion for sallyport; made by 'sallyport completion fish'\n"
          "complete -c sallyport -f\n",
          stdout);
    for (const struct cli_entry *entry = cli_table; entry->command; entry++) {
        if (entry->group == CLI_GROUP_HIDDEN) continue;
        const char *name = entry->command->name, *blank = strchr(name, ' ');
        int first = (int)(blank ? blank - name : (long)strlen(name));
        if (blank)
            printf("complete -c sallyport -n '__fish_use_subcommand' -a '%.*s'\n"
                   "complete -c sallyport -n '__fish_seen_subcommand_from %.*s; and not "
                   "__fish_seen_subcommand_from %s' -a '%s' -d '",
                   first, name, first, name, blank + 1, blank + 1);
        else
            printf("complete -c sallyport -n '__fish_use_subcommand' -a '%s' -d '", name);
        print_quoted(entry->command->summary, "\\");
        fputs("'\n", stdout);
        for (const struct cli_option *option = entry->command->options; option && option->name; option++) {
            printf("complete -c sallyport -n '__fish_seen_subcommand_from %.*s%s%s' -%s %s %s-d '", first, name,
                   blank ? "; and __fish_seen_subcommand_from" : "", blank ? blank : "", option->name[1] ? "l" : "s",
                   option->name,
                   !option->arg           ? ""
                   : is_path(option->arg) ? "-r -F "
                                          : "-x ");
            print_quoted(option->help, "\\");
            fputs("'\n", stdout);
        }
    }
    fputs("complete -c sallyport -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n", stdout);
}

static int completion_run(const struct cli_args *args)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
        if (strcmp(args->rest[0], shells[i].shell) != 0) continue;
        shells[i].print();
        return CLI_OK;
    }
    return cli_usage_error(args, "no completion for '%.30s'; there is bash, zsh and fish", args->rest[0]);
}

const struct cli_command cli_completion = {
    .name = "completion",
    .summary = "print a completion script for bash, zsh or fish",
    .synopsis = "bash|zsh|fish",
    .description = "Prints a script that completes commands, options and file names. Packages install it; without a "
                   "package, source it from the shell's start file.",
    .examples = "source <(sallyport completion bash)\n"
                "sallyport completion zsh > ~/.zfunc/_sallyport\n"
                "sallyport completion fish > ~/.config/fish/completions/sallyport.fish",
    .min_rest = 1,
    .max_rest = 1,
    .run = completion_run,
};
