/* What a permitted request may use: the size of its body, the time of the whole exchange. */
#include "base/clock.h"
#include "proxy/exchange.h"

enum step limit_step(struct exchange *x)
{
    uint64_t body = x->down.request.body;
    if (x->deciding_ns) x->decided_ns = clock_mono_ns();
    if (body != BODY_UNKNOWN && body > x->action->body_max) return refuse(x, REASON_BODY_TOO_LARGE, NULL);
    x->deadline_ms = loop_now_ms(x->worker->loop) + x->action->timeout_ms;
    return STEP_NEXT;
}
