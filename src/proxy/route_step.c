/* Which action is this? One canonical path decides here and is what is forwarded. Loops end here, too. */
#include "codec/url.h"
#include "proxy/exchange.h"

/* RFC 8586: our own name among the members of CDN-Loop means that we have seen this request; too many members, there
 * or in Via (RFC 9110 §7.6.3), that somebody goes round in circles without us. */
static enum step check_loops(struct exchange *x)
{
    const struct fields *f = &x->down.request.fields;
    uint32_t hops = 0, via = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        if ((f->v[i].id != FIELD_CDN_LOOP && f->v[i].id != FIELD_VIA) || f->v[i].twin) continue;
        bool loop = f->v[i].id == FIELD_CDN_LOOP;
        x->relayed = true;
        str rest = f->v[i].value;
        while (rest.n) {
            str member = str_cut(&rest, ',');
            str id = str_trim(str_cut(&member, ';'));
            if (!id.n) continue;
            if (loop && str_ieq(id, x->config->snap->name)) return refuse(x, REASON_LOOP_DETECTED, NULL);
            *(loop ? &hops : &via) += 1;
        }
    }
    if (hops >= x->config->snap->hops || via >= x->config->snap->hops) return refuse(x, REASON_HOP_LIMIT, NULL);
    return STEP_NEXT;
}

enum step route_step(struct exchange *x)
{
    const struct request *r = &x->down.request;
    enum path_fault fault = PATH_FAULT_NONE;
    if (path_canonical(r->path, &x->mem, &x->path, &fault) != ERR_OK)
        return refuse(x, REASON_PATH_REFUSED, path_fault_name(fault));
    if (r->upgrade) return refuse(x, REASON_UPGRADE_REFUSED, NULL);
    enum step loops = check_loops(x);
    if (loops != STEP_NEXT) return loops;
    route_find(x->config->snap->routes, r->method_id, r->method, x->path, &x->route);
    if (x->route.match == ROUTE_NONE) return refuse(x, REASON_NO_ROUTE, NULL);
    x->action = &x->config->snap->actions[x->route.action];
    if (x->route.match == ROUTE_METHOD) return refuse(x, REASON_METHOD_NOT_ALLOWED, NULL);
    return STEP_NEXT;
}
