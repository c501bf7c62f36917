/* SPDX-License-Identifier: Apache-2.0
 *
 * Entering the start image; see image.h, and image-host.c for how its memory came about.
 *
 * The order: look at the file (is it ours, whole, unchanged, for this processor); then map, then
 * take over the thread pointer and the stack, then call `entry`. Until the first mapping everything
 * can still be left; a mapping that fails leaves the ordinary start, whose execve(2) takes away
 * what was mapped (map_image). Behind the thread pointer there is no way back: our own stack and
 * static data stay, but no function of the C library knew of them.
 * MAP_FIXED_NOREPLACE instead of MAP_FIXED: no kernel that we know puts anything of an ordinary
 * process there, and one that does gets the ordinary start, not a damaged process.
 *
 * What each process has of its own in spite of the common memory, and what not:
 *
 *     stack protector     renewed before the first function that has one returns (embed.c)
 *     program break, environment, arguments, signals      the process's own (embed.c)
 *     pointer guard       the installation's. The C library mangles with it what it has stored:
 *                         functions to call at exit, buffers of setjmp(3). Those in the image would
 *                         have to be found and mangled anew, for which there is no interface. It is
 *                         there for programs in which somebody else can overwrite memory and cannot
 *                         read it. Who can read this file knows the addresses in it as well, as
 *                         with any library that is mapped at the same place; what a command reads
 *                         of others (their rootfs, their sockets) is bounded in Python and in
 *                         sealed programs, which have no image
 *     hash seed           of Python's strings: the installation's. Keys of documents are the
 *                         caller's, of whom we run one document
 *     malloc's keys       against a double free, and the addresses that it hides pointers by: the
 *                         installation's, for the same reason
 *
 * To see it: `ociruntime image` says whether commands enter one and why not, `--debug` the same for
 * this one. perf(1) counts the image under its file's name, start.image; gdb(1) has addresses and
 * no names there, because it asks the executable for its libraries, and that is the front. For
 * names, start the long way round, which runs the same code from files: `build/ociruntime` of a
 * checkout after `make dev`. A fault in the image and not there is one of image-host.c's list.
 */
#include "image.h"

#include "front.h"

#include <asm/stat.h>
#include <linux/auxvec.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/stat.h>
#include <stddef.h>

#include "raw.h"

/* Too large for the stack of a process with a small limit; read once. */
static struct image_header header;
static struct image_caller caller;

enum source_state { SAME, CHANGED, GONE };

static enum source_state state_of(const struct image_source *source)
{
    struct stat status;
    if (sys(__NR_newfstatat, AT_FDCWD, source->path, &status, 0) != 0)
        return GONE;
    return status.st_ino == source->inode && (uint64_t)status.st_size == source->size &&
                   (int64_t)status.st_mtime == source->seconds &&
                   (int64_t)status.st_mtime_nsec == source->nanoseconds
               ? SAME
               : CHANGED;
}

/* What the kernel says in the auxiliary vector (getauxval(3)), 0 where it says nothing. */
static unsigned long auxiliary(const struct front *front, unsigned long type)
{
    const unsigned long *pair = front->vector;
    while (pair[0] != type && pair[0] != AT_NULL)
        pair += 2;
    return pair[0] == type ? pair[1] : 0;
}

static int is_this_processor(const struct front *front)
{
    const uint64_t capabilities[] = {auxiliary(front, AT_HWCAP), auxiliary(front, AT_HWCAP2),
                                     auxiliary(front, AT_PAGESZ)};
    struct image_processor processor;
    machine_read_processor(&processor, capabilities);
    for (unsigned int i = 0; i < sizeof processor.words / sizeof processor.words[0]; i++)
        if (processor.words[i] != header.processor.words[i])
            return 0;
    return 1;
}

/* NULL, or the first library that is another one than when the image was made. */
static const char *changed_source(void)
{
    const char *changed = NULL;
    for (uint32_t i = 0; i < header.source_count; i++) {
        const struct image_source *source = &header.sources[i];
        enum source_state state = state_of(source);
        if (state == GONE && source->is_vital) {
            caller.without = source->path;
            return NULL;
        }
        if (state != SAME && changed == NULL)
            changed = source->path;
    }
    return changed;
}

/* Who owns the program that runs could have put anything there instead of the program: his image is
 * as good as that, and root's is as good as anybody's. Another user's is not, not even the caller's
 * own: no installation comes to that. In a user namespace that root is not in, its files belong to
 * the overflow uid, the program's as well as the image's. */
static int is_owner_trusted(unsigned int owner, const struct front *front)
{
    struct stat program;
    return owner == 0 || (sys(__NR_newfstatat, AT_FDCWD, front->path, &program, 0) == 0 &&
                          program.st_uid == owner);
}

/* NULL, or why the file is nothing to look into. */
static const char *untrusted(const struct stat *status, const struct front *front)
{
    if ((status->st_mode & S_IFMT) != S_IFREG)
        return "it is no regular file";
    if (!is_owner_trusted(status->st_uid, front))
        return "it belongs neither to root nor to the owner of ociruntime";
    if (status->st_mode & (S_IWGRP | S_IWOTH))
        return "others than its owner may write to it";
    return NULL;
}

/* The header is what the maker wrote, so what it says can be used. */
static int is_header_whole(int fd)
{
    return sys(__NR_pread64, fd, &header, sizeof header, 0) == sizeof header &&
           header.magic == IMAGE_MAGIC && image_checksum(&header) == header.checksum &&
           header.segment_count <= IMAGE_SEGMENTS && header.source_count <= IMAGE_SOURCES;
}

static int is_content_whole(int fd)
{
    static uint64_t piece[IMAGE_PAGE / sizeof(uint64_t)];
    uint64_t sum = CHECKSUM_START;
    long got;
    for (unsigned long offset = IMAGE_CONTENT; offset < header.size; offset += (unsigned long)got) {
        got = sys(__NR_pread64, fd, piece, sizeof piece, offset);
        if (got <= 0 || got % sizeof *piece != 0)
            return 0;
        sum = checksum_add(sum, piece, (unsigned long)got / sizeof *piece);
    }
    return sum == header.content;
}

static int is_as_made(const struct stat *status)
{
    return status->st_ino == header.inode && (int64_t)status->st_mtime == header.seconds &&
           (int64_t)status->st_mtime_nsec == header.nanoseconds;
}

/* NULL, or why this image cannot be entered. */
static const char *misfit(int fd, const struct front *front)
{
    struct stat status;
    if (sys(__NR_fstat, fd, &status) != 0)
        return "it cannot be read";
    const char *reason = untrusted(&status, front);
    if (reason != NULL)
        return reason;
    if (!is_header_whole(fd))
        return "it is damaged, or of another version of ociruntime";
    if ((uint64_t)status.st_size != header.size)
        return "it has another size than when it was made";
    if (!is_same(header.directory, front->directory))
        return "it was made for another directory";
    if (!is_this_processor(front))
        return "it was made on another processor";
    if (!is_as_made(&status))
        return "it was copied or written to since it was made";
    if (front->checks_content && !is_content_whole(fd))
        return "its content is damaged";
    return changed_source();
}

/* Page faults of this process so far, of those that needed no disk. */
static long faults(void)
{
    long usage[18]; /* struct rusage */
    return sys(__NR_getrusage, 0 /* RUSAGE_SELF */, usage) == 0 ? usage[8] : 0;
}

/* Reads what the image has between the addresses; memory that was empty has nothing in the file. */
static int read_content(int fd, unsigned long from, unsigned long to)
{
    for (uint32_t i = 0; i < header.segment_count; i++) {
        const struct image_segment *segment = &header.segments[i];
        unsigned long begin = segment->address > from ? segment->address : from;
        unsigned long end = segment->address + segment->length;
        end = end < to ? end : to;
        if (begin >= end || segment->offset == IMAGE_ZEROES)
            continue;
        if (sys(__NR_pread64, fd, begin, end - begin,
                segment->offset + (begin - segment->address)) != (long)(end - begin))
            return -1;
    }
    return 0;
}

/* One huge page, when the kernel gives one: 0 otherwise, -1 when the image cannot be entered. */
static int read_huge_page(int fd, unsigned long address)
{
    enum { PIECE = 1 << 16, FEW = 4 };
    const unsigned long end = address + IMAGE_HUGE_PAGE;
    if ((unsigned long)sys(__NR_mmap, address, IMAGE_HUGE_PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                           0) != address)
        return -1;
    long before = faults();
    if (sys(__NR_madvise, address, IMAGE_HUGE_PAGE, MADV_HUGEPAGE) == 0 &&
        read_content(fd, address, address + PIECE) == 0 && faults() - before < FEW)
        return read_content(fd, address + PIECE, end) < 0 ? -1 : 1;
    sys(__NR_munmap, address, IMAGE_HUGE_PAGE);
    return 0;
}

/* Huge pages instead of a fault for each page that the command changes, which are most of those
 * that begin the heap (embed.c). Where the addresses of the segments begin that are not in them; 0
 * on failure. */
static unsigned long read_huge_pages(int fd, unsigned int wanted)
{
    unsigned long address = header.objects;
    for (unsigned int i = 0; i < wanted && i < header.huge_pages; i++) {
        int got = read_huge_page(fd, address);
        if (got < 0)
            return 0;
        if (got == 0)
            break;
        address += IMAGE_HUGE_PAGE;
    }
    return address;
}

static int map_segment(int fd, const struct image_segment *segment, unsigned long from)
{
    unsigned long end = segment->address + segment->length;
    if (from >= end)
        return 0;
    int in_file = segment->offset != IMAGE_ZEROES;
    int flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE | (in_file ? 0 : MAP_ANONYMOUS | MAP_NORESERVE);
    unsigned long offset = segment->offset + (from - segment->address);
    return (unsigned long)sys(__NR_mmap, from, end - from, segment->protection, flags,
                              in_file ? fd : -1, in_file ? offset : 0) == from
               ? 0
               : -1;
}

/* What is mapped when this fails goes with the launcher's execution. */
static int map_image(int fd, unsigned int huge_pages)
{
    unsigned long behind = read_huge_pages(fd, huge_pages);
    if (behind == 0)
        return -1;
    for (uint32_t i = 0; i < header.segment_count; i++) {
        const struct image_segment *segment = &header.segments[i];
        int is_read = segment->address >= header.objects && segment->address < behind;
        if (map_segment(fd, segment, is_read ? behind : segment->address) < 0)
            return -1;
        /* What a resident process maps without need counts as its memory. */
        if (huge_pages == 0 && segment->length >= IMAGE_HUGE_PAGE)
            sys(__NR_madvise, segment->address, segment->length, MADV_NOHUGEPAGE);
    }
    return 0;
}

/* Whether the middle of the interpreter's code, the largest that nobody writes to, would have to be
 * read from the disk. Whom the kernel does not tell is told that it would not (mincore(2)). */
static int is_cold(void)
{
    const struct image_segment *code = &header.segments[0];
    unsigned char in_memory = 1;
    for (uint32_t i = 0; i < header.segment_count; i++) {
        const struct image_segment *segment = &header.segments[i];
        if (!(segment->protection & PROT_WRITE) && segment->length > code->length)
            code = segment;
    }
    unsigned long middle = code->address + (code->length / 2 & ~(IMAGE_PAGE - 1));
    return sys(__NR_mincore, middle, 1, &in_memory) == 0 && !(in_memory & 1);
}

/* After a boot, or when memory was short: read all of it at once, by huge pages where the file system
 * has large folios. Commands that read page by page what they need would leave it in single pages,
 * and each command after them would take a quarter longer. */
static void warm(void)
{
    for (uint32_t i = 0; i < header.segment_count; i++) {
        const struct image_segment *segment = &header.segments[i];
        if (segment->offset == IMAGE_ZEROES)
            continue;
        sys(__NR_madvise, segment->address, segment->length, MADV_HUGEPAGE);
        sys(__NR_madvise, segment->address, segment->length, MADV_POPULATE_READ);
    }
}

/* From here on the thread pointer is the image's. */
static _Noreturn void enter(void)
{
    machine_set_thread_pointer(header.thread_pointer);
    machine_call(header.entry, header.stack, &caller);
}

const char *image_load(const char *name, const struct front *front)
{
    /* Nothing that may lie there instead of a file makes us wait (fifo(7), open(2)). */
    long fd =
        sys(__NR_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd == -ENOENT  ? "there is none"
               : fd == -ELOOP ? "it is a symbolic link"
                              : "it cannot be opened";
    const char *reason = misfit((int)fd, front);
    if (reason == NULL && map_image((int)fd, front->huge_pages) < 0)
        reason = "its addresses are in use, or memory is scarce";
    sys(__NR_close, fd);
    if (reason != NULL)
        return reason;
    if (is_cold())
        warm();
    caller.argc = front->argc;
    caller.argv = front->argv;
    caller.environment = front->environment;
    const uint64_t *random = (const uint64_t *)auxiliary(front, AT_RANDOM);
    if (random != NULL)
        caller.random = *random;
    enter();
}
