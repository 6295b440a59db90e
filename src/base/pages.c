#include "base/pages.h"

#include "base/str.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

/* Whether the loader may have written into code or constants of this object (none of a Debian on x86-64). Those pages
 * would come back as they stand in the file. */
static bool written_by_loader(const struct dl_phdr_info *o)
{
    for (size_t i = 0; i < o->dlpi_phnum; i++) {
        if (o->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
        for (const ElfW(Dyn) *d = (const void *)(o->dlpi_addr + o->dlpi_phdr[i].p_vaddr); d->d_tag != DT_NULL; d++)
            if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && d->d_un.d_val & DF_TEXTREL)) return true;
        return false;
    }
    return true; /* no dynamic object: not one whose rules we know */
}

/* A segment that was never writable holds what the file holds; the one of relocated constants (RELRO) was writable when
 * it was loaded, and says so here. Only whole pages within the segment. */
static int forget(struct dl_phdr_info *o, size_t size, void *page)
{
    (void)size;
    const size_t mask = *(const size_t *)page - 1;
    if (str_starts(str_of(o->dlpi_name), STR("linux-vdso")) || written_by_loader(o)) return 0;
    for (size_t i = 0; i < o->dlpi_phnum; i++) {
        const ElfW(Phdr) *s = &o->dlpi_phdr[i];
        if (s->p_type != PT_LOAD || s->p_flags & PF_W) continue;
        uintptr_t from = (o->dlpi_addr + s->p_vaddr + mask) & ~mask;
        uintptr_t to = (o->dlpi_addr + s->p_vaddr + s->p_filesz) & ~mask;
        if (from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
    return 0;
}

void pages_forget_start(void)
{
    long page = sysconf(_SC_PAGESIZE);
    size_t size = page > 0 ? (size_t)page : 0;
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#endif
    if (size && (size & (size - 1)) == 0) (void)dl_iterate_phdr(forget, &size);
}
