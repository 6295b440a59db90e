/* Printing what came from the running product: it holds what strangers sent, so nothing of it may steer a terminal. */
#ifndef SALLYPORT_CLI_CONTROL_PRINT_H
#define SALLYPORT_CLI_CONTROL_PRINT_H

#include "cli/cli.h"
#include "cli/control_client.h"
#include "codec/json.h"

/* JSON as it came, every character beyond ASCII as \u…: inside strings, the only place where one can stand, that means
 * the same. Ends with a line end. */
void print_json(FILE *out, str json);

/* Text with controls and what deceives the eye escaped; print_lines keeps line ends. */
void print_text(FILE *out, str text);
void print_lines(FILE *out, str text);

/* The answers' bounds: 16 MB, 65,536 values. */
extern const struct json_limits control_json_limits;

/* The member's text, or an empty slice. */
str member_text(const struct json *v, const char *name);
/* The member's number, or 0. */
uint64_t member_number(const struct json *v, const char *name);

/* "sallyport why: …" for a call that failed, or for an answer that is a problem document; CLI_FAILED. */
int control_failed(const struct cli_args *args, const struct control_client *client);
int control_refused(const struct cli_args *args, uint16_t status, str body);

/* One question to the product that --socket or the usual places name, and what `answered` makes of whatever came; the
 * exit code. Nobody there, or no answer: CLI_FAILED, told. */
int control_call(const struct cli_args *args, const char *method, const char *path, str json, uint32_t timeout_ms,
                 int (*answered)(const struct cli_args *args, uint16_t status, str body));

#endif
