/* Every command of the product, in the order of `sallyport help`. */
#include "cli/table.h"

#include <stdlib.h>

extern const struct cli_command cli_audit_tail, cli_audit_verify, cli_authentication, cli_authentication_status,
    cli_check, cli_completion, cli_data, cli_data_backup, cli_data_check, cli_data_restore, cli_data_status, cli_dev,
    cli_gateway, cli_help, cli_key_confirm, cli_key_delete, cli_key_disable, cli_key_list, cli_key_new, cli_keys_list,
    cli_keys_retire, cli_keys_rotate, cli_lint, cli_man, cli_policy_check, cli_policy_conformance, cli_policy_eval,
    cli_policy_fmt, cli_policy_show, cli_policy_test, cli_product_add, cli_product_list, cli_product_remove,
    cli_product_show, cli_reload, cli_upgrade, cli_revoke, cli_run, cli_secret_confirm, cli_secret_delete,
    cli_secret_new, cli_session_list, cli_session_revoke, cli_sign, cli_store_status, cli_tap, cli_token_inspect,
    cli_token_mint, cli_token_verify, cli_user_add, cli_user_delete, cli_user_disable, cli_user_enable, cli_user_grant,
    cli_user_import, cli_upstreams, cli_user_list, cli_user_password, cli_user_show, cli_usage, cli_version, cli_why;

const struct cli_entry cli_table[] = {
    {&cli_dev, CLI_GROUP_SERVE},
    {&cli_run, CLI_GROUP_SERVE},
    {&cli_gateway, CLI_GROUP_ROLE},
    {&cli_data, CLI_GROUP_ROLE},
    {&cli_authentication, CLI_GROUP_ROLE},
    {&cli_reload, CLI_GROUP_SERVE},
    {&cli_upgrade, CLI_GROUP_SERVE},
    {&cli_why, CLI_GROUP_ASK},
    {&cli_tap, CLI_GROUP_ASK},
    {&cli_upstreams, CLI_GROUP_ASK},
    {&cli_lint, CLI_GROUP_ASK},
    {&cli_check, CLI_GROUP_ASK},
    {&cli_policy_check, CLI_GROUP_ASK},
    {&cli_policy_fmt, CLI_GROUP_ASK},
    {&cli_policy_eval, CLI_GROUP_ASK},
    {&cli_policy_test, CLI_GROUP_ASK},
    {&cli_policy_show, CLI_GROUP_ASK},
    {&cli_policy_conformance, CLI_GROUP_ASK},
    {&cli_token_verify, CLI_GROUP_ASK},
    {&cli_token_inspect, CLI_GROUP_ASK},
    {&cli_token_mint, CLI_GROUP_ASK},
    {&cli_sign, CLI_GROUP_ASK},
    {&cli_user_add, CLI_GROUP_ADMIN},
    {&cli_user_show, CLI_GROUP_ADMIN},
    {&cli_user_list, CLI_GROUP_ADMIN},
    {&cli_user_grant, CLI_GROUP_ADMIN},
    {&cli_user_password, CLI_GROUP_ADMIN},
    {&cli_user_disable, CLI_GROUP_ADMIN},
    {&cli_user_enable, CLI_GROUP_ADMIN},
    {&cli_user_delete, CLI_GROUP_ADMIN},
    {&cli_user_import, CLI_GROUP_ADMIN},
    {&cli_product_add, CLI_GROUP_ADMIN},
    {&cli_product_list, CLI_GROUP_ADMIN},
    {&cli_product_show, CLI_GROUP_ADMIN},
    {&cli_product_remove, CLI_GROUP_ADMIN},
    {&cli_key_new, CLI_GROUP_ADMIN},
    {&cli_key_list, CLI_GROUP_ADMIN},
    {&cli_key_disable, CLI_GROUP_ADMIN},
    {&cli_key_confirm, CLI_GROUP_ADMIN},
    {&cli_key_delete, CLI_GROUP_ADMIN},
    {&cli_secret_new, CLI_GROUP_ADMIN},
    {&cli_secret_confirm, CLI_GROUP_ADMIN},
    {&cli_secret_delete, CLI_GROUP_ADMIN},
    {&cli_session_list, CLI_GROUP_ADMIN},
    {&cli_session_revoke, CLI_GROUP_ADMIN},
    {&cli_revoke, CLI_GROUP_ADMIN},
    {&cli_keys_list, CLI_GROUP_ADMIN},
    {&cli_keys_rotate, CLI_GROUP_ADMIN},
    {&cli_keys_retire, CLI_GROUP_ADMIN},
    {&cli_usage, CLI_GROUP_ADMIN},
    {&cli_audit_verify, CLI_GROUP_ADMIN},
    {&cli_audit_tail, CLI_GROUP_ADMIN},
    {&cli_data_status, CLI_GROUP_ADMIN},
    {&cli_data_check, CLI_GROUP_ADMIN},
    {&cli_data_backup, CLI_GROUP_ADMIN},
    {&cli_data_restore, CLI_GROUP_ADMIN},
    {&cli_store_status, CLI_GROUP_ADMIN},
    {&cli_authentication_status, CLI_GROUP_ADMIN},
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
