/* What was used: the sums of all processes (store/usage_record.h) between two times, by whatever is asked for. */
#include "services/admin_private.h"

#include "base/map.h"
#include "store/usage_record.h"

#include <stdlib.h>

#define CHAINS      4096
#define GROUPS_MAX  5000 /* of one answer */
#define PAGE        100  /* entries of the store */
#define PARSE_ARENA (256u << 10)

enum { BY_HOUR = 0, BY_PRODUCT, BY_ACTION, BY_CALLER, BYS };
static const char *const by_names[BYS] = {"hour", "product", "action", "caller"};

struct group {
    struct group *next;
    uint64_t hash;
    int64_t hour_s;
    str names[BYS]; /* of BY_PRODUCT…: empty where not asked for */
    uint64_t counts[USAGE_COUNTS];
};

struct usage_call {
    int64_t from_s, to_s;
    bool by[BYS];
    struct record_key from, to;
    str at, end;
    char *parse_first;
    uint64_t unreadable;
    uint32_t n;
    uint64_t total[USAGE_COUNTS];
    struct group *chains[CHAINS];
};

/* --- what is asked --- */

static bool take_time(struct admin_call *c, const char *name, int64_t otherwise, int64_t *out)
{
    str s = admin_query(c, name);
    uint64_t v = 0;
    *out = otherwise;
    if (!s.p) return true;
    if (str_to_u64(s, &v) != ERR_OK || v > UINT64_C(9999999999)) {
        admin_refuse(c, ADMIN_INPUT, name, NULL, "is a number of seconds since 1970");
        return false;
    }
    *out = (int64_t)v;
    return true;
}

static bool take_by(struct admin_call *c, struct usage_call *u)
{
    str rest = admin_query(c, "by");
    if (!rest.p) rest = STR("product");
    while (rest.n) {
        str word = str_cut(&rest, ',');
        size_t i = 0;
        while (i < BYS && !str_eq(word, str_of(by_names[i]))) i++;
        if (i == BYS) {
            admin_refuse(c, ADMIN_INPUT, "by", "hour, product, action, caller, or several of them with commas",
                         "'%.*s' is nothing that usage is told by", word.n > 40 ? 40 : (int)word.n, word.p);
            return false;
        }
        u->by[i] = true;
    }
    return true;
}

/* --- adding up --- */

static str kept(struct admin_call *c, str s)
{
    return s.n ? arena_copy(&c->mem, s) : STR("");
}

/* NULL: memory, or too many. */
static struct group *group_of(struct admin_call *c, struct usage_call *u, int64_t hour_s, const struct usage_row *row)
{
    const str names[BYS] = {STR(""), u->by[BY_PRODUCT] ? row->product : STR(""),
                            u->by[BY_ACTION] ? row->action : STR(""), u->by[BY_CALLER] ? row->caller : STR("")};
    if (!u->by[BY_HOUR]) hour_s = 0;
    const uint64_t parts[4] = {(uint64_t)hour_s, map_hash(names[1]), map_hash(names[2]), map_hash(names[3])};
    uint64_t hash = map_hash(str_make((const char *)parts, sizeof parts));
    struct group **chain = &u->chains[hash % CHAINS];
    for (struct group *g = *chain; g; g = g->next)
        if (g->hash == hash && g->hour_s == hour_s && str_eq(g->names[1], names[1]) && str_eq(g->names[2], names[2]) &&
            str_eq(g->names[3], names[3]))
            return g;
    struct group *g = u->n < GROUPS_MAX ? arena_zalloc(&c->mem, sizeof *g) : NULL;
    if (!g) return NULL;
    g->hash = hash;
    g->hour_s = hour_s;
    for (int i = BY_PRODUCT; i < BYS; i++) {
        g->names[i] = kept(c, names[i]);
        if (!g->names[i].p) return NULL;
    }
    g->next = *chain;
    *chain = g;
    u->n++;
    return g;
}

static bool add_entry(struct admin_call *c, struct usage_call *u, const struct store_entry *e)
{
    struct usage_row rows[USAGE_ROWS_MAX];
    struct arena mem;
    uint32_t n = 0;
    int64_t hour_s;
    bool room = true;
    arena_init(&mem, u->parse_first, PARSE_ARENA, 1 << 20);
    if (usage_record_hour_of(e->key, &hour_s) != ERR_OK || usage_record_read(e->value, &mem, rows, &n) != ERR_OK)
        u->unreadable++;
    for (uint32_t i = 0; i < n && room; i++) {
        struct group *g = group_of(c, u, hour_s, &rows[i]);
        room = g != NULL;
        for (int k = 0; k < USAGE_COUNTS && g; k++) {
            g->counts[k] += rows[i].counts[k];
            u->total[k] += rows[i].counts[k];
        }
    }
    arena_reset(&mem);
    return room;
}

/* --- the answer --- */

static int by_order(const void *a, const void *b)
{
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    if (x->hour_s != y->hour_s) return x->hour_s < y->hour_s ? -1 : 1;
    for (int i = BY_PRODUCT; i < BYS; i++) {
        int order = str_cmp(x->names[i], y->names[i]);
        if (order) return order;
    }
    return 0;
}

static void put_counts(struct buf *b, const uint64_t counts[USAGE_COUNTS])
{
    for (int k = 0; k < USAGE_COUNTS; k++) {
        buf_puts(b, k ? ",\"" : "\"");
        buf_puts(b, usage_count_names[k]);
        buf_puts(b, "\":");
        buf_put_u64(b, counts[k]);
    }
}

static void put_group(struct buf *b, const struct usage_call *u, const struct group *g)
{
    buf_putc(b, '{');
    if (u->by[BY_HOUR]) buf_printf(b, "\"hour_s\":%lld,", (long long)g->hour_s);
    for (int i = BY_PRODUCT; i < BYS; i++) {
        if (!u->by[i]) continue;
        buf_printf(b, "\"%s\":\"", by_names[i]);
        buf_put_json(b, g->names[i]);
        buf_puts(b, "\",");
    }
    put_counts(b, g->counts);
    buf_putc(b, '}');
}

static void answer(struct admin_call *c)
{
    struct usage_call *u = c->own;
    struct group **all = arena_array(&c->mem, u->n + 1, sizeof(void *));
    uint32_t n = 0;
    if (!all) {
        admin_no_memory(c);
        return;
    }
    for (size_t i = 0; i < CHAINS; i++)
        for (struct group *g = u->chains[i]; g; g = g->next) all[n++] = g;
    qsort(all, n, sizeof *all, by_order);
    buf_printf(&c->answer, "{\"from_s\":%lld,\"to_s\":%lld,\"rows\":[", (long long)u->from_s, (long long)u->to_s);
    for (uint32_t i = 0; i < n; i++) {
        if (i) buf_putc(&c->answer, ',');
        put_group(&c->answer, u, all[i]);
    }
    buf_puts(&c->answer, "],\"total\":{");
    put_counts(&c->answer, u->total);
    buf_printf(&c->answer, "},\"unreadable\":%llu}\n", (unsigned long long)u->unreadable);
    admin_done(c, 200);
}

/* --- reading on --- */

static void page_read(struct admin_call *c);

static void read_page(struct admin_call *c)
{
    struct usage_call *u = c->own;
    struct store_job job = {.kind = STORE_RANGE, .space = STORE_AUDIT, .from = u->at, .to = u->end, .limit = PAGE};
    admin_submit(c, &job, page_read);
}

static void page_read(struct admin_call *c)
{
    struct usage_call *u = c->own;
    if (admin_store_failed(c)) return;
    for (uint32_t i = 0; i < c->job.n_entries; i++) {
        if (add_entry(c, u, &c->job.entries[i])) continue;
        admin_refuse(c, ADMIN_INPUT, "by", "ask for less time, or by fewer things", "that is more than %d rows",
                     GROUPS_MAX);
        return;
    }
    if (!c->job.more || !c->job.n_entries) {
        answer(c);
        return;
    }
    str last = c->job.entries[c->job.n_entries - 1].key;
    if (last.n >= sizeof u->from.p - 1) {
        admin_refuse(c, ADMIN_FAILED, NULL, NULL, "the store has a key that is none of ours");
        return;
    }
    memcpy(u->from.p, last.p, last.n); /* \x01 is below whatever a key goes on with */
    u->from.p[last.n] = '\x01';
    u->at = str_make(u->from.p, last.n + 1);
    read_page(c);
}

void admin_usage(struct admin_call *c)
{
    if (c->method != METHOD_GET || c->n_path != 1) {
        admin_refuse(c, c->n_path != 1 ? ADMIN_UNKNOWN : ADMIN_METHOD, NULL, NULL, "usage is read only: GET /v1/usage");
        return;
    }
    struct usage_call *u = arena_zalloc(&c->mem, sizeof *u);
    if (u) u->parse_first = arena_alloc(&c->mem, PARSE_ARENA);
    if (!u || !u->parse_first) {
        admin_no_memory(c);
        return;
    }
    c->own = u;
    int64_t now = admin_now_s(c);
    if (!take_time(c, "to", now + 1, &u->to_s) || !take_time(c, "from", now - 86400, &u->from_s) || !take_by(c, u))
        return;
    u->from_s = u->from_s / USAGE_HOUR_S * USAGE_HOUR_S; /* whole hours, which is what is kept */
    u->to_s = (u->to_s + USAGE_HOUR_S - 1) / USAGE_HOUR_S * USAGE_HOUR_S;
    if (u->from_s < 0 || u->to_s <= u->from_s) {
        admin_refuse(c, ADMIN_INPUT, "from", NULL, "is to be before `to`");
        return;
    }
    u->at = usage_record_hour(&u->from, u->from_s);
    u->end = usage_record_hour(&u->to, u->to_s);
    if (!u->at.n || !u->end.n)
        admin_refuse(c, ADMIN_INPUT, "to", NULL, "is too far away");
    else
        read_page(c);
}
