/* Tasks on policies as JSON lines: what a test or another program asks many times. */
#ifndef SALLYPORT_CLI_POLICY_BATCH_H
#define SALLYPORT_CLI_POLICY_BATCH_H

#include "base/str.h"

#include <stdio.h>

/* Answers each line of `in` with one line on `out`; false if memory or reading failed. */
bool policy_batch(FILE *in, FILE *out);

#endif
