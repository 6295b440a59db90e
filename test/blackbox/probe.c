/* Preloaded into the product by process.py: tries, on a signal and from inside, what the sandbox must refuse, and
 * writes a line for each attempt: its name and errno, 0 when it was let. SALLYPORT_TEST_PROBE names the file, which
 * must lie where the product may write. On a thread of its own, too: what holds for one must hold for all. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static int out = -1;
static const char *thread = "main";

static void told(const char *what, long result)
{
    dprintf(out, "%s %s %d\n", thread, what, result < 0 ? errno : 0);
}

static long try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
    return fd;
}

static long try_bind(int family, const struct sockaddr *a, socklen_t n)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    long rc = fd < 0 ? -1 : bind(fd, a, n);
    int saved = errno;
    if (fd >= 0) close(fd);
    errno = saved;
    return rc;
}

static long try_listen(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    long rc = fd < 0 ? -1 : listen(fd, 1); /* an unbound one takes a port by itself */
    int saved = errno;
    if (fd >= 0) close(fd);
    errno = saved;
    return rc;
}

static void attempts(void)
{
    char *argv[] = {"/bin/true", NULL}, *envp[] = {NULL};
    char byte;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)&out, 1};
    union bpf_attr attr;
    pid_t parent = getppid();
    memset(&attr, 0, sizeof attr);
    memcpy(un.sun_path + 1, "sallyport-probe", 15);
    told("execve", execve(argv[0], argv, envp));
    told("execveat", syscall(SYS_execveat, AT_FDCWD, argv[0], argv, envp, 0));
    told("fork", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    told("open-passwd", try_open("/etc/passwd", O_RDONLY));
    told("open-shadow", try_open("/etc/shadow", O_RDONLY));
    told("open-parent-memory", try_open("/proc/1/environ", O_RDONLY));
    told("open-tmp-write", try_open("/tmp/sallyport-probe-was-here", O_WRONLY | O_CREAT));
    told("mkdir-tmp", mkdir("/tmp/sallyport-probe-was-here", 0700));
    told("bind", try_bind(AF_INET, (const struct sockaddr *)&v4, sizeof v4));
    told("bind-abstract", try_bind(AF_UNIX, (const struct sockaddr *)&un, sizeof(sa_family_t) + 16));
    told("listen", try_listen());
    told("raw-socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    told("packet-socket", socket(AF_PACKET, SOCK_RAW, 0));
    told("netlink-socket", socket(AF_NETLINK, SOCK_RAW, 0));
    told("ptrace", ptrace(PTRACE_ATTACH, parent, NULL, NULL));
    told("process_vm_readv", process_vm_readv(parent, &here, 1, &there, 1, 0));
    told("kill-parent", kill(parent, 0));
    told("mount", mount("none", "/mnt", "tmpfs", 0, NULL));
    told("unshare", unshare(CLONE_NEWUSER));
    told("setns", syscall(SYS_setns, 0, 0));
    told("bpf", syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr));
    told("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1));
    told("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    told("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
    told("init_module", syscall(SYS_init_module, NULL, 0, ""));
    told("chroot", chroot("/"));
    told("memfd_create", syscall(SYS_memfd_create, "x", 0));
    told("dumpable", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    told("let:open-resolv", try_open("/etc/resolv.conf", O_RDONLY));
    told("let:open-hosts", try_open("/etc/hosts", O_RDONLY));
    told("let:open-null", try_open("/dev/null", O_RDWR));
    told("let:socket", socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    told("let:udp", socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static void *elsewhere(void *arg)
{
    thread = "thread";
    attempts();
    return arg;
}

static void on_signal(int signo)
{
    char whole[4096];
    pthread_t t;
    const char *path = getenv("SALLYPORT_TEST_PROBE");
    (void)signo;
    if (!path || out >= 0) return;
    out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    attempts();
    if (pthread_create(&t, NULL, elsewhere, NULL) == 0) pthread_join(t, NULL);
    snprintf(whole, sizeof whole, "%s.done", path);
    (void)!rename(path, whole);
}

__attribute__((constructor)) static void ready(void)
{
    if (getenv("SALLYPORT_TEST_PROBE")) signal(SIGRTMIN + 3, on_signal);
}
