/* Trees back to text that reads as the same tree: policies and expressions, with no more parentheses than needed. */
#ifndef SALLYPORT_POLICY_PRINT_H
#define SALLYPORT_POLICY_PRINT_H

#include "policy/ast.h"

/* One line. */
void expr_print(const struct expr *e, struct buf *out);

/* Annotations, head and conditions, each on its line; ends with ";\n". For a layout within 80 columns run it
 * through policies_format. */
void policy_print(const struct policy *p, struct buf *out);

#endif
