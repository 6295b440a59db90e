#include "serve/problem.h"

#include "base/log_line.h"

static void member(struct log_line *l, const char *name, str value, size_t max)
{
    log_line_lit(l, ",\"");
    log_line_raw(l, str_of(name));
    log_line_lit(l, "\":\"");
    log_line_json(l, value, max, false);
    log_line_lit(l, "\"");
}

static bool challenges_accepted(enum reason r)
{
    return reason_info(r)->challenge == CHALLENGE_ACCEPTED;
}

size_t problem_body(const struct problem *p, char *out, size_t cap)
{
    /* The bounds of the values below add up to less than PROBLEM_MAX: a value may be cut, the document never. */
    if (cap < PROBLEM_MAX) return 0;
    const struct reason_info *info = reason_info(p->reason);
    struct log_line l = {.p = out, .cap = cap};
    log_line_lit(&l, "{\"type\":\"urn:sallyport:problem:");
    log_line_raw(&l, str_of(info->code));
    log_line_lit(&l, "\"");
    member(&l, "title", str_of(info->title), 128);
    log_line_lit(&l, ",\"status\":");
    log_line_u64(&l, info->status ? info->status : 500);
    member(&l, "code", str_of(info->code), 64);
    if (p->decision_id.n) member(&l, "decision_id", p->decision_id, 64);
    if (p->gate) {
        log_line_lit(&l, ",\"gate\":");
        log_line_u64(&l, p->gate);
    }
    if (challenges_accepted(p->reason) && p->accepted & SCHEME_CERTIFICATE)
        log_line_lit(&l, ",\"detail\":\"A client certificate (mutual TLS) is accepted here.\"");
    else if (p->dev && p->detail.n)
        member(&l, "detail", str_first(p->detail, 256), 512);
    if (p->dev && p->rule.n) member(&l, "rule", str_first(p->rule, 512), 700);
    log_line_lit(&l, "}\n");
    return l.n;
}

static void challenge(struct log_line *l, str scheme, str error, str code)
{
    if (l->n) log_line_lit(l, ", ");
    log_line_raw(l, scheme);
    log_line_lit(l, " realm=\"sallyport\"");
    if (error.n) {
        log_line_lit(l, ", error=\"");
        log_line_raw(l, error);
        log_line_lit(l, "\"");
    }
    log_line_lit(l, ", reason=\"");
    log_line_raw(l, code);
    log_line_lit(l, "\"");
}

/* Never nothing (RFC 9110 §15.5.2): where a certificate alone would do, there is no registered word for it. */
static void challenge_accepted(struct log_line *l, uint8_t accepted, str code)
{
    if (!accepted) accepted = SCHEME_BEARER | SCHEME_APIKEY;
    if (accepted & SCHEME_BEARER) challenge(l, STR("Bearer"), STR_NONE, code);
    if (accepted & SCHEME_APIKEY) challenge(l, STR("ApiKey"), STR_NONE, code);
    if (accepted & SCHEME_SIGNATURE) challenge(l, STR("Signature"), STR_NONE, code);
    if (accepted == SCHEME_CERTIFICATE) challenge(l, STR("Certificate"), STR_NONE, code);
}

size_t problem_challenge(enum reason r, uint8_t accepted, char *out, size_t cap)
{
    const struct reason_info *info = reason_info(r);
    struct log_line l = {.p = out, .cap = cap};
    str code = str_of(info->code);
    switch (info->challenge) {
    case CHALLENGE_NONE: break;
    case CHALLENGE_BEARER: challenge(&l, STR("Bearer"), STR_NONE, code); break;
    case CHALLENGE_INVALID_TOKEN: challenge(&l, STR("Bearer"), STR("invalid_token"), code); break;
    case CHALLENGE_INSUFFICIENT_SCOPE: challenge(&l, STR("Bearer"), STR("insufficient_scope"), code); break;
    case CHALLENGE_APIKEY: challenge(&l, STR("ApiKey"), STR_NONE, code); break;
    case CHALLENGE_SIGNATURE: challenge(&l, STR("Signature"), STR_NONE, code); break;
    case CHALLENGE_ACCEPTED: challenge_accepted(&l, accepted, code); break;
    }
    return l.cut ? 0 : l.n;
}
