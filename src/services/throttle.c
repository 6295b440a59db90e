#include "services/throttle.h"

#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

#define WAYS       8
#define SETS       4096
#define SLOW_FROM  5    /* times the account's count */
#define SLOW_STEP  200  /* ms for each attempt beyond */
#define SLOW_MAX   2000 /* ms */
#define KEY_MAX    512
#define KNOWN_LIFE ((uint64_t)30 * 24 * 3600 * 1000) /* ms */

/* GCRA: `at` is when all that was charged will have drained away (microseconds). */
struct slot {
    uint64_t key; /* 0: free */
    uint64_t at;
};

struct table {
    struct slot slots[SETS][WAYS];
};

struct throttle {
    struct throttle_rate account, address;
    struct table pairs, addresses, accounts;
    struct table known; /* `at`: of the last good login */
};

enum err throttle_new(struct throttle_rate account, struct throttle_rate address, struct throttle **out)
{
    struct throttle *t = calloc(1, sizeof *t);
    if (!t) return ERR_NO_MEMORY;
    throttle_set(t, account, address);
    *out = t;
    return ERR_OK;
}

void throttle_set(struct throttle *t, struct throttle_rate account, struct throttle_rate address)
{
    t->account = account;
    t->address = address;
}

void throttle_free(struct throttle **t)
{
    free(*t);
    *t = NULL;
}

/* The entry of the key, or NULL. */
static struct slot *look(struct table *t, uint64_t key)
{
    struct slot *set = t->slots[key % SETS];
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].key == key) return &set[i];
    return NULL;
}

/* The same, made if there is none: in the place of the one that is nearest to being forgotten anyway. */
static struct slot *take(struct table *t, uint64_t key)
{
    struct slot *s = look(t, key), *set = t->slots[key % SETS];
    if (s) return s;
    s = &set[0];
    for (unsigned i = 1; i < WAYS; i++)
        if (set[i].at < s->at) s = &set[i];
    *s = (struct slot){.key = key};
    return s;
}

static uint64_t cost_us(struct throttle_rate r)
{
    uint64_t us = r.window_ms * 1000 / (r.count ? r.count : 1);
    return us ? us : 1;
}

/* How long until one more fits below `burst` charges; 0: now. */
static uint64_t wait_us(struct table *t, uint64_t key, uint64_t now_us, uint64_t cost, uint64_t burst)
{
    const struct slot *s = look(t, key);
    uint64_t at = s && s->at > now_us ? s->at : now_us;
    return at + cost > now_us + burst * cost ? at + cost - now_us - burst * cost : 0;
}

static void charge(struct table *t, uint64_t key, uint64_t now_us, uint64_t cost)
{
    struct slot *s = take(t, key);
    s->at = (s->at > now_us ? s->at : now_us) + cost;
}

static void give_back(struct table *t, uint64_t key, uint64_t cost)
{
    struct slot *s = look(t, key);
    if (s) s->at -= s->at < cost ? s->at : cost;
}

/* "2001:db8:1:2:3:4:5:6" → its /64: one household, one key. */
static str network(str address)
{
    unsigned colons = 0;
    for (size_t i = 0; i < address.n; i++) {
        if (address.p[i] != ':') continue;
        if (i + 1 < address.n && address.p[i + 1] == ':') return str_first(address, i); /* zeros from here on */
        if (++colons == 4) return str_first(address, i);
    }
    return address;
}

static uint64_t hash_of(const char *kind, str a, str b, str c)
{
    char text[KEY_MAX];
    int n = snprintf(text, sizeof text, "%s\n%.*s\n%.*s\n%.*s", kind, STR_ARG(str_first(a, 64)),
                     STR_ARG(str_first(b, 256)), STR_ARG(str_first(c, 64)));
    return map_hash(str_make(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

struct throttle_attempt throttle_attempt(str base, str name, str address)
{
    str from = network(address);
    return (struct throttle_attempt){.pair = hash_of("pair", base, name, from),
                                     .address = hash_of("address", STR(""), STR(""), from),
                                     .account = hash_of("account", base, name, STR(""))};
}

/* By how much an account is over its measure, as a pause. */
static uint32_t slow_down(struct throttle *t, const struct throttle_attempt *who, uint64_t now_us)
{
    uint64_t cost = cost_us(t->account);
    uint64_t over = wait_us(&t->accounts, who->account, now_us, cost, (uint64_t)t->account.count * SLOW_FROM);
    const struct slot *known = look(&t->known, who->pair);
    if (!over || (known && now_us < known->at + KNOWN_LIFE * 1000)) return 0;
    uint64_t ms = (over / cost + 1) * SLOW_STEP;
    return ms > SLOW_MAX ? SLOW_MAX : (uint32_t)ms;
}

static uint64_t ms_of(uint64_t us)
{
    return (us + 999) / 1000;
}

enum err throttle_begin(struct throttle *t, const struct throttle_attempt *who, uint64_t now_ms, uint32_t *delay_ms,
                        uint64_t *retry_ms)
{
    uint64_t now = now_ms * 1000, account = cost_us(t->account), address = cost_us(t->address);
    uint64_t pair_wait = wait_us(&t->pairs, who->pair, now, account, t->account.count);
    uint64_t address_wait = wait_us(&t->addresses, who->address, now, address, t->address.count);
    uint64_t wait = pair_wait > address_wait ? pair_wait : address_wait;
    if (wait) {
        *retry_ms = ms_of(wait);
        return ERR_LIMIT;
    }
    uint32_t delay = slow_down(t, who, now);
    charge(&t->pairs, who->pair, now, account);
    charge(&t->addresses, who->address, now, address);
    /* bounded: what lies further ahead than the longest pause takes would only make the account slow for longer */
    if (delay < SLOW_MAX) charge(&t->accounts, who->account, now, account);
    *delay_ms = delay;
    return ERR_OK;
}

void throttle_void(struct throttle *t, const struct throttle_attempt *who, uint64_t now_ms)
{
    (void)now_ms;
    give_back(&t->pairs, who->pair, cost_us(t->account));
    give_back(&t->addresses, who->address, cost_us(t->address));
    give_back(&t->accounts, who->account, cost_us(t->account));
}

void throttle_good(struct throttle *t, const struct throttle_attempt *who, uint64_t now_ms)
{
    throttle_void(t, who, now_ms);
    take(&t->known, who->pair)->at = now_ms * 1000;
}

enum err throttle_address(struct throttle *t, str address, uint64_t now_ms, uint64_t *retry_ms)
{
    uint64_t key = throttle_attempt(STR(""), STR(""), address).address;
    uint64_t wait = wait_us(&t->addresses, key, now_ms * 1000, cost_us(t->address), t->address.count);
    if (!wait) return ERR_OK;
    *retry_ms = ms_of(wait);
    return ERR_LIMIT;
}

void throttle_address_failed(struct throttle *t, str address, uint64_t now_ms)
{
    charge(&t->addresses, throttle_attempt(STR(""), STR(""), address).address, now_ms * 1000, cost_us(t->address));
}
