/* Products made by the command line, and the apisecrets of all products. */
#include "services/admin_private.h"

#include "crypto/digest.h"
#include "crypto/secret.h"

enum { KEYS_A_STEP = 100 };

struct product {
    str name, key;
    struct record_key room;
    struct product_record record;
    struct store_op op;
    /* removing */
    uint32_t removed; /* API keys */
    str behind;
    struct store_op ops[KEYS_A_STEP];
    bool last_page;
    struct record_key secret_room;
    struct store_op ends[2];
};

static bool begin(struct admin_call *c, str name, struct product **out)
{
    struct product *x = arena_zalloc(&c->mem, sizeof *x);
    if (!x) {
        admin_no_memory(c);
        return false;
    }
    if (!record_name_ok(name)) {
        admin_refuse(c, ADMIN_INPUT, "name", NULL, "a product is a letter, then up to 63 letters, digits, '_' or '-'");
        return false;
    }
    x->name = name;
    x->key = product_record_key(&x->room, name);
    c->own = x;
    *out = x;
    return true;
}

/* Of the file: the store may neither make nor remove it. */
static const struct snapshot_product *of_the_file(const struct admin_call *c, str name)
{
    const struct snapshot *s = admin_snapshot(c);
    const struct snapshot_product *p = s ? snapshot_product(s, name) : NULL;
    return p && !p->stored ? p : NULL;
}

/* --- list and show --- */

static void put_stored(struct buf *b, str name, const struct product_record *p)
{
    record_begin(b);
    record_put_str(b, "name", name);
    record_put_str(b, "from", STR("store"));
    record_put_str(b, "auth", str_of(product_record_auth_name(p->auth)));
    record_put_str(b, "login", str_of(product_record_login_name(p->login)));
    record_put_str(b, "users", p->users);
    record_put_str(b, "secret", str_of(product_record_proof_name(p->proof)));
    record_put_list(b, "may", p->may, p->n_may);
    record_put_u64(b, "created_ms", p->created_ms);
    buf_putc(b, '}');
}

static void put_file(struct buf *b, const struct snapshot_product *p)
{
    record_begin(b);
    record_put_str(b, "name", p->name);
    record_put_str(b, "from", STR("configuration"));
    record_put_str(b, "login", p->login == LOGIN_PASSWORD ? STR("password") : STR("none"));
    record_put_str(b, "users", p->users);
    record_put_str(b, "secret",
                   p->proof == PROOF_BASIC       ? STR("basic")
                   : p->proof == PROOF_SIGNATURE ? STR("signature")
                                                 : STR("none"));
    buf_putc(b, '}');
}

static void comma(struct buf *b)
{
    if (b->n && b->p[b->n - 1] == '}') buf_putc(b, ',');
}

static void listed(struct admin_call *c)
{
    struct buf *b = &c->answer;
    const struct snapshot *s = admin_snapshot(c);
    if (admin_store_failed(c)) return;
    buf_puts(b, "{\"products\":[");
    /* The first page begins with those of the file. */
    for (uint32_t i = 0; s && !admin_query(c, "after").n && i < s->n_products; i++) {
        if (s->products[i].stored) continue;
        comma(b);
        put_file(b, &s->products[i]);
    }
    str last = STR("");
    for (uint32_t i = 0; i < c->job.n_entries; i++) {
        char first[4096];
        struct arena mem;
        struct product_record p;
        str name;
        arena_init(&mem, first, sizeof first, RECORD_ARENA);
        if (product_record_key_read(c->job.entries[i].key, &name) == ERR_OK &&
            product_record_read(c->job.entries[i].value, &mem, &p) == ERR_OK) {
            comma(b);
            put_stored(b, name, &p);
            last = name;
        }
        arena_reset(&mem);
    }
    buf_puts(b, "]");
    if (c->job.more) record_put_str(b, "after", last);
    buf_puts(b, "}\n");
    admin_done(c, 200);
}

static void list(struct admin_call *c)
{
    uint32_t limit;
    struct product *x;
    str after = admin_query(c, "after"), behind = STR("");
    if (after.n) {
        if (!begin(c, after, &x)) return;
        behind = x->key;
    }
    if (admin_limit(c, &limit)) admin_page(c, STORE_CONTROL, PRODUCT_RECORD_PREFIX, behind, limit, listed);
}

static void no_product(struct admin_call *c, str name)
{
    admin_refuse(c, ADMIN_UNKNOWN, "name", "`sallyport product list` lists them", "there is no product '%.*s'",
                 STR_ARG(name));
}

static void shown(struct admin_call *c)
{
    struct product *x = c->own;
    if (admin_store_failed(c)) return;
    if (!c->job.entries[0].version) {
        no_product(c, x->name);
    } else if (product_record_read(c->job.entries[0].value, &c->mem, &x->record) != ERR_OK) {
        admin_refuse(c, ADMIN_FAILED, "name", "remove it and add it again", "its record cannot be read");
    } else {
        put_stored(&c->answer, x->name, &x->record);
        buf_putc(&c->answer, '\n');
        admin_done(c, 200);
    }
}

static void show(struct admin_call *c)
{
    struct product *x;
    if (!begin(c, c->path[1], &x)) return;
    const struct snapshot_product *p = of_the_file(c, x->name);
    if (p) {
        put_file(&c->answer, p);
        buf_putc(&c->answer, '\n');
        admin_done(c, 200);
    } else {
        admin_get(c, STORE_CONTROL, &x->key, 1, shown);
    }
}

/* --- add --- */

static void add_answered(struct admin_call *c)
{
    struct product *x = c->own;
    put_stored(&c->answer, x->name, &x->record);
    buf_putc(&c->answer, '\n');
    admin_done(c, 201);
}

static void added(struct admin_call *c)
{
    struct product *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.err == ERR_CONFLICT)
        admin_refuse(c, ADMIN_EXISTS, "name", "`sallyport product remove` takes it away", "there is a product '%.*s'",
                     STR_ARG(x->name));
    else
        admin_record(c, &(struct audit_record){.event = AUDIT_PRODUCT_ADDED, .product = x->name}, add_answered);
}

static bool one_of(struct admin_call *c, const char *name, str said, const char *const *words, int *out)
{
    if (!said.n) return true;
    for (int i = 0; words[i]; i++) {
        if (!str_eq(said, str_of(words[i]))) continue;
        *out = i;
        return true;
    }
    admin_refuse(c, ADMIN_INPUT, name, NULL, "is none of %s, %s%s%s", words[0], words[1], words[2] ? ", " : "",
                 words[2] ? words[2] : "");
    return false;
}

static bool take_words(struct admin_call *c, struct product *x)
{
    static const char *const auths[] = {"apikey", "token", NULL}, *const logins[] = {"none", "password", NULL},
                             *const proofs[] = {"none", "basic", "signature", NULL};
    str auth = STR(""), login = STR(""), proof = STR(""), users = STR("");
    int a = 0, l = 0, p = 0;
    if (!admin_text(c, "auth", false, &auth) || !admin_text(c, "login", false, &login) ||
        !admin_text(c, "secret", false, &proof) || !admin_text(c, "users", false, &users) ||
        !one_of(c, "auth", auth, auths, &a) || !one_of(c, "login", login, logins, &l) ||
        !one_of(c, "secret", proof, proofs, &p))
        return false;
    x->record.auth = (enum product_record_auth)a;
    x->record.login = (enum product_record_login)l;
    x->record.proof = (enum product_record_proof)p;
    if (x->record.login == PRODUCT_RECORD_LOGIN_NONE && (users.n || p)) {
        admin_refuse(c, ADMIN_INPUT, users.n ? "users" : "secret", "--login password",
                     "only products with a login have it");
        return false;
    }
    if (x->record.login == PRODUCT_RECORD_LOGIN_PASSWORD) return admin_base(c, users, &x->record.users);
    return true;
}

static bool actions_known(struct admin_call *c, const struct product *x)
{
    const struct snapshot *s = admin_snapshot(c);
    for (uint32_t i = 0; s && i < x->record.n_may; i++) {
        if (snapshot_action(s, x->record.may[i])) continue;
        admin_refuse(c, ADMIN_INPUT, "may", "`sallyport lint` lists the actions",
                     "the configuration has no action '%.*s'", STR_ARG(x->record.may[i]));
        return false;
    }
    return true;
}

static void add(struct admin_call *c)
{
    static const char *const names[] = {"name", "auth", "login", "users", "secret", "may", NULL};
    struct product *x;
    struct buf b;
    str name = STR("");
    if (!admin_members(c, names) || !admin_text(c, "name", true, &name) || !begin(c, name, &x) || !take_words(c, x) ||
        !admin_list(c, "may", record_grant_ok, "no action", &x->record.may, &x->record.n_may) || !actions_known(c, x))
        return;
    if (of_the_file(c, name)) {
        admin_refuse(c, ADMIN_EXISTS, "name", "change it there and `sallyport reload`",
                     "the configuration has a product '%.*s'", STR_ARG(name));
        return;
    }
    x->record.created_ms = c->now_ms;
    buf_init(&b, RECORD_MAX);
    enum err e = product_record_put(&b, &x->record);
    x->op = (struct store_op){.verb = STORE_PUT, .condition = STORE_ABSENT, .key = x->key};
    if (e == ERR_OK) x->op.value = arena_copy(&c->mem, buf_str(&b));
    buf_free(&b);
    if (e == ERR_OK && x->op.value.p)
        admin_batch(c, STORE_CONTROL, &x->op, 1, added);
    else if (e == ERR_LIMIT)
        admin_refuse(c, ADMIN_INPUT, "may", NULL, "the product's record becomes too long");
    else
        admin_no_memory(c);
}

/* --- remove: its keys, page by page, then its secret and itself; then nobody has it any more --- */

static void removed_answered(struct admin_call *c)
{
    struct product *x = c->own;
    struct buf *b = &c->answer;
    record_begin(b);
    record_put_str(b, "name", x->name);
    record_put_u64(b, "apikeys", x->removed);
    admin_put_confirmation(c);
    buf_puts(b, "}\n");
    admin_done(c, 200);
}

static void removed_confirmed(struct admin_call *c)
{
    struct product *x = c->own;
    admin_record(c, &(struct audit_record){.event = AUDIT_PRODUCT_REMOVED, .product = x->name, .count = x->removed},
                 removed_answered);
}

static void removed(struct admin_call *c)
{
    struct product *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.err == ERR_CONFLICT) {
        no_product(c, x->name);
        return;
    }
    c->after = removed_confirmed;
    struct revocation_target t = {.kind = REVOCATION_PRODUCT, .value = x->name};
    admin_revoke(c, &t, STR("product removed"), admin_revocation_end_s(c));
}

static void remove_itself(struct admin_call *c)
{
    struct product *x = c->own;
    x->ends[0] = (struct store_op){.verb = STORE_DELETE, .condition = STORE_PRESENT, .key = x->key};
    x->ends[1] = (struct store_op){.verb = STORE_DELETE, .key = product_secret_key(&x->secret_room, x->name)};
    admin_batch(c, STORE_CONTROL, x->ends, 2, removed);
}

static void next_keys(struct admin_call *c);

static void keys_removed(struct admin_call *c)
{
    struct product *x = c->own;
    if (admin_store_failed(c)) return;
    if (x->last_page)
        remove_itself(c);
    else
        next_keys(c);
}

static void keys_found(struct admin_call *c)
{
    struct product *x = c->own;
    uint32_t n = 0;
    if (admin_store_failed(c)) return;
    x->last_page = !c->job.more;
    for (uint32_t i = 0; i < c->job.n_entries; i++) {
        char first[2048];
        struct arena mem;
        struct apikey_record k;
        const struct store_entry *e = &c->job.entries[i];
        arena_init(&mem, first, sizeof first, RECORD_ARENA);
        bool ours = apikey_record_read(e->value, &mem, &k) == ERR_OK && str_eq(k.product, x->name);
        arena_reset(&mem);
        bool last = i + 1 == c->job.n_entries;
        if (!ours && !last) continue;
        str key = arena_copy(&c->mem, e->key);
        if (!key.p) {
            admin_no_memory(c);
            return;
        }
        if (last) x->behind = key;
        if (ours) x->ops[n++] = (struct store_op){.verb = STORE_DELETE, .key = key};
    }
    x->removed += n;
    if (n)
        admin_batch(c, STORE_CONTROL, x->ops, n, keys_removed);
    else if (x->last_page)
        remove_itself(c);
    else
        next_keys(c);
}

static void next_keys(struct admin_call *c)
{
    struct product *x = c->own;
    admin_page(c, STORE_CONTROL, APIKEY_RECORD_PREFIX, x->behind, KEYS_A_STEP, keys_found);
}

static void remove_looked_up(struct admin_call *c)
{
    struct product *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.entries[0].version)
        next_keys(c);
    else
        no_product(c, x->name);
}

static void remove_product(struct admin_call *c)
{
    struct product *x;
    if (!begin(c, c->path[1], &x) || !admin_confirm_options(c)) return;
    if (of_the_file(c, x->name))
        admin_refuse(c, ADMIN_INPUT, "name", "take it out there and `sallyport reload`",
                     "the product '%.*s' is the configuration's", STR_ARG(x->name));
    else
        admin_get(c, STORE_CONTROL, &x->key, 1, remove_looked_up);
}

void admin_products(struct admin_call *c)
{
    bool get = c->method == METHOD_GET;
    if (c->n_path == 1 && get)
        list(c);
    else if (c->n_path == 1 && c->method == METHOD_POST)
        add(c);
    else if (c->n_path == 2 && get)
        show(c);
    else if (c->n_path == 2 && c->method == METHOD_DELETE)
        remove_product(c);
    else
        admin_refuse(c, ADMIN_METHOD, NULL, NULL, "there is no such thing to ask of products");
}

/* --- apisecrets --- */

struct secret_call {
    str product, key, product_key;
    struct record_key room, product_room;
    struct store_op op;
    char text[PRODUCT_SECRET_NEW_LEN];
    bool confirms;
};

static void secret_answered(struct admin_call *c)
{
    struct secret_call *x = c->own;
    struct buf *b = &c->answer;
    record_begin(b);
    record_put_str(b, "product", x->product);
    if (x->op.verb == STORE_PUT && !x->confirms) record_put_str(b, "secret", str_make(x->text, sizeof x->text));
    buf_puts(b, "}\n");
    secret_wipe(x->text, sizeof x->text);
    admin_done(c, x->op.verb == STORE_PUT && !x->confirms ? 201 : 200);
}

static void secret_written(struct admin_call *c)
{
    struct secret_call *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.err == ERR_CONFLICT) {
        admin_refuse(c, ADMIN_UNKNOWN, "product", NULL, "the product '%.*s' has no apisecret", STR_ARG(x->product));
        return;
    }
    enum audit_kind event = x->op.verb == STORE_PUT ? AUDIT_SECRET_SET : AUDIT_SECRET_REMOVED;
    admin_record(c,
                 &(struct audit_record){.event = event,
                                        .product = x->product,
                                        .reason = x->confirms ? STR("confirmed") : STR("")},
                 secret_answered);
}

static void secret_write(struct admin_call *c)
{
    struct secret_call *x = c->own;
    struct product_secret_record r = {.created_ms = c->now_ms};
    struct buf sealed, value;
    buf_init(&sealed, RECORD_MAX);
    buf_init(&value, RECORD_MAX);
    str place = arena_printf(&c->mem, "control/%.*s", STR_ARG(x->key));
    str text = str_make(x->text, sizeof x->text);
    product_secret_generate(x->text);
    sha256(text, r.sha256);
    enum err e = place.p ? seal_put(c->admin->o.seal, place, text, &sealed) : ERR_NO_MEMORY;
    r.mac_key = buf_str(&sealed);
    if (e == ERR_OK) e = product_secret_put(&value, &r);
    x->op = (struct store_op){.verb = STORE_PUT, .key = x->key};
    if (e == ERR_OK) x->op.value = arena_copy(&c->mem, buf_str(&value));
    buf_free(&sealed);
    buf_free(&value);
    if (e == ERR_OK && x->op.value.p)
        admin_batch(c, STORE_CONTROL, &x->op, 1, secret_written);
    else
        admin_no_memory(c);
}

static void secret_product_looked_up(struct admin_call *c)
{
    struct secret_call *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.entries[0].version)
        secret_write(c);
    else
        no_product(c, x->product);
}

static bool secret_begin(struct admin_call *c, str product, struct secret_call **out)
{
    struct secret_call *x = arena_zalloc(&c->mem, sizeof *x);
    if (!x) {
        admin_no_memory(c);
        return false;
    }
    if (!record_name_ok(product)) {
        admin_refuse(c, ADMIN_INPUT, "product", NULL, "is no product's name");
        return false;
    }
    x->product = product;
    x->key = product_secret_key(&x->room, product);
    c->own = x;
    *out = x;
    return true;
}

static void secret_make(struct admin_call *c)
{
    static const char *const names[] = {"product", NULL};
    struct secret_call *x;
    str product = STR("");
    if (!admin_members(c, names) || !admin_text(c, "product", true, &product) || !secret_begin(c, product, &x)) return;
    if (!c->admin->o.seal) {
        admin_refuse(c, ADMIN_ELSEWHERE, NULL, "ask the process that runs the Authentication Service",
                     "this process has no sealing key");
    } else if (of_the_file(c, product)) {
        secret_write(c);
    } else {
        x->product_key = product_record_key(&x->product_room, product);
        admin_get(c, STORE_CONTROL, &x->product_key, 1, secret_product_looked_up);
    }
}

static void secret_remove(struct admin_call *c)
{
    struct secret_call *x;
    if (!secret_begin(c, c->path[1], &x)) return;
    x->op = (struct store_op){.verb = STORE_DELETE, .condition = STORE_PRESENT, .key = x->key};
    admin_batch(c, STORE_CONTROL, &x->op, 1, secret_written);
}

static void confirm_read(struct admin_call *c)
{
    struct secret_call *x = c->own;
    struct product_secret_record r;
    struct buf value;
    if (admin_store_failed(c)) return;
    const struct store_entry *e = &c->job.entries[0];
    if (!e->version || product_secret_read(e->value, &c->mem, &r) != ERR_OK) {
        admin_refuse(c, ADMIN_UNKNOWN, "product", NULL, "the product '%.*s' has no apisecret", STR_ARG(x->product));
        return;
    }
    r.disabled = STR("");
    buf_init(&value, RECORD_MAX);
    enum err err = product_secret_put(&value, &r);
    x->op = (struct store_op){.verb = STORE_PUT, .condition = STORE_VERSION, .version = e->version, .key = x->key};
    if (err == ERR_OK) x->op.value = arena_copy(&c->mem, buf_str(&value));
    buf_free(&value);
    if (err == ERR_OK && x->op.value.p)
        admin_batch(c, STORE_CONTROL, &x->op, 1, secret_written);
    else
        admin_no_memory(c);
}

/* One that a restored backup brought back is good again. */
static void secret_confirm(struct admin_call *c)
{
    struct secret_call *x;
    if (!secret_begin(c, c->path[1], &x)) return;
    x->confirms = true;
    admin_get(c, STORE_CONTROL, &x->key, 1, confirm_read);
}

void admin_secrets(struct admin_call *c)
{
    if (c->n_path == 1 && c->method == METHOD_POST)
        secret_make(c);
    else if (c->n_path == 3 && c->method == METHOD_POST && str_eq(c->path[2], STR("confirm")))
        secret_confirm(c);
    else if (c->n_path == 2 && c->method == METHOD_DELETE)
        secret_remove(c);
    else
        admin_refuse(c, ADMIN_METHOD, NULL, NULL, "secrets are made and removed, never shown again");
}
