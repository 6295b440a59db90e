#include "services/passwords.h"

#include "crypto/secret.h"

#include <stdlib.h>

struct passwords {
    struct loop *loop;
    struct offload *pool;
    struct password_cost cost;
    unsigned waiting, max; /* checks under way or waiting */
    char dummy[PASSWORD_HASH_MAX];
};

enum err passwords_new(struct loop *loop, struct password_cost cost, unsigned concurrent, unsigned queue,
                       struct passwords **out)
{
    struct passwords *p = calloc(1, sizeof *p);
    if (!p) return ERR_NO_MEMORY;
    if (!concurrent) concurrent = 1;
    *p = (struct passwords){.loop = loop, .cost = cost, .max = concurrent + queue};
    enum err e = password_dummy(cost, p->dummy);
    if (e == ERR_OK) p->pool = offload_new(concurrent, p->max);
    if (e == ERR_OK && !p->pool) e = ERR_NO_MEMORY;
    if (e != ERR_OK)
        free(p);
    else
        *out = p;
    return e;
}

enum err passwords_set(struct passwords *p, struct password_cost cost)
{
    char dummy[PASSWORD_HASH_MAX];
    enum err e = password_dummy(cost, dummy);
    if (e != ERR_OK) return e;
    p->cost = cost;
    memcpy(p->dummy, dummy, sizeof dummy);
    return ERR_OK;
}

void passwords_free(struct passwords **p)
{
    if (!*p) return;
    offload_free(&(*p)->pool);
    loop_turn((*p)->loop, 0); /* what was finished is mail to the loop */
    free(*p);
    *p = NULL;
}

/* On a thread of the pool. */
static void run(struct offload_job *job)
{
    struct password_check *c = CONTAINER_OF(job, struct password_check, job);
    str password = str_make(c->password, c->password_n), hash = str_of(c->hash);
    c->err = password_verify(hash, password);
    if (c->dummy && c->err == ERR_OK) c->err = ERR_DENIED;
    c->made[0] = '\0';
    if (c->err == ERR_OK && c->make && password_needs_rehash(hash, c->cost) &&
        password_hash(password, c->cost, c->made) != ERR_OK)
        c->made[0] = '\0';
    secret_wipe(c->password, sizeof c->password);
}

static void done(struct offload_job *job)
{
    struct password_check *c = CONTAINER_OF(job, struct password_check, job);
    c->passwords->waiting--;
    c->done(c);
}

enum err passwords_check(struct passwords *p, struct password_check *c)
{
    c->passwords = p;
    c->cost = p->cost;
    c->dummy = password_hash_read(str_of(c->hash), NULL, NULL) != ERR_OK;
    if (c->dummy) memcpy(c->hash, p->dummy, sizeof c->hash); /* a broken hash costs as much: nobody learns that it is */
    c->job.run = run;
    c->job.done = done;
    enum err e = p->waiting < p->max ? offload_submit(p->pool, p->loop, &c->job) : ERR_LIMIT;
    if (e == ERR_OK)
        p->waiting++;
    else
        secret_wipe(c->password, sizeof c->password);
    return e;
}

bool passwords_outdated(const struct passwords *p, str hash)
{
    return password_needs_rehash(hash, p->cost);
}

unsigned passwords_waiting(const struct passwords *p)
{
    return p->waiting;
}
