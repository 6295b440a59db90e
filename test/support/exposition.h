/* A checker of Prometheus' text format 0.0.4, written from its description: what a scraper would refuse fails.
 *
 * Checks names, label syntax and escapes, values, that a family's TYPE comes once and before its samples, that a
 * family is not interrupted by another, that no series comes twice, and that histograms are cumulative, end with
 * +Inf and agree with _count. */
#ifndef SALLYPORT_TEST_EXPOSITION_H
#define SALLYPORT_TEST_EXPOSITION_H

#include "base/str.h"

/* NULL when the text is fine, else what is wrong (static storage). */
const char *exposition_fault(str text);

/* The value of the series written exactly so ("name{a=\"b\"}"), or -1. */
double exposition_value(str text, const char *series);

#endif
