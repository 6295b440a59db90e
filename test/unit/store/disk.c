#include "disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#define SYNCED ".synced"

static struct {
    enum disk_fault kind;
    long left; /* -1: none */
    bool on, full, hit;
} fault = {.left = -1};

void disk_fail_at(enum disk_fault kind, long n, bool on, bool full)
{
    fault.kind = kind;
    fault.left = n;
    fault.on = on;
    fault.full = full;
    fault.hit = false;
}

void disk_mend(void)
{
    fault.left = -1;
}

bool disk_failed(void)
{
    return fault.hit;
}

static bool refuse(enum disk_fault kind)
{
    if (fault.left < 0 || fault.kind != kind) return false;
    if (fault.left > 0) {
        fault.left--;
        return false;
    }
    if (!fault.on) fault.left = -1;
    fault.hit = true;
    return true;
}

/* --- files --- */

struct file {
    sqlite3_file base;
    char path[256]; /* "" a temporary one */
    sqlite3_file *real;
};

static sqlite3_vfs *unix_vfs;

static sqlite3_file *real(sqlite3_file *f)
{
    return ((struct file *)(void *)f)->real;
}

static void copy(const char *from, const char *to)
{
    static char block[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, block, sizeof block)) > 0;) assert_int_equal(write(out, block, (size_t)n), n);
    close(in);
    close(out);
}

static int on_close(sqlite3_file *f)
{
    int code = real(f)->pMethods ? real(f)->pMethods->xClose(real(f)) : SQLITE_OK;
    sqlite3_free(real(f));
    return code;
}

static int on_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return real(f)->pMethods->xRead(real(f), p, n, at);
}

static int on_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (!refuse(DISK_WRITE)) return real(f)->pMethods->xWrite(real(f), p, n, at);
    (void)real(f)->pMethods->xWrite(real(f), p, n / 2, at); /* torn */
    return fault.full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    return refuse(DISK_TRUNCATE) ? SQLITE_IOERR_TRUNCATE : real(f)->pMethods->xTruncate(real(f), n);
}

static int on_sync(sqlite3_file *f, int flags)
{
    struct file *file = (struct file *)(void *)f;
    char synced[300];
    if (refuse(DISK_SYNC)) return SQLITE_IOERR_FSYNC;
    (void)flags; /* the tests need no real one */
    snprintf(synced, sizeof synced, "%s" SYNCED, file->path);
    if (file->path[0]) copy(file->path, synced);
    return SQLITE_OK;
}

static int on_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return real(f)->pMethods->xFileSize(real(f), n);
}

static int on_lock(sqlite3_file *f, int how)
{
    return real(f)->pMethods->xLock(real(f), how);
}

static int on_unlock(sqlite3_file *f, int how)
{
    return real(f)->pMethods->xUnlock(real(f), how);
}

static int on_reserved(sqlite3_file *f, int *out)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int on_control(sqlite3_file *f, int op, void *arg)
{
    return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int on_sector(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int on_device(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int on_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}

static int on_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return real(f)->pMethods->xShmLock(real(f), at, n, flags);
}

static void on_shm_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

static int on_shm_unmap(sqlite3_file *f, int drop)
{
    return real(f)->pMethods->xShmUnmap(real(f), drop);
}

static const sqlite3_io_methods methods = {
    2,           on_close,       on_read,      on_write,   on_truncate, on_sync,   on_size,
    on_lock,     on_unlock,      on_reserved,  on_control, on_sector,   on_device, on_shm_map,
    on_shm_lock, on_shm_barrier, on_shm_unmap, NULL,       NULL,
};

static int on_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *out)
{
    struct file *file = (struct file *)(void *)f;
    (void)vfs;
    file->base.pMethods = NULL;
    if (refuse(DISK_OPEN)) return SQLITE_CANTOPEN;
    file->real = sqlite3_malloc(unix_vfs->szOsFile);
    if (!file->real) return SQLITE_NOMEM;
    memset(file->real, 0, (size_t)unix_vfs->szOsFile);
    int code = unix_vfs->xOpen(unix_vfs, path, file->real, flags, out);
    if (code != SQLITE_OK) {
        sqlite3_free(file->real);
        return code;
    }
    snprintf(file->path, sizeof file->path, "%s", path ? path : "");
    file->base.pMethods = &methods;
    return SQLITE_OK;
}

/* A removed file is gone in the synced image too: SQLite syncs the folder. */
static int on_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    char synced[300];
    (void)vfs;
    snprintf(synced, sizeof synced, "%s" SYNCED, path);
    unlink(synced);
    return unix_vfs->xDelete(unix_vfs, path, sync);
}

/* --- memory --- */

static sqlite3_mem_methods plain;
static struct {
    long left;
    bool on, hit;
} memory = {.left = -1};

void disk_memory_fail_at(long n, bool on)
{
    memory.left = n;
    memory.on = on;
    memory.hit = false;
}

bool disk_memory_failed(void)
{
    return memory.hit;
}

static bool no_memory(void)
{
    if (memory.left < 0) return false;
    if (memory.left > 0) {
        memory.left--;
        return false;
    }
    if (!memory.on) memory.left = -1;
    memory.hit = true;
    return true;
}

static void *on_malloc(int n)
{
    return no_memory() ? NULL : plain.xMalloc(n);
}

static void *on_realloc(void *p, int n)
{
    return no_memory() ? NULL : plain.xRealloc(p, n);
}

void disk_install(void)
{
    static sqlite3_vfs shim;
    static sqlite3_mem_methods refusing;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain), SQLITE_OK);
    refusing = plain;
    refusing.xMalloc = on_malloc;
    refusing.xRealloc = on_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &refusing), SQLITE_OK);
    /* blocks that are set aside would hide the refusals */
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
    unix_vfs = sqlite3_vfs_find(NULL);
    shim = *unix_vfs;
    shim.zName = "refusing";
    shim.szOsFile = sizeof(struct file);
    shim.xOpen = on_open;
    shim.xDelete = on_delete;
    assert_int_equal(sqlite3_vfs_register(&shim, 1), SQLITE_OK);
}

void disk_snapshot(const char *dir, const char *to, bool synced_only)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char from[600], into[600];
        str name = str_of(e->d_name);
        bool synced = str_ends(name, STR(SYNCED));
        if (name.p[0] == '.' || synced != synced_only || str_ends(name, STR("-shm"))) continue;
        snprintf(from, sizeof from, "%s/%s", dir, e->d_name);
        if (synced) name.n -= sizeof SYNCED - 1;
        snprintf(into, sizeof into, "%s/%.*s", to, STR_ARG(name));
        copy(from, into);
    }
    closedir(d);
}
