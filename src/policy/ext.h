/* The extension types: ipaddr, decimal, datetime, duration, and their functions and methods.
 *
 * One table names them all; the parser, evaluator, validator and printers read it. Knows nothing of policies. */
#ifndef SALLYPORT_POLICY_EXT_H
#define SALLYPORT_POLICY_EXT_H

#include "policy/value.h"

enum ext_fn {
    EXT_IP,
    EXT_IS_IPV4,
    EXT_IS_IPV6,
    EXT_IS_LOOPBACK,
    EXT_IS_MULTICAST,
    EXT_IS_IN_RANGE,
    EXT_DECIMAL,
    EXT_LESS_THAN,
    EXT_LESS_THAN_OR_EQUAL,
    EXT_GREATER_THAN,
    EXT_GREATER_THAN_OR_EQUAL,
    EXT_DATETIME,
    EXT_DURATION,
    EXT_OFFSET,
    EXT_DURATION_SINCE,
    EXT_TO_DATE,
    EXT_TO_TIME,
    EXT_TO_MILLISECONDS,
    EXT_TO_SECONDS,
    EXT_TO_MINUTES,
    EXT_TO_HOURS,
    EXT_TO_DAYS,
    EXT_COUNT
};

struct ext_info {
    str name;
    bool method;             /* written x.name(…), not name(…) */
    uint8_t arity;           /* with the object of a method */
    enum value_kind args[2]; /* what each argument must be */
    enum value_kind result;
};

extern const struct ext_info ext_table[EXT_COUNT];

/* The function or method of that name; EXT_COUNT if there is none. */
enum ext_fn ext_find(str name);

/* Why a call failed. */
enum ext_fault {
    EXT_FAULT_NONE = 0,
    EXT_FAULT_ARITY,
    EXT_FAULT_TYPE,
    EXT_FAULT_TEXT,
    EXT_FAULT_OVERFLOW,
    EXT_FAULT_MEMORY
};

/* Calls it. *out is written on EXT_FAULT_NONE only; an IP's bytes live in the arena. */
enum ext_fault ext_call(enum ext_fn fn, const struct value *args, uint32_t n, struct arena *mem, struct value *out);

/* ip("10.0.0.0/8"), datetime("…"): text and JSON that read back as an equal value. */
void ext_print(const struct value *v, struct buf *out);
void ext_print_json(const struct value *v, struct buf *out);

/* The parts, each in its own file: text to value. False if the text is none. */
bool ext_parse_ip(str s, uint8_t bytes[16], bool *v6, uint8_t *prefix);
bool ext_parse_decimal(str s, int64_t *out);
bool ext_parse_datetime(str s, int64_t *out);
bool ext_parse_duration(str s, int64_t *out);

bool ext_ip_is_loopback(const struct value *ip);
bool ext_ip_is_multicast(const struct value *ip);
bool ext_ip_in_range(const struct value *ip, const struct value *range);
void ext_ip_print(const struct value *ip, struct buf *out);

#endif
