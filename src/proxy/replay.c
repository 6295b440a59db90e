#include "proxy/replay.h"

#include "base/map.h"
#include "proxy/words.h"

#include <stdlib.h>

struct replay {
    struct words *words;
};

enum err replay_new(uint32_t slots, struct replay **out)
{
    struct replay *r = calloc(1, sizeof *r);
    if (!r) return ERR_NO_MEMORY;
    /* a worker may have begun its turn a while ago: a second more than the time named */
    enum err e = words_new(slots, UINT64_C(1000000000), &r->words);
    if (e != ERR_OK) {
        free(r);
        return e;
    }
    *out = r;
    return ERR_OK;
}

void replay_free(struct replay **out)
{
    struct replay *r = *out;
    *out = NULL;
    if (!r) return;
    words_free(&r->words);
    free(r);
}

enum err replay_note(struct replay *r, str scope, str nonce, uint64_t now_ns, uint64_t until_ns)
{
    if (until_ns <= now_ns || until_ns > WORD_MAX) return ERR_MALFORMED;
    uint64_t key = words_key(map_hash(scope), map_hash(nonce), 0);
    struct word word;
    for (int tries = 0; tries < 64; tries++) {
        enum err e = words_enter(r->words, key, now_ns, until_ns, &word);
        if (e != ERR_CONFLICT) return e;
        if (word.seen > now_ns) return ERR_CONFLICT;
        if (words_change(&word, until_ns)) return ERR_OK; /* its time has passed: it may be used again */
    }
    return ERR_LIMIT;
}
