#include "fetch/jwks.h"

#include "base/log.h"
#include "base/rand.h"

#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_FIRST_MS 500u
#define BACKOFF_LAST_MS  30000u

struct jwks {
    struct fetch_env env;
    struct fetch_options options;
    enum err (*take)(void *user, str json, const char **why);
    void *user;
    uint32_t refresh_ms, min_interval_ms;
    str name, url; /* of text */
    struct fetch *fetch;
    struct timer timer;
    bool loaded;
    unsigned streak; /* failures since the last success */
    uint64_t attempts, failures;
    uint64_t began_ms;                /* of the last attempt, monotonic */
    uint64_t last_try_ms, last_ok_ms; /* Unix */
    char error[256];
    char text[]; /* name, url, ca_file with its NUL, ca_pem */
};

/* n less up to a tenth of it. */
static uint64_t jitter(uint64_t n)
{
    return n - rand_u64() % (n / 10 + 1);
}

static void next_in(struct jwks *j, uint64_t ms)
{
    timer_set(j->env.loop, &j->timer, loop_now_ms(j->env.loop) + ms);
}

static void succeeded(struct jwks *j)
{
    if (!j->loaded || j->streak)
        log_event(LOG_LEVEL_INFO, log_msg("issuer keys fetched"), log_str("issuer", j->name), log_str("url", j->url));
    j->loaded = true;
    j->streak = 0;
    j->last_ok_ms = loop_wall_ms(j->env.loop);
    next_in(j, jitter(j->refresh_ms));
}

static void failed(struct jwks *j, const char *why, const char *detail)
{
    char before[sizeof j->error];
    memcpy(before, j->error, sizeof before);
    snprintf(j->error, sizeof j->error, "%s%s%s", why, *detail ? ": " : "", detail);
    /* once for each cause, not for each attempt */
    if (j->streak == 0 || strcmp(before, j->error) != 0)
        log_event(LOG_LEVEL_WARN, log_msg("issuer keys not fetched"), log_str("issuer", j->name),
                  log_str("url", j->url), log_str("error", str_of(j->error)), log_bool("keys_kept", j->loaded));
    j->failures++;
    uint64_t wait = j->streak < 6 ? (uint64_t)BACKOFF_FIRST_MS << j->streak : BACKOFF_LAST_MS;
    j->streak++;
    next_in(j, jitter(wait));
}

static void on_fetched(void *user, const struct fetch_result *r)
{
    struct jwks *j = user;
    j->fetch = NULL;
    const char *why = "";
    if (r->fault)
        failed(j, fetch_fault_text(r->fault), r->detail);
    else if (j->take(j->user, r->body, &why) == ERR_OK)
        succeeded(j);
    else
        failed(j, "the document is not acceptable", why);
}

static void attempt(struct timer *t)
{
    struct jwks *j = CONTAINER_OF(t, struct jwks, timer);
    j->attempts++;
    j->began_ms = loop_now_ms(j->env.loop);
    j->last_try_ms = loop_wall_ms(j->env.loop);
    if (fetch_start(&j->env, j->url, &j->options, on_fetched, j, &j->fetch) != ERR_OK)
        failed(j, fetch_fault_text(FETCH_FAULT_MEMORY), "");
}

enum err jwks_new(const struct fetch_env *env, const struct jwks_options *o, struct jwks **out)
{
    struct jwks *j = calloc(1, sizeof *j + o->name.n + o->url.n + o->ca_file.n + o->ca_pem.n + 1);
    if (!j) return ERR_NO_MEMORY;
    char *name = j->text, *url = name + o->name.n, *ca_file = url + o->url.n;
    if (o->name.n) memcpy(name, o->name.p, o->name.n);
    if (o->url.n) memcpy(url, o->url.p, o->url.n);
    if (o->ca_file.n) memcpy(ca_file, o->ca_file.p, o->ca_file.n);
    if (o->ca_pem.n) memcpy(ca_file + o->ca_file.n + 1, o->ca_pem.p, o->ca_pem.n);
    j->env = *env;
    j->name = str_make(name, o->name.n);
    j->url = str_make(url, o->url.n);
    j->take = o->take;
    j->user = o->user;
    j->refresh_ms = o->refresh_ms ? o->refresh_ms : JWKS_REFRESH_MS;
    j->min_interval_ms = o->min_interval_ms ? o->min_interval_ms : JWKS_MIN_INTERVAL_MS;
    j->options =
        (struct fetch_options){.ca_file = o->ca_file.n ? ca_file : NULL,
                               .ca_pem = o->ca_pem.n ? str_make(ca_file + o->ca_file.n + 1, o->ca_pem.n) : STR_NONE,
                               .accept = "application/jwk-set+json, application/json",
                               .private_ok = o->private_ok,
                               .plain_ok = o->plain_ok};
    j->timer.on_time = attempt;
    next_in(j, 0);
    *out = j;
    return ERR_OK;
}

void jwks_free(struct jwks **j)
{
    if (!*j) return;
    fetch_cancel(&(*j)->fetch);
    timer_clear((*j)->env.loop, &(*j)->timer);
    free(*j);
    *j = NULL;
}

void jwks_want(struct jwks *j)
{
    /* Under way: its answer may already hold the key. Failing: the back-off decides, which is shorter than anybody
     * would wish to wait, and must not be sped up from outside. */
    if (j->fetch || j->streak || !j->attempts) return;
    uint64_t now = loop_now_ms(j->env.loop), earliest = j->began_ms + j->min_interval_ms;
    if (earliest < now) earliest = now;
    if (earliest < j->timer.at_ms) timer_set(j->env.loop, &j->timer, earliest);
}

void jwks_status(const struct jwks *j, struct jwks_status *out)
{
    uint64_t now = loop_now_ms(j->env.loop);
    *out = (struct jwks_status){
        .loaded = j->loaded,
        .failing = j->streak > 0,
        .fetching = j->fetch != NULL,
        .attempts = j->attempts,
        .failures = j->failures,
        .last_ok_ms = j->last_ok_ms,
        .last_try_ms = j->last_try_ms,
        .next_in_ms = timer_is_set(&j->timer) && j->timer.at_ms > now ? j->timer.at_ms - now : 0,
        .last_error = j->error,
    };
}
