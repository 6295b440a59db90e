/* Hashes of passwords made anew when the parameters have risen: there is no other moment than a good login, for only
 * then the password is here. Never in its way: it waits for nothing of this. */
#include "services/authentication_private.h"

#include "crypto/secret.h"

#include <stdlib.h>

#define REHASHES_MAX 8

struct rehash {
    struct authentication *a;
    struct rehash *next, **link;
    struct password_check check;
    struct store_job job;
    struct store_op op;
    struct record_key key;
    struct buf value;
    uint64_t version;
    str old; /* the user's record */
    char old_text[RECORD_MAX];
};

void rehash_drop(struct rehash *r)
{
    if (!r) return;
    *r->link = r->next;
    if (r->next) r->next->link = r->link;
    r->a->n_rehash--;
    secret_wipe(r->check.password, sizeof r->check.password);
    store_job_clear(&r->job);
    buf_free(&r->value);
    free(r);
}

struct rehash *rehash_begin(struct authentication *a, str base, str name, const struct store_entry *user, str hash,
                            str password)
{
    if (a->n_rehash >= REHASHES_MAX || !passwords_outdated(a->passwords, hash) || user->value.n > RECORD_MAX ||
        hash.n >= PASSWORD_HASH_MAX)
        return NULL;
    struct rehash *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->a = a;
    r->link = &a->rehashes;
    r->next = a->rehashes;
    if (r->next) r->next->link = &r->next;
    a->rehashes = r;
    a->n_rehash++;
    (void)user_record_key(&r->key, base, name);
    r->version = user->version;
    memcpy(r->old_text, user->value.p, user->value.n);
    r->old = str_make(r->old_text, user->value.n);
    memcpy(r->check.hash, hash.p, hash.n);
    memcpy(r->check.password, password.p, password.n);
    r->check.password_n = password.n;
    r->check.make = true;
    buf_init(&r->value, RECORD_MAX);
    return r;
}

static void on_written(struct store_job *job)
{
    struct rehash *r = CONTAINER_OF(job, struct rehash, job);
    if (job->err == ERR_OK) counter_add(&r->a->counts.rehashed, 1);
    rehash_drop(r); /* a conflict: somebody changed the user; the next login tries again */
}

static void on_checked(struct password_check *c)
{
    struct rehash *r = CONTAINER_OF(c, struct rehash, check);
    struct user_record u;
    struct arena mem;
    enum err e = c->err == ERR_OK && c->made[0] && !r->a->closing ? ERR_OK : ERR_DENIED;
    arena_init(&mem, NULL, 0, RECORD_ARENA);
    if (e == ERR_OK) e = user_record_read(r->old, &mem, &u);
    if (e == ERR_OK) {
        u.password = str_of(c->made); /* the same password: password_ms and the sessions stay */
        e = user_record_put(&r->value, &u);
    }
    arena_reset(&mem);
    if (e != ERR_OK) {
        rehash_drop(r);
        return;
    }
    r->op = (struct store_op){.verb = STORE_PUT,
                              .condition = STORE_VERSION,
                              .version = r->version,
                              .key = str_make(r->key.p, r->key.n),
                              .value = buf_str(&r->value)};
    r->job =
        (struct store_job){.kind = STORE_BATCH, .space = STORE_IDENTITY, .ops = &r->op, .n_ops = 1, .done = on_written};
    store_submit(r->a->o.store, &r->job);
}

void rehash_go(struct rehash *r)
{
    if (!r) return;
    r->check.done = on_checked;
    if (passwords_check(r->a->passwords, &r->check) != ERR_OK) rehash_drop(r);
}
