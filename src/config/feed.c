#include "config/feed.h"

enum feed_step feed_check(const struct feed_position *at, const struct feed_record *r)
{
    if (r->epoch == at->epoch && r->number <= at->number) return FEED_OLD;
    if (r->epoch == at->epoch && r->number == at->number + 1) return FEED_APPLY;
    return r->kind == FEED_SNAPSHOT ? FEED_APPLY : FEED_RESYNC;
}

void feed_advance(struct feed_position *at, const struct feed_record *r)
{
    *at = (struct feed_position){r->epoch, r->number};
}
