/* The handshake of TLS before the first request. Nothing is made for a connection that says nothing; who has begun is
 * in a list, of which the oldest makes room when it is full: who answers at once is let in however many others dawdle.
 */
#include "http/h1_conn.h"
#include "net/tls_server.h"

#define STEPS_A_TURN 16 /* each may take a quarter of a millisecond: those who are in have their turn between */

static bool may_step(struct server_env *env)
{
    uint64_t turn = loop_turns(env->io->loop);
    if (env->shake_turn != turn) {
        env->shake_turn = turn;
        env->shake_left = STEPS_A_TURN;
    }
    if (!env->shake_left) return false;
    env->shake_left--;
    return true;
}

void h1_conn_shaken(struct h1_conn *c)
{
    struct server_env *env = c->env;
    if (!c->shake_link) return;
    *c->shake_link = c->shake_next;
    if (c->shake_next)
        c->shake_next->shake_link = c->shake_link;
    else
        env->shaking_last = c->shake_link;
    c->shake_link = NULL;
    env->n_shaking--;
}

static void give_up(struct h1_conn *c, enum tls_end end, const char *reason)
{
    struct server_env *env = c->env;
    env->n_shake_failed[end]++;
    c->broken = true;
    h1_conn_close(c);
    if (env->on_shake_failed) env->on_shake_failed(env->owner, &c->peer, end, reason);
}

void h1_conn_shake_late(struct h1_conn *c)
{
    give_up(c, TLS_END_LATE, "the handshake took too long");
}

static bool start(struct h1_conn *c)
{
    struct server_env *env = c->env;
    if (env->n_shaking >= env->max_shaking && env->shaking)
        give_up(env->shaking, TLS_END_CROWDED, "too many handshakes at once");
    if (!env->tls || tls_server_stream(env->tls, c->watch.fd, &c->tls) != ERR_OK) {
        give_up(c, TLS_END_CROWDED, "no memory");
        return false;
    }
    if (!env->shaking_last || !env->shaking) env->shaking_last = &env->shaking;
    c->shake_next = NULL;
    c->shake_link = env->shaking_last;
    *c->shake_link = c;
    env->shaking_last = &c->shake_next;
    env->n_shaking++;
    return true;
}

static enum tls_end end_of(enum err e)
{
    return e == ERR_DENIED ? TLS_END_CERTIFICATE : e == ERR_CLOSED ? TLS_END_CLOSED : TLS_END_FAILED;
}

bool h1_conn_shake(struct h1_conn *c)
{
    struct server_env *env = c->env;
    if (!may_step(env)) {
        loop_defer(env->io->loop, &c->task);
        return false;
    }
    if (!c->tls && !start(c)) return false;
    enum err e = tls_stream_handshake(c->tls, loop_wall_ms(env->io->loop) / 1000);
    if (e == ERR_AGAIN) {
        c->readable = false;
        return false;
    }
    if (e != ERR_OK) {
        give_up(c, end_of(e), tls_stream_reason(c->tls));
        return false;
    }
    h1_conn_shaken(c);
    c->tls_peer = tls_stream_peer(c->tls);
    env->n_shaken[c->tls_peer->version > 0x0303][c->tls_peer->resumed]++;
    c->state = CONN_IDLE; /* its first request may be there already */
    c->deadline_ms = h1_conn_now_ms(c) + env->timeouts.head_ms;
    h1_conn_arm(c);
    return true;
}
