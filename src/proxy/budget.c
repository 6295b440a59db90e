#include "proxy/budget.h"

void budget_roll(struct retry_budget *b, uint64_t second)
{
    if (second <= b->second) return; /* the same; the clock does not go back */
    uint64_t steps = second - b->second;
    if (steps > BUDGET_SECONDS) steps = BUDGET_SECONDS;
    for (uint64_t i = 0; i < steps; i++) {
        size_t at = (size_t)((second - i) % BUDGET_SECONDS);
        b->requests -= b->requests_in[at];
        b->retries -= b->retries_in[at];
        b->requests_in[at] = b->retries_in[at] = 0;
    }
    b->second = second;
}

bool budget_retry(struct retry_budget *b, uint32_t percent, uint64_t now_ms)
{
    budget_roll(b, now_ms / 1000);
    if (((uint64_t)b->retries + 1) * 100 > (uint64_t)b->requests * percent) return false;
    b->retries++;
    b->retries_in[b->second % BUDGET_SECONDS]++;
    return true;
}
