#include "serve/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* sd_notify(3): an absolute path, or '@' for the abstract namespace. What cannot be sent is nobody's loss. */
static void send_text(const char *text, size_t n)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof a.sun_path || (path[0] != '/' && path[0] != '@')) return;
    memcpy(a.sun_path, path, len);
    if (path[0] == '@') a.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    ssize_t sent UNUSED = sendto(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&a, size);
    close(fd);
}

void notify_ready(void)
{
    send_text("READY=1", 7);
}

void notify_reloading(uint64_t mono_ns)
{
    char text[64];
    int n = snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(mono_ns / 1000));
    send_text(text, (size_t)n);
}

void notify_stopping(void)
{
    send_text("STOPPING=1", 10);
}

void notify_alive(void)
{
    send_text("WATCHDOG=1", 10);
}

void notify_status(str text)
{
    char line[256] = "STATUS=";
    size_t n = 7;
    for (size_t i = 0; i < text.n && n < sizeof line; i++, n++)
        line[n] = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f ? ' ' : text.p[i];
    send_text(line, n);
}
