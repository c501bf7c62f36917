/* SPDX-License-Identifier: Apache-2.0
 *
 * A process whose memory can become an image (image.h): everything that a program may point to
 * lies in the address range of images, its stack included, and nothing in it belongs to this one
 * process: no vdso (its place differs in each), no heap at the program break, no registered
 * restartable sequences.
 *
 * execve(2) cannot do that. So the program and its dynamic loader are mapped here, and entered with
 * the stack that the kernel would have made (System V ABI, "Process Initialization").
 *
 * One process is three programs after each other:
 *
 *     launcher --make-image   as anybody starts it. The kernel chooses where mappings go when it
 *                             executes a program, so all that this one does is to ask for the old
 *                             layout, from below (personality(2)), and to execute itself
 *     the same, once more     has that layout. It fills the holes below everything it has, so that
 *                             what is mapped from now on lies behind: in the range of the image
 *     launcher --dump-image   mapped by hand with its dynamic loader, so execve(2) is not asked. It
 *                             loads libpython and the package, calls the hot functions until the
 *                             interpreter has specialized them, and writes down its own memory
 *                             (image-dump.c)
 *
 * and every later command is a process that has only the front and then this memory
 * (front-image.c). What is done here for the sake of those:
 *
 *     the break is blocked    malloc would put its heap at the program break, which is elsewhere in
 *                             each process; without one it takes mappings, which are in the range
 *     no AT_SYSINFO_EHDR      the C library would keep pointers into the vdso, whose place changes
 *     rseq=0                  the kernel writes to an area that a thread has registered with it; a
 *                             process that maps the image has registered none
 *     a stack of our own      frames of the interpreter point to it; it is in the range, too
 *     an environment of ours  what Python reads of it at its start would be everybody's
 *
 * What breaks an image, in the order in which one finds out: a pointer out of the range (something
 * was mapped before the holes were filled: the first use of it faults); a second thread (only the
 * one that writes is there afterwards); a module that keeps a pid, a time or a descriptor when it
 * is imported (freeze.py lets in only what it names); code that a library has chosen for the
 * processor (the front compares it, and every library by inode, size and time).
 */
#define _GNU_SOURCE
#include "image-host.h"

#include <errno.h>

#include "image.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <unistd.h>

#define STACK_SIZE (8UL << 20)
#define HEADERS_MAX 16

struct program {
    uintptr_t base;
    uintptr_t entry;
    uintptr_t headers;
    size_t header_count;
    char loader[IMAGE_PATH];
};

/* Addresses, from the first one to before the last. */
struct range {
    uintptr_t from;
    uintptr_t to;
};

static uintptr_t page; /* bytes in one */

/* The environment of the process that becomes an image; the caller's must not be in it. */
static const char *const ENVIRONMENT[] = {"GLIBC_TUNABLES=glibc.pthread.rseq=0", NULL};

static int protection_of(const Elf64_Phdr *header)
{
    return (header->p_flags & PF_R ? PROT_READ : 0) | (header->p_flags & PF_W ? PROT_WRITE : 0) |
           (header->p_flags & PF_X ? PROT_EXEC : 0);
}

static int map_segment(int fd, uintptr_t base, const Elf64_Phdr *header)
{
    uintptr_t start = base + (header->p_vaddr & ~(page - 1));
    uintptr_t in_file = base + header->p_vaddr + header->p_filesz;
    uintptr_t end = base + header->p_vaddr + header->p_memsz;
    uintptr_t file_end = (in_file + page - 1) & ~(page - 1);
    int protection = protection_of(header);
    if (mmap((void *)start, in_file - start, protection, MAP_PRIVATE | MAP_FIXED, fd,
             (off_t)(header->p_offset & ~(page - 1))) == MAP_FAILED)
        return -1;
    if (end <= in_file)
        return 0;
    /* All of the page, as the kernel does: the dynamic loader takes its first memory from there. */
    memset((void *)in_file, 0, file_end - in_file);
    if (end > file_end && mmap((void *)file_end, end - file_end, protection,
                               MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        return -1;
    return 0;
}

/* Maps a position-independent ELF file where the kernel has room. */
static int map_program(const char *path, struct program *program)
{
    Elf64_Ehdr file;
    Elf64_Phdr headers[HEADERS_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = -1;
    if (pread(fd, &file, sizeof file, 0) != sizeof file || file.e_type != ET_DYN ||
        file.e_phnum > HEADERS_MAX ||
        pread(fd, headers, file.e_phnum * sizeof *headers, (off_t)file.e_phoff) !=
            (ssize_t)(file.e_phnum * sizeof *headers)) {
        errno = ENOEXEC;
        goto done;
    }
    uintptr_t size = 0;
    for (size_t i = 0; i < file.e_phnum; i++) {
        if (headers[i].p_type == PT_LOAD)
            size = headers[i].p_vaddr + headers[i].p_memsz;
        if (headers[i].p_type == PT_INTERP &&
            (headers[i].p_filesz > sizeof program->loader ||
             pread(fd, program->loader, headers[i].p_filesz, (off_t)headers[i].p_offset) < 0))
            goto done;
    }
    void *place = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED)
        goto done;
    program->base = (uintptr_t)place;
    for (size_t i = 0; i < file.e_phnum; i++)
        if (headers[i].p_type == PT_LOAD && map_segment(fd, program->base, &headers[i]) < 0)
            goto done;
    program->entry = program->base + file.e_entry;
    program->headers = program->base + file.e_phoff;
    program->header_count = file.e_phnum;
    result = 0;
done:
    close(fd);
    return result;
}

/* The addresses that an image may have: those at which the kernel puts mappings from below, and in
 * the layout that it has had since Linux 2.6.9 nothing. The bottom-up layout begins at a third (x86)
 * or a quarter (AArch64) of all addresses, programs are at two thirds, and the stack of this process
 * lies at the end, which tells how many bits an address has: on AArch64 that is the kernel's choice
 * (Documentation/arm64/memory.rst). */
static struct range possible_addresses(void)
{
    uintptr_t all = (uintptr_t)-1 >> __builtin_clzl((uintptr_t)__builtin_frame_address(0));
    return (struct range){all / 4, all / 8 * 5};
}

/* The kernel gives the lowest hole that is large enough, and there are holes between what this
 * process has already. Filled up, they leave only addresses behind all of that; the first is
 * returned. */
static uintptr_t fill_holes(const struct range *possible)
{
    uintptr_t end = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx", &from, &to) == 2 && from >= possible->from &&
            to < possible->to)
            end = to;
    }
    if (maps != NULL)
        fclose(maps);
    for (size_t size = 1UL << 36; size >= page; size >>= 1) {
        for (;;) {
            void *place = mmap(NULL, size, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (place == MAP_FAILED)
                return 0;
            if ((uintptr_t)place >= end) {
                munmap(place, size);
                break;
            }
        }
    }
    return end;
}

/* malloc falls back to mappings where the program break cannot move. */
static int block_break(void)
{
    uintptr_t here = ((uintptr_t)sbrk(0) + page - 1) & ~(page - 1);
    return mmap((void *)here, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                0) == MAP_FAILED
               ? -1
               : 0;
}

static char *push_text(char **top, const char *text)
{
    size_t length = strlen(text) + 1;
    *top -= length;
    return memcpy(*top, text, length);
}

/* argc, argv, environment and auxiliary vector, below the texts that they point to. */
static uintptr_t *make_stack(char *top, char **argv, const struct program *program,
                             uintptr_t loader_base, const struct range *range)
{
    uintptr_t words[128];
    size_t count = 1;
    char addresses[64];
    snprintf(addresses, sizeof addresses, IMAGE_RANGE_VARIABLE "=%lx-%lx",
             (unsigned long)range->from, (unsigned long)range->to);

    for (; argv[count - 1] != NULL && count < 16; count++)
        words[count] = (uintptr_t)push_text(&top, argv[count - 1]);
    words[0] = count - 1;
    words[count++] = 0;
    for (size_t i = 0; ENVIRONMENT[i] != NULL; i++)
        words[count++] = (uintptr_t)push_text(&top, ENVIRONMENT[i]);
    words[count++] = (uintptr_t)push_text(&top, addresses);
    words[count++] = 0;

    char *random = top -= 16;
    memcpy(random, (const void *)getauxval(AT_RANDOM), 16);
    const uintptr_t vector[][2] = {
        {AT_PHDR, program->headers},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, program->header_count},
        {AT_BASE, loader_base},
        {AT_ENTRY, program->entry},
        {AT_FLAGS, 0},
        {AT_PAGESZ, page},
        {AT_CLKTCK, getauxval(AT_CLKTCK)},
        {AT_UID, getuid()},
        {AT_EUID, geteuid()},
        {AT_GID, getgid()},
        {AT_EGID, getegid()},
        {AT_SECURE, 0},
        {AT_HWCAP, getauxval(AT_HWCAP)},
        {AT_HWCAP2, getauxval(AT_HWCAP2)},
        {AT_MINSIGSTKSZ, getauxval(AT_MINSIGSTKSZ)},
        {AT_RANDOM, (uintptr_t)random},
        {AT_PLATFORM, (uintptr_t)push_text(&top, (const char *)getauxval(AT_PLATFORM))},
        {AT_EXECFN, words[1]},
        {AT_NULL, 0},
    };
    memcpy(&words[count], vector, sizeof vector);
    count += sizeof vector / sizeof(uintptr_t);
    uintptr_t *stack = (uintptr_t *)((uintptr_t)top & ~15UL) - ((count + 1) & ~1UL);
    return memcpy(stack, words, count * sizeof *words);
}

const char *image_host(const char *path, char **again, char **argv)
{
    /* Mappings from below, where no ordinary process has any; it holds from the next execve on. */
    int now = personality(0xffffffff);
    if (now >= 0 && !(now & ADDR_COMPAT_LAYOUT)) {
        if (personality((unsigned long)now | ADDR_COMPAT_LAYOUT) >= 0)
            execv(path, again);
        return "personality(ADDR_COMPAT_LAYOUT)";
    }
    struct program program = {0}, loader = {0};
    page = getauxval(AT_PAGESZ);
    struct range range = possible_addresses();
    range.from = fill_holes(&range);
    if (range.from == 0 || block_break() < 0)
        return "address range";
    if (map_program(path, &program) < 0 || map_program(program.loader, &loader) < 0)
        return "mapping of the launcher";
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED)
        return "stack";
    uintptr_t *words =
        make_stack(stack + STACK_SIZE, argv, &program, loader.base, &range);
    machine_run(loader.entry, (uintptr_t)words);
}
