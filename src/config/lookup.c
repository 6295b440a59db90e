#include "config/lookup.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>

static void unix_text(const struct config_address *a, struct lookup_addr *out)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, a->path.p, a->path.n); /* shorter than sun_path: value_address */
    memset(out, 0, sizeof *out);
    memcpy(&out->addr, &un, sizeof un);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + a->path.n + 1);
    snprintf(out->text, sizeof out->text, "unix:%.*s", STR_ARG(a->path));
}

static void ip4(const struct in_addr *ip, uint16_t port, struct lookup_addr *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = *ip};
    char text[INET_ADDRSTRLEN] = "";
    memset(out, 0, sizeof *out);
    memcpy(&out->addr, &in, sizeof in);
    out->len = sizeof in;
    inet_ntop(AF_INET, ip, text, sizeof text);
    snprintf(out->text, sizeof out->text, "%s:%u", text, port);
}

static void ip6(const struct in6_addr *ip, uint32_t scope, uint16_t port, struct lookup_addr *out)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6,
                              .sin6_port = htons(port),
                              .sin6_addr = *ip,
                              .sin6_scope_id = scope};
    char text[INET6_ADDRSTRLEN] = "";
    memset(out, 0, sizeof *out);
    memcpy(&out->addr, &in, sizeof in);
    out->len = sizeof in;
    inet_ntop(AF_INET6, ip, text, sizeof text);
    snprintf(out->text, sizeof out->text, "[%s]:%u", text, port);
}

bool lookup_is_number(str host)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr in4;
    struct in6_addr in6;
    if (host.n == 0 || host.n >= sizeof text) return false;
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    return inet_pton(AF_INET, text, &in4) == 1 || inet_pton(AF_INET6, text, &in6) == 1;
}

bool lookup_text(const struct sockaddr_storage *addr, char out[LOOKUP_TEXT])
{
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    struct lookup_addr found;
    if (addr->ss_family == AF_INET) {
        memcpy(&in4, addr, sizeof in4);
        ip4(&in4.sin_addr, ntohs(in4.sin_port), &found);
    } else if (addr->ss_family == AF_INET6) {
        memcpy(&in6, addr, sizeof in6);
        ip6(&in6.sin6_addr, in6.sin6_scope_id, ntohs(in6.sin6_port), &found);
    } else {
        return false;
    }
    memcpy(out, found.text, LOOKUP_TEXT);
    return true;
}

static void add_result(const struct addrinfo *a, uint16_t port, struct lookup_addr *out, size_t *n)
{
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    if (a->ai_family == AF_INET && a->ai_addrlen == sizeof in4) {
        memcpy(&in4, a->ai_addr, sizeof in4);
        ip4(&in4.sin_addr, port, &out[*n]);
    } else if (a->ai_family == AF_INET6 && a->ai_addrlen == sizeof in6) {
        memcpy(&in6, a->ai_addr, sizeof in6);
        ip6(&in6.sin6_addr, in6.sin6_scope_id, port, &out[*n]);
    } else {
        return;
    }
    for (size_t i = 0; i < *n; i++)
        if (strcmp(out[i].text, out[*n].text) == 0) return;
    (*n)++;
}

static enum err by_name(const char *host, uint16_t port, struct lookup_addr *out, size_t *n, const char **why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc != 0) {
        *why = gai_strerror(rc);
        return ERR_NOT_FOUND;
    }
    *n = 0;
    for (const struct addrinfo *a = found; a && *n < LOOKUP_MAX; a = a->ai_next) add_result(a, port, out, n);
    freeaddrinfo(found);
    if (*n) return ERR_OK;
    *why = "no address";
    return ERR_NOT_FOUND;
}

enum err lookup_address(const struct config_address *a, struct lookup_addr out[LOOKUP_MAX], size_t *n, const char **why)
{
    char host[256];
    struct in_addr in4;
    struct in6_addr in6;
    *n = 1;
    if (a->kind == ADDRESS_UNIX) {
        unix_text(a, out);
        return ERR_OK;
    }
    if (a->host.n >= sizeof host) {
        *why = "the name is too long";
        return ERR_NOT_FOUND;
    }
    memcpy(host, a->host.p ? a->host.p : "", a->host.n);
    host[a->host.n] = 0;
    if (a->host.n == 0)
        ip6(&in6addr_any, 0, a->port, out);
    else if (inet_pton(AF_INET, host, &in4) == 1)
        ip4(&in4, a->port, out);
    else if (inet_pton(AF_INET6, host, &in6) == 1)
        ip6(&in6, 0, a->port, out);
    else
        return by_name(host, a->port, out, n, why);
    return ERR_OK;
}
