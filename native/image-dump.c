/* SPDX-License-Identifier: Apache-2.0
 *
 * See image-dump.h. Runs in a process made by image-host.c, which tells the addresses of the image
 * in IMAGE_RANGE_VARIABLE.
 *
 * The process goes on while it writes itself, so the order matters: the list of mappings is read
 * into memory that is there already, sources are noted before their memory is written, and the sum
 * is that of the file, never of the memory, which has changed since. The stack pointer in the
 * header lies below the frame that writes (STACK_MARGIN): who enters the image returns into none of
 * the frames above it, and calls `entry` instead. PROT_NONE is left out: the filled holes, guard
 * pages and the reserve behind libraries are nobody's memory.
 *
 * A core of all this: `readelf` knows nothing of the file, it is no ELF. `struct image_header` in
 * image.h is its table; in a process that has entered one, /proc/PID/maps names the segments.
 */
#define _GNU_SOURCE
#include "image-dump.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image-file.h"

/* Bytes: fewer are cheaper in the file than another mapping at each start. */
#define ZEROES_WORTH_A_SEGMENT (256UL << 10)
/* What a frame of this file may have below its own stack pointer. */
#define STACK_MARGIN 4096UL
#define MAPS_SIZE (1 << 18)

static struct image_header header;
static uintptr_t page_size;
static uintptr_t first, last; /* address of the image */

/* -1 in a process that image-host.c did not make. */
static int read_range(void)
{
    unsigned long from, to;
    const char *text = getenv(IMAGE_RANGE_VARIABLE);
    if (text == NULL || sscanf(text, "%lx-%lx", &from, &to) != 2)
        return -1;
    first = from;
    last = to;
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static int is_zero(uintptr_t page)
{
    const uint64_t *word = (const uint64_t *)page;
    for (size_t i = 0; i < page_size / sizeof *word; i++)
        if (word[i] != 0)
            return 0;
    return 1;
}

static int write_all(int fd, uintptr_t address, size_t length, off_t offset)
{
    while (length > 0) {
        ssize_t written = pwrite(fd, (const void *)address, length, offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        address += (size_t)written;
        offset += written;
        length -= (size_t)written;
    }
    return 0;
}

static int add_segment(int fd, uintptr_t from, uintptr_t to, int protection, int in_file)
{
    if (from == to)
        return 0;
    if (header.segment_count == IMAGE_SEGMENTS) {
        errno = E2BIG;
        return -1;
    }
    /* The kernel maps what lies in the file as in memory by huge pages, where it has read it so. */
    if (in_file && from % IMAGE_HUGE_PAGE == 0)
        header.size = (header.size + IMAGE_HUGE_PAGE - 1) & ~(IMAGE_HUGE_PAGE - 1);
    struct image_segment *segment = &header.segments[header.segment_count++];
    *segment = (struct image_segment){
        .address = from,
        .length = to - from,
        .offset = in_file ? header.size : IMAGE_ZEROES,
        .protection = (uint64_t)protection,
    };
    if (!in_file)
        return 0;
    header.size += segment->length;
    return write_all(fd, from, segment->length, (off_t)segment->offset);
}

/* One mapping: what is empty at length needs no place in the file. */
static int add_mapping(int fd, uintptr_t from, uintptr_t to, int protection)
{
    uintptr_t start = from, page = from;
    while (page < to) {
        uintptr_t end = page;
        while (end < to && is_zero(end))
            end += page_size;
        if (end - page >= ZEROES_WORTH_A_SEGMENT || (end > page && end == to)) {
            if (add_segment(fd, start, page, protection, 1) < 0 ||
                add_segment(fd, page, end, protection, 0) < 0)
                return -1;
            start = end;
        }
        page = end > page ? end : page + page_size;
    }
    return add_segment(fd, start, to, protection, 1);
}

static int add_source(const char *path)
{
    struct stat status;
    for (uint32_t i = 0; i < header.source_count; i++)
        if (strcmp(header.sources[i].path, path) == 0)
            return 0;
    if (header.source_count == IMAGE_SOURCES || strlen(path) >= IMAGE_PATH) {
        errno = E2BIG;
        return -1;
    }
    if (stat(path, &status) < 0)
        return -1;
    struct image_source *source = &header.sources[header.source_count++];
    strcpy(source->path, path);
    source->is_vital = strstr(path, "/libpython") != NULL;
    source->inode = status.st_ino;
    source->size = (uint64_t)status.st_size;
    source->seconds = status.st_mtim.tv_sec;
    source->nanoseconds = status.st_mtim.tv_nsec;
    return 0;
}

static ssize_t read_maps(char *buffer, size_t size)
{
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t length = 0;
    ssize_t got;
    while ((got = read(fd, buffer + length, size - 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    buffer[length] = '\0';
    return got < 0 ? -1 : (ssize_t)length;
}

struct mapping {
    uintptr_t from;
    uintptr_t to;
    int protection;
    const char *path;
};

/* The next readable mapping of the image in the text of /proc/self/maps; 0 at the end. */
static int next_mapping(char **text, struct mapping *mapping)
{
    char *line;
    while ((line = strtok_r(NULL, "\n", text)) != NULL) {
        unsigned long from, to;
        char flags[5];
        int path_at = 0;
        if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %n", &from, &to, flags, &path_at) < 3 ||
            from < first || to > last || flags[0] != 'r')
            continue;
        *mapping = (struct mapping){
            .from = from,
            .to = to,
            .protection = PROT_READ | (flags[1] == 'w' ? PROT_WRITE : 0) |
                          (flags[2] == 'x' ? PROT_EXEC : 0),
            .path = path_at > 0 ? line + path_at : "",
        };
        return 1;
    }
    return 0;
}

/* What nobody writes to, one behind the other, becomes one segment: fewer to map at each start, and
 * code and constants of the interpreter fill whole huge pages. Constants can be executed then, which
 * are no more than what the library has for all to read. */
static int joins(const struct mapping *before, const struct mapping *mapping)
{
    if (before->to != mapping->from || (before->protection | mapping->protection) & PROT_WRITE)
        return 0;
    return before->path[0] == '/' && strcmp(before->path, mapping->path) == 0;
}

static int add_joined(int fd, const struct mapping *joined)
{
    return joined->to ? add_mapping(fd, joined->from, joined->to, joined->protection) : 0;
}

/* The list is read before the first segment is written: what the reading itself maps is in it. */
static int add_mappings(int fd, char *maps)
{
    struct mapping mapping, joined = {0};
    while (next_mapping(&maps, &mapping)) {
        if (mapping.path[0] == '/' && add_source(mapping.path) < 0)
            return -1;
        if (joins(&joined, &mapping)) {
            joined.to = mapping.to;
            joined.protection |= mapping.protection;
            continue;
        }
        if (add_joined(fd, &joined) < 0)
            return -1;
        joined = mapping;
    }
    return add_joined(fd, &joined);
}

/* Whether there is something in this huge page, and all of it may be written to. */
static int is_for_objects(uint64_t page)
{
    int found = 0;
    for (uint32_t i = 0; i < header.segment_count; i++) {
        const struct image_segment *segment = &header.segments[i];
        if (segment->address >= page + IMAGE_HUGE_PAGE || segment->address + segment->length <= page)
            continue;
        if (!(segment->protection & PROT_WRITE))
            return 0;
        found = 1;
    }
    return found;
}

/* They begin where embed.c has put them. */
static void find_objects(void)
{
    for (uint32_t i = 0; i < header.segment_count && header.objects == 0; i++) {
        const struct image_segment *segment = &header.segments[i];
        if (segment->address % IMAGE_HUGE_PAGE == 0 && segment->length >= IMAGE_HUGE_PAGE &&
            segment->protection & PROT_WRITE && segment->offset != IMAGE_ZEROES)
            header.objects = segment->address;
    }
    while (header.objects != 0 && header.huge_pages < IMAGE_HUGE_PAGES &&
           is_for_objects(header.objects + header.huge_pages * IMAGE_HUGE_PAGE))
        header.huge_pages++;
}

/* Of what is in the file, not of the memory, which goes on changing. */
static int sum_content(int fd)
{
    static uint64_t piece[IMAGE_PAGE / sizeof(uint64_t)];
    uint64_t sum = CHECKSUM_START;
    ssize_t got;
    for (off_t offset = IMAGE_CONTENT; (uint64_t)offset < header.size; offset += got) {
        got = pread(fd, piece, sizeof piece, offset);
        if (got <= 0)
            return -1;
        sum = checksum_add(sum, piece, (size_t)got / sizeof *piece);
    }
    header.content = sum;
    return 0;
}

/* The header comes last, and its writing is not to be seen in the time that it tells. */
static int write_header(int fd)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -1;
    header.inode = status.st_ino;
    header.seconds = status.st_mtim.tv_sec;
    header.nanoseconds = status.st_mtim.tv_nsec;
    header.checksum = image_checksum(&header);
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, status.st_mtim};
    return write_all(fd, (uintptr_t)&header, sizeof header, 0) < 0 || futimens(fd, times) < 0 ? -1
                                                                                             : 0;
}

static int write_image(int fd, image_entry *entry)
{
    static char maps[MAPS_SIZE];
    header.magic = IMAGE_MAGIC;
    header.size = IMAGE_CONTENT;
    header.thread_pointer = machine_thread_pointer();
    header.stack = ((uintptr_t)__builtin_frame_address(0) - STACK_MARGIN) & ~15UL;
    header.entry = (uintptr_t)entry;
    const uint64_t capabilities[] = {getauxval(AT_HWCAP), getauxval(AT_HWCAP2), page_size};
    machine_read_processor(&header.processor, capabilities);
    if (read_maps(maps, sizeof maps) < 0 || add_mappings(fd, maps) < 0 || sum_content(fd) < 0)
        return -1;
    find_objects();
    return write_header(fd);
}

const char *image_dump(const char *name, const char *launcher, image_entry *entry)
{
    size_t directory = (size_t)(strrchr(launcher, '/') - launcher);
    if (read_range() < 0 || directory >= IMAGE_PATH)
        return "address range";
    memcpy(header.directory, launcher, directory);
    struct image_file file;
    if (image_file_open(&file, name) < 0)
        return name;
    /* A machine that crashes does not find half an image under the name. What the writing leaves in
     * memory stays there: the kernel maps its large folios with a part of the work that single pages
     * take, a quarter of a command's time (front-image.c does the same after a boot). */
    int is_done =
        write_image(file.fd, entry) == 0 && fchmod(file.fd, 0644) == 0 && fsync(file.fd) == 0;
    return image_file_close(&file, name, is_done) == 0 ? NULL : name;
}
