/* Who keeps us waiting, for how long, and how much he moved meanwhile: nothing that is sent renews a deadline, bytes
 * only earn time at the least rate. */
#include "http/h1_conn.h"

static uint64_t pace_deadline(const struct h1_conn *c, const struct h1_pace *p)
{
    uint64_t allowed = c->env->timeouts.grace_ms + p->bytes * 1000 / c->env->timeouts.rate;
    return p->since_ms + (allowed > p->waited_ms ? allowed - p->waited_ms : 0);
}

void h1_pace_wait(struct h1_conn *c, struct h1_pace *p)
{
    const struct h1_timeouts *t = &c->env->timeouts;
    if (!p->since_ms) p->since_ms = h1_conn_now_ms(c);
    if (!t->rate && c->stream) return;
    uint64_t at = t->rate ? pace_deadline(c, p) : h1_conn_now_ms(c) + t->idle_ms;
    if (!c->deadline_ms || at < c->deadline_ms) c->deadline_ms = at;
    h1_conn_arm(c);
}

void h1_pace_moved(struct h1_conn *c, struct h1_pace *p, uint64_t bytes)
{
    if (p->since_ms) p->waited_ms += h1_conn_now_ms(c) - p->since_ms;
    p->since_ms = 0;
    p->bytes += bytes;
    c->deadline_ms = 0;
    if (c->in_pace.since_ms) h1_pace_wait(c, &c->in_pace);
    if (c->out_pace.since_ms) h1_pace_wait(c, &c->out_pace);
}
