#include "config/snapshot.h"

#include "config/fed.h"
#include "crypto/secret.h"
#include "policy/grants.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- life --- */

struct snapshot *snapshot_ref(struct snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static void wipe(str secret)
{
    if (secret.n) secret_wipe((void *)(uintptr_t)secret.p, secret.n);
}

static void destroy(struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n_issuers; i++) wipe(s->issuers[i].secret);
    for (uint32_t i = 0; i < s->n_products; i++) wipe(s->products[i].mac_key);
    for (uint32_t i = 0; i < s->n_services; i++) wipe(s->services[i].tls.key_pem);
    for (uint32_t i = 0; i < s->tls.n_certificates; i++) wipe(s->tls.certificates[i].key_pem);
    for (uint32_t i = 0; i < s->tracing.n_headers; i++) wipe(s->tracing.headers[i].value);
    map_free(&s->certificates);
    map_free(&s->services_by_name);
    map_free(&s->actions_by_name);
    map_free(&s->products_by_name);
    map_free(&s->keys_by_id);
    map_free(&s->issuers_by_iss);
    map_free(&s->roles);
    map_free(&s->permissions);
    arena_reset(&s->mem);
    free(s);
}

void snapshot_unref(struct snapshot **s)
{
    struct snapshot *old = *s;
    *s = NULL;
    /* the last one must see everything that the others did before they let go */
    if (old && atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) == 1) destroy(old);
}

/* --- keys of signatures --- */

bool snapshot_product_signs(const struct snapshot *s, const struct snapshot_product *p)
{
    for (uint32_t i = 0; i < s->n_actions; i++)
        if (s->actions[i].accept[p->caller] & ACCEPT_SIGNATURE &&
            grants_decide(&s->grants, &p->grantor, 1, i) == EFFECT_PERMIT)
            return true;
    return false;
}

enum err snapshot_put_mac_key(struct snapshot *s, uint32_t product, str key)
{
    struct snapshot_product *p = (struct snapshot_product *)(uintptr_t)&s->products[product]; /* ours, in our arena */
    if (p->mac_key.n) return ERR_CONFLICT;
    str copy = arena_copy(&s->mem, key);
    if (!copy.p) return ERR_NO_MEMORY;
    p->mac_key = copy;
    p->mac_fed = true;
    return ERR_OK;
}

/* --- who is a trusted hop --- */

static bool in_network(const struct config_network *net, const unsigned char *address, bool v6)
{
    if (net->any_unix || (net->family_v6 != 0) != v6) return false;
    size_t whole = net->bits / 8;
    unsigned rest = net->bits % 8;
    if (memcmp(net->address, address, whole) != 0) return false;
    return rest == 0 || (net->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

static bool any_network(const struct snapshot *s, const unsigned char *address, bool v6)
{
    for (uint32_t i = 0; i < s->n_networks; i++)
        if (in_network(&s->networks[i], address, v6)) return true;
    return false;
}

bool snapshot_hop_trusted(const struct snapshot *s, const struct sockaddr *addr)
{
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    if (!addr) return false;
    if (addr->sa_family == AF_UNIX) {
        for (uint32_t i = 0; i < s->n_networks; i++)
            if (s->networks[i].any_unix) return true;
        return false;
    }
    if (addr->sa_family == AF_INET) {
        memcpy(&in4, addr, sizeof in4);
        return any_network(s, (const unsigned char *)&in4.sin_addr, false);
    }
    if (addr->sa_family != AF_INET6) return false;
    memcpy(&in6, addr, sizeof in6);
    const unsigned char *ip = in6.sin6_addr.s6_addr;
    /* an IPv4 client of a dual-stack listener (RFC 4291 §2.5.5.2) is judged as what it is */
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) return any_network(s, ip + 12, false);
    return any_network(s, ip, true);
}

/* --- lookups --- */

const struct snapshot_key *snapshot_key(const struct snapshot *s, str id)
{
    return map_get(&s->keys_by_id, id);
}

const struct snapshot_issuer *snapshot_issuer(const struct snapshot *s, str iss)
{
    return map_get(&s->issuers_by_iss, iss);
}

const struct snapshot_action *snapshot_action(const struct snapshot *s, str name)
{
    return map_get(&s->actions_by_name, name);
}

const struct snapshot_product *snapshot_product(const struct snapshot *s, str name)
{
    return map_get(&s->products_by_name, name);
}

/* Looked up once a generation: the key remembers, for all threads. */
const struct snapshot_product *snapshot_fed_product(const struct snapshot *s, const struct fed_key *key)
{
    _Atomic uint64_t *hint = (_Atomic uint64_t *)(uintptr_t)&key->hint;
    uint64_t known = atomic_load_explicit(hint, memory_order_relaxed);
    if (known >> 16 == s->generation && (known & UINT16_MAX)) return &s->products[(known & UINT16_MAX) - 1];
    const struct snapshot_product *p = snapshot_product(s, key->product);
    if (p) atomic_store_explicit(hint, s->generation << 16 | (p->index + 1), memory_order_relaxed);
    return p;
}

const struct snapshot_service *snapshot_service(const struct snapshot *s, str name)
{
    return map_get(&s->services_by_name, name);
}

const struct snapshot_product *snapshot_certificate_product(const struct snapshot *s,
                                                            const unsigned char spki_sha256[32])
{
    return map_get(&s->certificates, str_make((const char *)spki_sha256, 32));
}

enum err snapshot_data_path(const struct snapshot *s, const char *name, char *out, size_t room)
{
    char here[4096] = "";
    bool relative = s->data.n == 0 || s->data.p[0] != '/';
    if (relative && !getcwd(here, sizeof here)) return ERR_LIMIT;
    int n = snprintf(out, room, "%s%s%.*s/%s", here, relative ? "/" : "", STR_ARG(s->data), name);
    return n > 0 && (size_t)n < room ? ERR_OK : ERR_LIMIT;
}

/* Grantors are kept in maps as their number plus one: NULL is none. */
static uint16_t grantor_of(const struct map *m, str name)
{
    uintptr_t v = (uintptr_t)map_get(m, name);
    return v ? (uint16_t)(v - 1) : SNAPSHOT_NO_GRANTOR;
}

uint16_t snapshot_role(const struct snapshot *s, str name)
{
    return grantor_of(&s->roles, name);
}

uint16_t snapshot_permission(const struct snapshot *s, str name)
{
    uint16_t g = grantor_of(&s->permissions, name);
    if (g != SNAPSHOT_NO_GRANTOR) return g;
    const struct snapshot_action *a = snapshot_action(s, name);
    return a ? (uint16_t)(s->grants.grantors + a->index) : SNAPSHOT_NO_GRANTOR;
}
