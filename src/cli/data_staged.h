/* The way of a backup out of the data folder and into it: who serves writes and reads nowhere else (roles/sandbox.h),
 * so the command line, which has the administrator's rights, carries the files. */
#ifndef SALLYPORT_CLI_DATA_STAGED_H
#define SALLYPORT_CLI_DATA_STAGED_H

#include "cli/admin_client.h"

struct staged {
    char dir[1024]; /* a fresh folder in the data folder; "" when there is none */
};

/* Has the product make one. CLI_OK, or what went wrong is on stderr. */
int staged_open(const struct cli_args *args, struct staged *s);
/* Moves what a backup has written to `to`, an absolute path, which is made. `spaces`: of the product's answer. */
int staged_take_out(const struct cli_args *args, const struct staged *s, const char *to, const struct json *spaces);
/* Copies the files of a backup in `from`. */
int staged_put_in(const struct cli_args *args, const struct staged *s, const char *from);
/* Removes it with what is left in it. */
void staged_close(struct staged *s);

#endif
