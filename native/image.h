/* SPDX-License-Identifier: Apache-2.0
 *
 * The start image: the memory of an interpreter that has started and loaded the package, in a file.
 *
 * Starting Python and loading the modules costs more than most commands do themselves, and ends in
 * the same state each time. So one process does it when the runtime is installed, at addresses
 * where no other process has anything, and writes its memory down (image-dump.c); every later one
 * maps that file, copy on write, and goes on behind the imports (front-image.c). The image belongs
 * to one processor type and to one version of each file that it was made of; whoever does not match
 * it starts the long way round. docs/architecture.md says what may not be in an image.
 */
#ifndef OCIRUNTIME_IMAGE_H
#define OCIRUNTIME_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "checksum.h"
#include "machine.h"

#define IMAGE_NAME "start.image"
/* The only arguments that make one; not for people: the build calls the first, and that one the
 * second. */
#define MAKE_IMAGE "--make-image"
#define DUMP_IMAGE "--dump-image"
/* Where the front found no image to enter, it tells the launcher in the environment why. */
#define IMAGE_VARIABLE "_OCIRUNTIME_NO_IMAGE"
#define IMAGE_MAGIC 0x34474d49494349ULL /* a version of the layout is a magic of its own */
/* Libraries take five segments each; where the interpreter is as its makers ship it, a dozen of
 * Python's modules are libraries. */
#define IMAGE_SEGMENTS 240
#define IMAGE_SOURCES 32
#define IMAGE_PATH 256
/* In the environment of the process that becomes an image: where its memory is. */
#define IMAGE_RANGE_VARIABLE "OCIRUNTIME_IMAGE_RANGE"
#define IMAGE_HUGE_PAGE (2UL << 20)
/* What commands change of the objects lies in the first so many. */
#define IMAGE_HUGE_PAGES 3

struct image_segment {
    uint64_t address;
    uint64_t length;
    uint64_t offset;     /* in the file; IMAGE_ZEROES for memory that was empty */
    uint64_t protection; /* PROT_* */
};
#define IMAGE_ZEROES (~0ULL)

/* A library that the memory came from: another version of it makes the image useless. One that is
 * vital is the interpreter's: without it nothing but the image can start, so that is entered then,
 * whatever else has changed. */
struct image_source {
    char path[IMAGE_PATH];
    uint64_t is_vital;
    uint64_t inode;
    uint64_t size;
    int64_t seconds; /* modification time */
    int64_t nanoseconds;
};

/* What is in the file cannot be read at each start: 20 MB. So the header has a checksum of its own,
 * and says which file it was written to and when that was written last; the checksum of the rest is
 * compared when somebody asks (`ociruntime image`). Who writes to the file changes that time, and
 * only its owner or root can set it back. The time of the last change of status (ctime) would say
 * more, but naming the finished file sets it, so no file can hold its own. */
struct image_header {
    uint64_t magic;
    uint64_t checksum; /* of what follows here */
    uint64_t size;     /* bytes in the file */
    uint64_t content;  /* checksum of what is behind IMAGE_CONTENT */
    uint64_t inode;
    int64_t seconds; /* modification time */
    int64_t nanoseconds;
    uint64_t thread_pointer;
    uint64_t stack;
    uint64_t entry; /* image_entry */
    uint64_t objects;    /* where those that commands change begin, at a huge page's boundary */
    uint64_t huge_pages; /* that may be mapped there instead of the segments */
    struct image_processor processor;
    char directory[IMAGE_PATH]; /* where the front is */
    uint32_t source_count;
    uint32_t segment_count;
    struct image_segment segments[IMAGE_SEGMENTS];
    struct image_source sources[IMAGE_SOURCES];
};

/* The largest that a kernel of ours has: the page of some on AArch64. */
#define IMAGE_PAGE 65536UL
/* Where the segments begin in the file. */
#define IMAGE_CONTENT ((sizeof(struct image_header) + IMAGE_PAGE - 1) & ~(IMAGE_PAGE - 1))

static inline uint64_t image_checksum(const struct image_header *header)
{
    return checksum_add(CHECKSUM_START, &header->size,
                        (sizeof *header - offsetof(struct image_header, size)) / sizeof(uint64_t));
}

/* What the process that maps an image tells the interpreter in it. */
struct image_caller {
    int argc;
    char **argv;
    char **environment;
    uint64_t random; /* for the stack protector: the image's own is in a file that many can read */
    const char *without; /* the interpreter's library, if it is gone */
};
typedef void image_entry(const struct image_caller *caller);

#endif
