#include "roles/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static struct sandbox_state state;

const struct sandbox_state *sandbox_state(void)
{
    return &state;
}

static void missing(const char *what, const char *why)
{
    size_t n = strlen(state.missing);
    snprintf(state.missing + n, sizeof state.missing - n, "%s%s: %s", n ? "; " : "", what, why);
}

/* --- landlock: which files (landlock(7)). Its numbers are written out here: the headers of a system may be older than
 * the kernel it runs on. --- */

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

struct rules {
    uint64_t files, net, scoped;
};
struct __attribute__((packed)) beneath {
    uint64_t allowed;
    int32_t parent;
};

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_ABI_1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,     /* ABI 2: to another folder */
    FS_TRUNCATE = 1 << 14,  /* ABI 3 */
    FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
    FS_ON_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
    NET_BIND = 1 << 0, /* ABI 4 */
    SCOPE_ALL = 3      /* ABI 6: abstract Unix sockets, signals */
};

/* What looking up names, addresses, authorities and the time of day reads (getaddrinfo and its modules, c-ares, libssl,
 * localtime). Passwords, keys and units also live in /etc: it is never opened as a whole. */
static const char *const readable[] = {"/etc/resolv.conf",
                                       "/run/systemd/resolve",
                                       "/run/resolvconf",
                                       "/run/NetworkManager",
                                       "/etc/hosts",
                                       "/etc/host.conf",
                                       "/etc/nsswitch.conf",
                                       "/etc/gai.conf",
                                       "/etc/services",
                                       "/etc/protocols",
                                       "/etc/ld.so.cache",
                                       "/lib",
                                       "/lib64",
                                       "/usr/lib",
                                       "/usr/lib64",
                                       "/etc/ssl/certs",
                                       "/etc/ssl/cert.pem",
                                       "/etc/ssl/openssl.cnf",
                                       "/etc/pki/tls/certs",
                                       "/etc/pki/ca-trust",
                                       "/usr/share/ca-certificates",
                                       "/usr/local/share/ca-certificates",
                                       "/usr/share/zoneinfo",
                                       "/etc/localtime",
                                       "/dev/urandom",
                                       "/sys/devices/system/cpu",
                                       "/proc/self"};

static void allow(int rules, const char *path, uint64_t what)
{
    struct stat st;
    struct beneath b = {.allowed = what, .parent = open(path, O_PATH | O_CLOEXEC)};
    if (b.parent < 0) return; /* what is not there need not be allowed */
    if (fstat(b.parent, &st) == 0 && !S_ISDIR(st.st_mode)) b.allowed &= FS_ON_FILES;
    (void)syscall(SYS_landlock_add_rule, rules, 1, &b, 0);
    close(b.parent);
}

static void shut_files(const char *data)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
    if (abi < 1) {
        missing("landlock", errno == ENOSYS ? "this kernel has none" : strerror(errno));
        return;
    }
    uint64_t all = FS_ABI_1;
    if (abi >= 2) all |= FS_REFER;
    if (abi >= 3) all |= FS_TRUNCATE;
    if (abi >= 5) all |= FS_IOCTL_DEV;
    struct rules r = {.files = all, .net = abi >= 4 ? NET_BIND : 0, .scoped = abi >= 6 ? SCOPE_ALL : 0};
    size_t size = abi >= 6 ? sizeof r : abi >= 4 ? offsetof(struct rules, scoped) : offsetof(struct rules, net);
    int rules = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
    if (rules < 0) {
        missing("landlock", strerror(errno));
        return;
    }
    const uint64_t read_only = FS_READ_FILE | FS_READ_DIR;
    const uint64_t own = read_only | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG |
                         (all & (FS_REFER | FS_TRUNCATE));
    for (size_t i = 0; i < ARRAY_LEN(readable); i++) allow(rules, readable[i], read_only);
    allow(rules, "/dev/null", read_only | FS_WRITE_FILE | (all & FS_TRUNCATE));
    const char *file = secure_getenv("SSL_CERT_FILE"), *dir = secure_getenv("SSL_CERT_DIR");
    if (file) allow(rules, file, read_only);
    if (dir) allow(rules, dir, read_only);
    if (*data) allow(rules, data, own);
    if (SANITIZED) allow(rules, "/", read_only); /* their reports look sources and symbols up */
#ifdef SALLYPORT_COVERAGE
    allow(rules, "/", own); /* this build writes down what was run where its objects are */
#endif
    if (syscall(SYS_landlock_restrict_self, rules, 0) == 0)
        state.files = true;
    else
        missing("landlock", strerror(errno));
    close(rules);
}

/* --- seccomp: which calls. What is not listed is refused with EPERM. --- */

static const int calls[] = {
    /* memory */
    SCMP_SYS(brk), SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect),
    SCMP_SYS(madvise), SCMP_SYS(mincore), SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(msync),
    SCMP_SYS(membarrier), SCMP_SYS(get_mempolicy),
    /* files, where landlock lets it */
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(read), SCMP_SYS(readv),
    SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(preadv2), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev), SCMP_SYS(pwritev2), SCMP_SYS(lseek), SCMP_SYS(_llseek), SCMP_SYS(stat), SCMP_SYS(stat64),
    SCMP_SYS(fstat), SCMP_SYS(fstat64), SCMP_SYS(lstat), SCMP_SYS(lstat64), SCMP_SYS(newfstatat), SCMP_SYS(fstatat64),
    SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(statfs64), SCMP_SYS(fstatfs64), SCMP_SYS(access),
    SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64),
    SCMP_SYS(getcwd), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(rename), SCMP_SYS(renameat),
    SCMP_SYS(renameat2), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range), SCMP_SYS(ftruncate), SCMP_SYS(ftruncate64), SCMP_SYS(fallocate),
    SCMP_SYS(fadvise64), SCMP_SYS(flock), SCMP_SYS(fcntl), SCMP_SYS(fcntl64), SCMP_SYS(chmod), SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat), SCMP_SYS(fchown), SCMP_SYS(utimensat), SCMP_SYS(umask), SCMP_SYS(copy_file_range),
    SCMP_SYS(sendfile), SCMP_SYS(sendfile64), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    /* the network, without bind and listen */
    SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(getsockname),
    SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(send), SCMP_SYS(sendto),
    SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recv), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg),
    SCMP_SYS(shutdown),
    /* waiting */
    SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(ppoll_time64), SCMP_SYS(select),
    SCMP_SYS(pselect6), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime), SCMP_SYS(signalfd4), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_nanosleep_time64), SCMP_SYS(restart_syscall),
    /* threads and signals of its own */
    SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(futex_waitv), SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list), SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(gettid), SCMP_SYS(exit),
    SCMP_SYS(exit_group), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigreturn),
    SCMP_SYS(sigaltstack), SCMP_SYS(arch_prctl),
    /* who and when it is */
    SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getpgrp), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage), SCMP_SYS(getrlimit),
    SCMP_SYS(ugetrlimit), SCMP_SYS(setrlimit), SCMP_SYS(getcpu), SCMP_SYS(times), SCMP_SYS(time),
    SCMP_SYS(gettimeofday), SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(clock_getres),
    SCMP_SYS(clock_getres_time64), SCMP_SYS(getrandom)};

/* What only a sanitizer does: stop its own threads to look for leaks, look at itself. */
static const int sanitizer_calls[] = {SCMP_SYS(ptrace),      SCMP_SYS(getdents), SCMP_SYS(waitid),
                                      SCMP_SYS(waitpid),     SCMP_SYS(pause),    SCMP_SYS(clone),
                                      SCMP_SYS(wait4),       SCMP_SYS(prctl),    SCMP_SYS(kill),
                                      SCMP_SYS(tgkill),      SCMP_SYS(tkill),    SCMP_SYS(process_vm_readv),
                                      SCMP_SYS(personality), SCMP_SYS(prlimit64)};

/* Of each call listed here only what the arguments allow. */
static int add_conditions(scmp_filter_ctx f)
{
    static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6};
    static const unsigned kinds[] = {SOCK_STREAM, SOCK_DGRAM};
    static const int names[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_GET_SECCOMP};
    static const unsigned long asks[] = {0x5401 /* TCGETS */,   0x541b /* FIONREAD */, 0x5421 /* FIONBIO */,
                                         0x5450 /* FIONCLEX */, 0x5451 /* FIOCLEX */,  0x5413 /* TIOCGWINSZ */};
    int rc = 0;
    /* the last type of a Unix socket, SEQPACKET, is for the pair to the parent: it is there. No raw ones, no netlink */
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, families[i], 0),
                                   SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, kinds[k]));
    /* threads, never processes; of clone3 nothing can be seen here: told that there is none, libc takes clone */
    rc |=
        seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                         SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM | CLONE_NEWUSER, CLONE_THREAD | CLONE_VM));
    rc |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)names[i], 0));
    rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 2, SCMP_A0(SCMP_CMP_EQ, PR_SET_DUMPABLE, 0),
                           SCMP_A1(SCMP_CMP_EQ, 0, 0));
    rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, 0x53564d41 /* PR_SET_VMA */, 0));
    for (size_t i = 0; i < ARRAY_LEN(asks); i++)
        rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, asks[i]));
    rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0, 0));
    rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    return rc;
}

static void shut_calls(void)
{
    int rc = 0;
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!f) {
        missing("seccomp", "out of memory");
        return;
    }
    /* a thread that a library has started before is not left outside; a tree of numbers instead of a list */
    rc |= seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    (void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
    if (SANITIZED)
        for (size_t i = 0; i < ARRAY_LEN(sanitizer_calls); i++)
            rc |= seccomp_rule_add(f, SCMP_ACT_ALLOW, sanitizer_calls[i], 0);
    rc |= add_conditions(f);
    if (rc == 0) rc = seccomp_load(f);
    if (rc == 0)
        state.calls = true;
    else
        missing("seccomp", strerror(rc < 0 && rc > -4096 ? -rc : EINVAL));
    seccomp_release(f);
}

enum err sandbox_shut(const char *data)
{
    state = (struct sandbox_state){.on = true};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) missing("no_new_privs", strerror(errno));
    if (!SANITIZED) (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* nobody of its own user looks into it either */
    shut_files(data);
    shut_calls();
    return ERR_OK;
}
