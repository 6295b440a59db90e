#include "net/dns_hosts.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

void dns_ip(const void *ip, bool v6, uint16_t port, struct net_addr *out)
{
    memset(out, 0, sizeof *out);
    if (v6) {
        struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&in.sin6_addr, ip, 16);
        memcpy(&out->ss, &in, sizeof in);
        out->len = sizeof in;
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&in.sin_addr, ip, 4);
        memcpy(&out->ss, &in, sizeof in);
        out->len = sizeof in;
    }
}

static str next_word(str *line)
{
    size_t from = 0, to;
    while (from < line->n && strchr(" \t\r\n", line->p[from])) from++;
    for (to = from; to < line->n && line->p[to] && !strchr(" \t\r\n#", line->p[to]);) to++;
    str word = str_make(line->p + from, to - from);
    *line = str_from(*line, to);
    return word;
}

bool dns_hosts_line(str line, str host, struct net_addr *out)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char ip[16];
    str word = next_word(&line), name;
    if (word.n == 0 || word.n >= sizeof text) return false;
    memcpy(text, word.p, word.n);
    text[word.n] = 0;
    do {
        name = next_word(&line);
        if (name.n == 0) return false;
    } while (!str_ieq(name, host));
    if (inet_pton(AF_INET, text, ip) == 1)
        dns_ip(ip, false, 0, out);
    else if (inet_pton(AF_INET6, text, ip) == 1)
        dns_ip(ip, true, 0, out);
    else
        return false;
    return true;
}

static bool known(const struct net_addr *v, size_t n, const struct net_addr *a)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].len == a->len && memcmp(&v[i].ss, &a->ss, a->len) == 0) return true;
    return false;
}

size_t dns_hosts_find(const char *path, str host, struct net_addr out[DNS_HOSTS_MAX])
{
    char line[1024];
    size_t n = 0, bytes = 0;
    bool begins = true; /* what is read next: a line, not the rest of one that is too long */
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    while (n < DNS_HOSTS_MAX && bytes < DNS_HOSTS_BYTES && fgets(line, sizeof line, f)) {
        size_t got = strlen(line);
        bool whole = begins;
        bytes += got + 1;
        begins = got == 0 || line[got - 1] == '\n';
        if (whole && dns_hosts_line(str_make(line, got), host, &out[n]) && !known(out, n, &out[n])) n++;
    }
    fclose(f);
    return n;
}
