/* A match as it is written, "GET,POST /orders/{id}/pay", taken apart.
 *
 * Literal segments may hold only characters that have no second spelling in a URL, so that what an application may
 * take for the same path cannot pass beside the route. Pure; slices borrow from the text. */
#ifndef SALLYPORT_CONFIG_PATTERN_H
#define SALLYPORT_CONFIG_PATTERN_H

#include "config/config.h"
#include "http/message.h"

#define PATTERN_OTHERS_MAX 4 /* methods that METHOD_* does not name, in one match */
#define PATTERN_METHOD_MAX 32

enum segment_kind { SEGMENT_LITERAL, SEGMENT_PARAM, SEGMENT_REST };

struct segment {
    enum segment_kind kind;
    str text; /* the literal, or the name in the braces */
};

struct pattern {
    bool any_method;  /* `*`: every method but CONNECT and TRACE */
    uint16_t methods; /* bits 1 << METHOD_*; GET brings HEAD with it */
    uint8_t n_others, n_segments, n_params;
    str others[PATTERN_OTHERS_MAX];
    struct segment segments[CONFIG_MAX_SEGMENTS];
    str path; /* the pattern without the methods */
};

/* *why is a sentence, *at the byte of the text where the trouble is. ERR_MALFORMED, ERR_LIMIT. */
MUST_USE enum err pattern_parse(str text, struct pattern *out, const char **why, size_t *at);

/* Whether every path that the pattern matches begins with `prefix` ("/a/b") as whole literal segments. */
bool pattern_has_prefix(const struct pattern *p, str prefix);

/* Whether there is a method that both match. */
bool pattern_methods_meet(const struct pattern *a, const struct pattern *b);

/* "/orders" or "/orders/v1": literal segments, no trailing slash. */
bool pattern_prefix_ok(str prefix);

#endif
