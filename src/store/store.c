#include "store/store.h"

#include "store/job.h"

static const str names[STORE_SPACES] = {
    [STORE_IDENTITY] = STR_INIT("identity"), [STORE_AUTHENTICATION] = STR_INIT("authentication"),
    [STORE_CONTROL] = STR_INIT("control"),   [STORE_AUDIT] = STR_INIT("audit"),
    [STORE_TENANTS] = STR_INIT("tenants"),
};

const char *store_space_name(enum store_space s)
{
    return (unsigned)s < STORE_SPACES ? names[s].p : "unknown";
}

enum store_space store_space_of(str name)
{
    for (unsigned s = 0; s < STORE_SPACES; s++)
        if (str_eq(name, names[s])) return (enum store_space)s;
    return STORE_SPACES;
}

void store_submit(struct store *s, struct store_job *job)
{
    store_job_reset(job);
    s->ops->submit(s, job);
}

enum err store_watch_start(struct store *s, struct store_watch *w)
{
    if (!w->name.n || w->name.n > STORE_NAME_MAX || w->prefix.n > STORE_KEY_MAX) return ERR_LIMIT;
    w->seen = w->from;
    w->fresh_until_ms = 0;
    w->up = false;
    w->next = NULL;
    w->impl = NULL;
    return s->ops->watch_start(s, w);
}

void store_watch_stop(struct store *s, struct store_watch *w)
{
    if (!w->impl) return;
    s->ops->watch_stop(s, w);
    w->impl = NULL;
    w->up = false;
    w->fresh_until_ms = 0;
}

void store_watch_confirm(struct store *s, struct store_watch *w, struct store_position at)
{
    if (w->impl) s->ops->watch_confirm(s, w, at);
}

void store_free(struct store **s)
{
    if (!*s) return;
    (*s)->ops->free(*s);
    *s = NULL;
}
