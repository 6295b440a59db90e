#include "serve/why.h"

static str text(const struct decision_record *r, enum decision_text which)
{
    return decision_record_text(r, which);
}

static str or_none(str s)
{
    return s.n ? s : STR("none");
}

/* "roles buyer, clerk and permissions orders:pay", or "no role or permission". */
static void put_grantors(const struct control_facts *f, struct buf *out)
{
    if (!f->roles.n && !f->permissions.n) buf_puts(out, "no role or permission");
    if (f->roles.n) {
        buf_puts(out, str_has(f->roles, ',') ? "roles " : "role ");
        buf_put(out, f->roles);
    }
    if (f->roles.n && f->permissions.n) buf_puts(out, " and ");
    if (f->permissions.n) {
        buf_puts(out, str_has(f->permissions, ',') ? "permissions " : "permission ");
        buf_put(out, f->permissions);
    }
}

static void rule_grants(const struct decision_record *r, const struct control_facts *f, struct buf *out)
{
    buf_puts(out, " is granted to ");
    put_grantors(f, out);
    buf_puts(out, "; this token carries ");
    buf_put(out, or_none(text(r, DECISION_ROLES)));
    if (decision_record_cut(r, DECISION_ROLES)) buf_puts(out, " …");
}

static void rule_products(const struct decision_record *r, const struct control_facts *f, struct buf *out)
{
    buf_puts(out, " may be performed by ");
    if (f->products.n) {
        buf_puts(out, str_has(f->products, ',') ? "products " : "product ");
        buf_put(out, f->products);
    } else {
        buf_puts(out, "no product");
    }
    buf_puts(out, "; this request is of product ");
    buf_put(out, or_none(text(r, DECISION_PRODUCT)));
}

static void rule_accept(const struct control_facts *f, struct buf *out)
{
    buf_puts(out, " accepts ");
    buf_put(out, or_none(f->accept));
}

void why_rule(const struct decision_record *r, const struct control_facts *f, struct buf *out)
{
    enum reason reason = (enum reason)r->reason;
    if (reason == REASON_NO_ROUTE) {
        buf_puts(out, "no action matches ");
        buf_put(out, text(r, DECISION_METHOD));
        buf_putc(out, ' ');
        buf_put(out, text(r, DECISION_PATH));
        return;
    }
    if (reason == REASON_RATE_LIMITED || reason == REASON_QUOTA_EXHAUSTED) {
        buf_puts(out, "limit ");
        buf_put(out, text(r, DECISION_FAULT));
        return;
    }
    if (!f || !r->len[DECISION_ACTION]) return;
    size_t before = out->n;
    buf_puts(out, "action ");
    buf_put(out, text(r, DECISION_ACTION));
    if (reason == REASON_GRANTED || reason == REASON_ACTION_NOT_GRANTED) {
        rule_grants(r, f, out);
    } else if (reason == REASON_PRODUCT_NOT_GRANTED || reason == REASON_GRANTED_APIKEY) {
        rule_products(r, f, out);
    } else if (reason == REASON_PUBLIC) {
        buf_puts(out, " is public");
    } else if (reason == REASON_METHOD_NOT_ALLOWED) {
        buf_puts(out, " is declared as ");
        buf_put(out, f->match);
    } else if (reason_info(reason)->status == 401) {
        rule_accept(f, out);
    } else {
        out->n = before; /* the configuration's rules had no part in it */
    }
}

void why_remedy(const struct decision_record *r, struct buf *out)
{
    static const struct {
        str mark;
        enum decision_text which;
        const char *otherwise;
    } marks[] = {{STR_INIT("{action}"), DECISION_ACTION, "ACTION"},
                 {STR_INIT("{product}"), DECISION_PRODUCT, "PRODUCT"},
                 {STR_INIT("{method}"), DECISION_METHOD, "METHOD"},
                 {STR_INIT("{path}"), DECISION_PATH, "/PATH"},
                 {STR_INIT("{upstream}"), DECISION_UPSTREAM, "its configured address"}};
    str rest = str_of(reason_info((enum reason)r->reason)->remedy);
    while (rest.n) {
        size_t i = 0;
        while (i < ARRAY_LEN(marks) && !str_starts(rest, marks[i].mark)) i++;
        if (i == ARRAY_LEN(marks)) {
            buf_putc(out, *rest.p);
            rest = str_from(rest, 1);
            continue;
        }
        str value = text(r, marks[i].which);
        buf_put(out, value.n ? value : str_of(marks[i].otherwise));
        rest = str_from(rest, marks[i].mark.n);
    }
}

static void member(struct buf *out, const char *name, str value)
{
    buf_puts(out, name);
    buf_putc(out, '"');
    buf_put_json(out, value);
    buf_putc(out, '"');
}

void why_json(const struct decision_record *r, const struct control_facts *f, uint64_t generation_now, struct buf *out)
{
    const struct reason_info *info = reason_info((enum reason)r->reason);
    struct buf words;
    buf_init(&words, 8192);
    buf_puts(out, "{\"decision\":");
    decision_record_json(r, out);
    member(out, ",\"title\":", str_of(info->title));
    member(out, ",\"explanation\":", str_of(info->explain));
    why_rule(r, f, &words);
    member(out, ",\"rule\":", buf_str(&words));
    bool bad = words.bad;
    buf_clear(&words);
    why_remedy(r, &words);
    member(out, ",\"remedy\":", buf_str(&words));
    out->bad = out->bad || bad || words.bad;
    buf_free(&words);
    if (f) {
        member(out, ",\"action\":{\"match\":", f->match);
        member(out, ",\"accept\":", f->accept);
        member(out, ",\"service\":", f->service);
        member(out, ",\"roles\":", f->roles);
        member(out, ",\"permissions\":", f->permissions);
        member(out, ",\"products\":", f->products);
        buf_puts(out, "},\"generation\":");
    } else {
        buf_puts(out, ",\"action\":null,\"generation\":");
    }
    buf_put_u64(out, generation_now);
    if (!generation_now) buf_puts(out, ",\"not_told\":[\"roles\",\"generation\",\"rule\",\"action\"]");
    buf_puts(out, "}\n");
}
