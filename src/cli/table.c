/* Every command of the product, in the order of `sallyport help`. */
#include "cli/table.h"

#include <stdlib.h>

extern const struct cli_command cli_authentication, cli_completion, cli_data, cli_dev, cli_gateway, cli_help,
    cli_key_new, cli_lint, cli_man, cli_policy_check, cli_policy_conformance, cli_policy_eval, cli_policy_fmt,
    cli_policy_show, cli_policy_test, cli_reload, cli_run, cli_tap, cli_token_inspect, cli_token_mint, cli_token_verify,
    cli_version, cli_why;

const struct cli_entry cli_table[] = {
    {&cli_dev, CLI_GROUP_SERVE},
    {&cli_run, CLI_GROUP_SERVE},
    {&cli_gateway, CLI_GROUP_SERVE},
    {&cli_data, CLI_GROUP_SERVE},
    {&cli_authentication, CLI_GROUP_SERVE},
    {&cli_reload, CLI_GROUP_SERVE},
    {&cli_why, CLI_GROUP_ASK},
    {&cli_tap, CLI_GROUP_ASK},
    {&cli_lint, CLI_GROUP_ASK},
    {&cli_policy_check, CLI_GROUP_ASK},
    {&cli_policy_fmt, CLI_GROUP_ASK},
    {&cli_policy_eval, CLI_GROUP_ASK},
    {&cli_policy_test, CLI_GROUP_ASK},
    {&cli_policy_show, CLI_GROUP_ASK},
    {&cli_policy_conformance, CLI_GROUP_ASK},
    {&cli_key_new, CLI_GROUP_KEYS},
    {&cli_token_verify, CLI_GROUP_KEYS},
    {&cli_token_inspect, CLI_GROUP_KEYS},
    {&cli_token_mint, CLI_GROUP_KEYS},
    {&cli_completion, CLI_GROUP_ABOUT},
    {&cli_version, CLI_GROUP_ABOUT},
    {&cli_help, CLI_GROUP_ABOUT},
    {&cli_man, CLI_GROUP_HIDDEN},
    {NULL, CLI_GROUP_HIDDEN},
};

/* Optimal string alignment: insertions, deletions, changes and swaps of neighbours. Words here are short; a longer
 * one is simply far away. */
enum { WORD_MAX = 48 };

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(const char *a, const char *b)
{
    size_t an = strlen(a), bn = strlen(b);
    if (an > WORD_MAX || bn > WORD_MAX) return WORD_MAX;
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= bn; j++) last[j] = j;
    for (size_t i = 1; i <= an; i++) {
        now[0] = i;
        for (size_t j = 1; j <= bn; j++) {
            size_t change = last[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = min_size(change, min_size(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = min_size(now[j], before[j - 2] + 1);
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[bn];
}

const char *cli_nearest(const char *word, const char *(*nth)(const void *of, size_t i), const void *of)
{
    const char *best = NULL, *candidate;
    /* A third of the word may be wrong: more is another word. */
    size_t best_distance = strlen(word) / 3 + 1;
    if (best_distance > 3) best_distance = 3;
    for (size_t i = 0; (candidate = nth(of, i)); i++) {
        size_t d = distance(word, candidate);
        if (d > best_distance || (best && d == best_distance)) continue;
        best = candidate;
        best_distance = d;
    }
    return best;
}
