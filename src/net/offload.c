#include "net/offload.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

struct offload {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct offload_job *first, **last;
    unsigned queued, max_queued, idle, started, max_threads;
    bool stop;
    pthread_t threads[];
};

struct offload *offload_new(unsigned threads, unsigned max_queued)
{
    struct offload *o = calloc(1, sizeof *o + threads * sizeof o->threads[0]);
    if (!o) return NULL;
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->work, NULL);
    o->last = &o->first;
    o->max_queued = max_queued;
    o->max_threads = threads;
    return o;
}

static void on_done(struct mail *m, void *owner)
{
    (void)owner;
    struct offload_job *job = CONTAINER_OF(m, struct offload_job, mail);
    job->done(job);
}

static void *serve(void *arg)
{
    struct offload *o = arg;
    pthread_mutex_lock(&o->lock);
    for (;;) {
        o->idle++;
        while (!o->first && !o->stop) pthread_cond_wait(&o->work, &o->lock);
        o->idle--;
        if (o->stop) break;
        struct offload_job *job = o->first;
        o->first = job->next;
        if (!o->first) o->last = &o->first;
        o->queued--;
        pthread_mutex_unlock(&o->lock);
        job->run(job);
        job->mail.on_mail = on_done;
        mail_post(job->loop, &job->mail);
        pthread_mutex_lock(&o->lock);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

enum err offload_submit(struct offload *o, struct loop *loop, struct offload_job *job)
{
    enum err e = ERR_OK;
    pthread_mutex_lock(&o->lock);
    if (o->idle <= o->queued && o->started < o->max_threads &&
        pthread_create(&o->threads[o->started], NULL, serve, o) == 0)
        o->started++;
    if (o->started == 0) {
        e = ERR_NO_MEMORY;
    } else if (o->queued >= o->max_queued) {
        e = ERR_LIMIT;
    } else {
        job->loop = loop;
        job->next = NULL;
        *o->last = job;
        o->last = &job->next;
        o->queued++;
        pthread_cond_signal(&o->work);
    }
    pthread_mutex_unlock(&o->lock);
    return e;
}

void offload_free(struct offload **o)
{
    if (!*o) return;
    pthread_mutex_lock(&(*o)->lock);
    (*o)->stop = true;
    pthread_cond_broadcast(&(*o)->work);
    pthread_mutex_unlock(&(*o)->lock);
    for (unsigned i = 0; i < (*o)->started; i++) pthread_join((*o)->threads[i], NULL);
    pthread_cond_destroy(&(*o)->work);
    pthread_mutex_destroy(&(*o)->lock);
    free(*o);
    *o = NULL;
}
