/* SPDX-License-Identifier: Apache-2.0
 *
 * See image-load.h and image.h.
 */
#define _GNU_SOURCE
#include "image-load.h"

#include "image.h"

#ifdef IMAGE_SUPPORTED

#include <asm/prctl.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

/* Too large for the stack of a process with a small limit; read once. */
static struct image_header header;
static struct image_caller caller;

static int is_unchanged(const struct image_source *source)
{
    struct stat status;
    return stat(source->path, &status) == 0 && status.st_ino == source->inode &&
           (uint64_t)status.st_size == source->size &&
           status.st_mtim.tv_sec == source->seconds &&
           status.st_mtim.tv_nsec == source->nanoseconds;
}

static int is_for_us(int fd, const char *directory)
{
    ssize_t length = pread(fd, &header, sizeof header, 0);
    struct stat status;
    if (length != sizeof header || header.magic != IMAGE_MAGIC || fstat(fd, &status) != 0 ||
        (uint64_t)status.st_size != header.size || header.segment_count > IMAGE_SEGMENTS ||
        header.source_count > IMAGE_SOURCES || strcmp(header.directory, directory) != 0)
        return 0;
    struct image_processor processor;
    memset(&processor, 0, sizeof processor);
    image_read_processor(&processor);
    if (memcmp(&processor, &header.processor, sizeof processor) != 0)
        return 0;
    for (uint32_t i = 0; i < header.source_count; i++)
        if (!is_unchanged(&header.sources[i]))
            return 0;
    return 1;
}

static int map_segments(int fd)
{
    for (uint32_t i = 0; i < header.segment_count; i++) {
        const struct image_segment *segment = &header.segments[i];
        int in_file = segment->offset != IMAGE_ZEROES;
        int flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE |
                    (in_file ? 0 : MAP_ANONYMOUS | MAP_NORESERVE);
        void *wanted = (void *)segment->address; /* NOLINT: an address is what it is */
        void *got = mmap(wanted, segment->length, (int)segment->protection, flags,
                         in_file ? fd : -1, in_file ? (off_t)segment->offset : 0);
        if (got == wanted)
            continue;
        if (got != MAP_FAILED)
            munmap(got, segment->length);
        while (i-- > 0)
            munmap((void *)header.segments[i].address, header.segments[i].length);
        return -1;
    }
    return 0;
}

/* From here on the thread pointer is the image's: nothing of our own libc may run, and no function
 * whose stack protector was set under the old one may return. */
static _Noreturn __attribute__((optimize("no-stack-protector"))) void enter(void)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(SYS_arch_prctl), "D"(ARCH_SET_FS), "S"(header.thread_pointer)
                     : "rcx", "r11", "memory");
    __asm__ volatile("mov %0, %%rsp\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call *%1\n\t"
                     "hlt"
                     :
                     : "r"(header.stack), "r"(header.entry), "D"(&caller)
                     : "memory");
    __builtin_unreachable();
}

void image_load(const char *name, const char *directory, int argc, char **argv)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    int mapped = is_for_us(fd, directory) && map_segments(fd) == 0;
    close(fd);
    if (!mapped)
        return;
    caller = (struct image_caller){.argc = argc, .argv = argv, .environment = environ};
    const void *random = (const void *)getauxval(AT_RANDOM);
    if (random != NULL)
        memcpy(&caller.random, random, sizeof caller.random);
    enter();
}

#else

void image_load(const char *name, const char *directory, int argc, char **argv)
{
    (void)name, (void)directory, (void)argc, (void)argv;
}

#endif
