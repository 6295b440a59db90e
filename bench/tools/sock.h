/* What the benchmark's small programs share: sockets by address text, one epoll. Errors end the program. */
#ifndef BENCH_SOCK_H
#define BENCH_SOCK_H

/* A port on 127.0.0.1 ("9000") or elsewhere ("127.0.0.2:9000"), or the path of a Unix socket ("/run/up.sock"). */
int sock_listen(const char *where);  /* not blocking */
int sock_connect(const char *where); /* blocking */
void sock_nonblock(int fd);

/* Adds fd for reading; `data` comes back with its events. */
void sock_watch(int epoll, int fd, void *data);

/* The decimal number in `text`, 0..max, or the end of the program. */
int number_of(const char *text, int max);

#endif
