/* libcount.so: preloaded into the product, it counts per thread what the hot path must not do.
 *
 * COUNT_FILE names a file that is mapped and shared: whoever maps it too reads the counters at any time, and takes
 * the difference of two readings; nothing in the product is stopped or asked. Without COUNT_FILE it counts nothing.
 * What libc does inside itself does not pass here (its own locks); a raw futex call does not either. Both show in
 * `strace -f -e trace=futex`, which the test runs as a cross-check.
 *
 * The file: struct count_file below; test/support/count.py reads it. `plant` is written by the test: each receive
 * then allocates (1), locks a mutex (2) or verifies a MAC (4), to prove that the counting would show it. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum what { ALLOC, FREE, LOCK, COND, SEM, SIGNATURE, RECV, SEND, WAIT, KINDS = 16 };
enum { THREADS = 64 };

struct count_thread {
    _Atomic uint64_t tid;
    _Atomic uint64_t n[KINDS];
};

struct count_file {
    _Atomic uint64_t threads; /* slots in use */
    _Atomic uint64_t plant;
    struct count_thread thread[THREADS];
};

static struct count_file *file;
static __thread struct count_thread *mine __attribute__((tls_model("initial-exec")));
/* Set while we ourselves call what we count (dlsym allocates). */
static __thread int inside __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void count_open(void)
{
    const char *path = getenv("COUNT_FILE");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct count_file)) != 0) _exit(99);
    struct count_file *map = mmap(NULL, sizeof(struct count_file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) _exit(99);
    file = map;
}

static void count(enum what what)
{
    if (!file || inside) return;
    if (!mine) {
        uint64_t slot = atomic_fetch_add(&file->threads, 1);
        if (slot >= THREADS) _exit(98); /* an uncounted thread would look innocent */
        mine = &file->thread[slot];
        atomic_store(&mine->tid, (uint64_t)syscall(SYS_gettid));
    }
    atomic_fetch_add_explicit(&mine->n[what], 1, memory_order_relaxed);
}

/* The next definition of `name`. Versioned where the unversioned name means an older structure. */
static void *next(void **cache, const char *name, const char *version)
{
    if (*cache) return *cache;
    inside++;
    void *f = version ? dlvsym(RTLD_NEXT, name, version) : NULL;
    if (!f) f = dlsym(RTLD_NEXT, name);
    inside--;
    if (!f) _exit(97);
    *cache = f;
    return f;
}

#define NEXT(name, version)                                                                                            \
    static void *cache_;                                                                                               \
    __typeof__(&name) next_;                                                                                           \
    *(void **)&next_ = next(&cache_, #name, version)

/* --- memory: glibc's own names, because dlsym itself allocates --- */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

void *malloc(size_t n)
{
    count(ALLOC);
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    count(ALLOC);
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    count(ALLOC);
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    count(ALLOC);
    return __libc_memalign(align, n);
}

void *memalign(size_t align, size_t n);
void *memalign(size_t align, size_t n)
{
    count(ALLOC);
    return __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    count(ALLOC);
    void *p = __libc_memalign(align, n);
    if (!p) return 12; /* ENOMEM */
    *out = p;
    return 0;
}

void free(void *p)
{
    if (p) count(FREE);
    __libc_free(p);
}

/* --- waiting for others --- */
#define COUNTED(what, name, version, params, args)                                                                     \
    int name params                                                                                                    \
    {                                                                                                                  \
        NEXT(name, version);                                                                                           \
        count(what);                                                                                                   \
        return next_ args;                                                                                             \
    }

COUNTED(LOCK, pthread_mutex_lock, NULL, (pthread_mutex_t * m), (m))
COUNTED(LOCK, pthread_mutex_timedlock, NULL, (pthread_mutex_t *restrict m, const struct timespec *restrict t), (m, t))
COUNTED(LOCK, pthread_rwlock_rdlock, NULL, (pthread_rwlock_t * l), (l))
COUNTED(LOCK, pthread_rwlock_wrlock, NULL, (pthread_rwlock_t * l), (l))
COUNTED(LOCK, pthread_spin_lock, NULL, (pthread_spinlock_t * l), (l))
COUNTED(COND, pthread_cond_wait, "GLIBC_2.3.2", (pthread_cond_t *restrict c, pthread_mutex_t *restrict m), (c, m))
COUNTED(COND, pthread_cond_timedwait, "GLIBC_2.3.2",
        (pthread_cond_t *restrict c, pthread_mutex_t *restrict m, const struct timespec *restrict t), (c, m, t))
COUNTED(COND, pthread_cond_signal, "GLIBC_2.3.2", (pthread_cond_t * c), (c))
COUNTED(COND, pthread_cond_broadcast, "GLIBC_2.3.2", (pthread_cond_t * c), (c))
COUNTED(SEM, sem_wait, NULL, (sem_t * s), (s))
COUNTED(SEM, sem_timedwait, NULL, (sem_t *restrict s, const struct timespec *restrict t), (s, t))
COUNTED(SEM, sem_post, NULL, (sem_t * s), (s))

/* --- signature checks; declared here, so that this builds without their headers --- */
struct evp_pkey_ctx;
struct evp_md_ctx;
struct evp_mac_ctx;
int EVP_PKEY_verify(struct evp_pkey_ctx *c, const unsigned char *s, size_t sn, const unsigned char *m, size_t n);
int EVP_DigestVerify(struct evp_md_ctx *c, const unsigned char *s, size_t sn, const unsigned char *m, size_t n);
int EVP_DigestVerifyFinal(struct evp_md_ctx *c, const unsigned char *s, size_t sn);
int EVP_MAC_final(struct evp_mac_ctx *c, unsigned char *out, size_t *outl, size_t size);
int HMAC_Final(void *c, unsigned char *out, unsigned *n);
unsigned char *HMAC(const void *md, const void *key, int key_n, const unsigned char *d, size_t n, unsigned char *out,
                    unsigned *out_n);
int crypto_sign_verify_detached(const unsigned char *s, const unsigned char *m, unsigned long long n,
                                const unsigned char *pk);

COUNTED(SIGNATURE, EVP_PKEY_verify, NULL,
        (struct evp_pkey_ctx * c, const unsigned char *s, size_t sn, const unsigned char *m, size_t n),
        (c, s, sn, m, n))
COUNTED(SIGNATURE, EVP_DigestVerify, NULL,
        (struct evp_md_ctx * c, const unsigned char *s, size_t sn, const unsigned char *m, size_t n), (c, s, sn, m, n))
COUNTED(SIGNATURE, EVP_DigestVerifyFinal, NULL, (struct evp_md_ctx * c, const unsigned char *s, size_t sn), (c, s, sn))
COUNTED(SIGNATURE, EVP_MAC_final, NULL, (struct evp_mac_ctx * c, unsigned char *out, size_t *outl, size_t size),
        (c, out, outl, size))
COUNTED(SIGNATURE, HMAC_Final, NULL, (void *c, unsigned char *out, unsigned *n), (c, out, n))
COUNTED(SIGNATURE, crypto_sign_verify_detached, NULL,
        (const unsigned char *s, const unsigned char *m, unsigned long long n, const unsigned char *pk), (s, m, n, pk))

unsigned char *HMAC(const void *md, const void *key, int key_n, const unsigned char *d, size_t n, unsigned char *out,
                    unsigned *out_n)
{
    NEXT(HMAC, NULL);
    count(SIGNATURE);
    return next_(md, key, key_n, d, n, out, out_n);
}

/* --- input and output: they tell which threads served, and where a fault is planted --- */
static void plant(void)
{
    uint64_t what = file ? atomic_load_explicit(&file->plant, memory_order_relaxed) : 0;
    if (what & 1) {
        void *volatile p = malloc(1); /* volatile: the compiler leaves out an allocation that nobody looks at */
        free(p);
    }
    if (what & 2) {
        static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
    if (what & 4) count(SIGNATURE);
    if (what & 8) syscall(SYS_futex, &(int){0}, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
    NEXT(recv, NULL);
    count(RECV);
    plant();
    return next_(fd, p, n, flags);
}

/* The product makes two of its calls by number (net/socket.c). */
long syscall(long number, ...)
{
    NEXT(syscall, NULL);
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_recvfrom) {
        count(RECV);
        plant();
    }
    if (number == SYS_sendto) count(SEND);
    return next_(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* What _FORTIFY_SOURCE makes of recv and read where it cannot see the size. */
ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags);
ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags)
{
    if (n > room) abort();
    return recv(fd, p, n, flags);
}

ssize_t __read_chk(int fd, void *p, size_t n, size_t room);
ssize_t __read_chk(int fd, void *p, size_t n, size_t room)
{
    if (n > room) abort();
    return read(fd, p, n);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    NEXT(recvmsg, NULL);
    count(RECV);
    plant();
    return next_(fd, m, flags);
}

ssize_t read(int fd, void *p, size_t n)
{
    NEXT(read, NULL);
    count(RECV);
    plant();
    return next_(fd, p, n);
}

ssize_t readv(int fd, const struct iovec *v, int n)
{
    NEXT(readv, NULL);
    count(RECV);
    plant();
    return next_(fd, v, n);
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    NEXT(send, NULL);
    count(SEND);
    return next_(fd, p, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    NEXT(sendmsg, NULL);
    count(SEND);
    return next_(fd, m, flags);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    NEXT(writev, NULL);
    count(SEND);
    return next_(fd, v, n);
}

int epoll_wait(int ep, struct epoll_event *e, int n, int timeout)
{
    NEXT(epoll_wait, NULL);
    count(WAIT);
    return next_(ep, e, n, timeout);
}

int epoll_pwait2(int ep, struct epoll_event *e, int n, const struct timespec *t, const sigset_t *s)
{
    NEXT(epoll_pwait2, NULL);
    count(WAIT);
    return next_(ep, e, n, t, s);
}
