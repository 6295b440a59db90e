/* jansson's verdict on a document, and its tree as a text that ours can be compared with. Kept behind this door
 * because jansson's names collide with codec/json.h. */
#ifndef SALLYPORT_TEST_JSON_ORACLE_H
#define SALLYPORT_TEST_JSON_ORACLE_H

#include "base/buf.h"

enum oracle {
    ORACLE_REFUSES = 0,
    ORACLE_ACCEPTS,
    /* jansson refuses what RFC 8259 allows: U+0000 in a name, a number beyond double or 64 bits, its own depth */
    ORACLE_CANNOT_SAY
};

/* On ORACLE_ACCEPTS `canonical` (cleared first) holds: n t f | i<decimal>; | r<%.17g>; | s<length>:<bytes> |
 * [values] | {s-name value …} in the order written. Duplicates are refused. `why` may be NULL. */
enum oracle json_oracle(str in, struct buf *canonical, const char **why);

#endif
