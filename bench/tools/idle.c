/* idle PORT N FILE: opens N keep-alive connections, sends the request in FILE once on each, prints how many were
 * answered 200, and holds them all until standard input ends. */
#include "sock.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: idle PORT N FILE\n");
        return 2;
    }
    char request[16384], in[16384];
    FILE *f = fopen(argv[3], "re");
    size_t n = f ? fread(request, 1, sizeof request, f) : 0;
    if (f) fclose(f);
    if (n == 0 || n == sizeof request) {
        fprintf(stderr, "%s: no request, or too long\n", argv[3]);
        return 2;
    }
    int ok = 0;
    for (int i = number_of(argv[2], 60000); i > 0; i--) {
        int fd = sock_connect(argv[1]);
        struct timeval patience = {.tv_sec = 3};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (send(fd, request, n, MSG_NOSIGNAL) != (ssize_t)n) break;
        ssize_t got = recv(fd, in, sizeof in, 0);
        ok += got > 12 && memcmp(in + 9, "200", 3) == 0;
    }
    printf("%d\n", ok);
    fflush(stdout);
    while (read(STDIN_FILENO, in, sizeof in) > 0) continue;
    return 0;
}
