/* SPDX-License-Identifier: Apache-2.0
 *
 * A resident process that has nothing to do gives back what it can have again; see _sys.pyi.
 *
 * Two kinds of pages of a private mapping of a file can be had again from there: those that it never
 * wrote to (pagemap says that they are the file's), and those that it has a copy of which is as the
 * file is: reference counts go up and down. The rest of its memory stays as it is.
 *
 * It ends in poll(2) by a system call of our own, and not in the interpreter: on the way there that
 * would map its code again, which the kernel does by whole folios (megabytes, since Linux 6.18).
 */
#include "rest.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "raw.h"

/* Documentation/admin-guide/mm/pagemap.rst */
#define PRESENT (1ULL << 63)
#define SWAPPED (1ULL << 62)
#define OF_FILE (1ULL << 61)

enum { PIECE = 4096, AT_ONCE = 256, SIGNAL_SET = 8 };

/* The file's pages from `offset` on; fd is -1 where it cannot be read. */
struct range {
    uint64_t begin;
    uint64_t end;
    uint64_t offset;
    int64_t fd;
};

static int is_as_in_file(const struct range *range, uint64_t address, uint64_t page)
{
    unsigned char piece[PIECE]; /* the smallest page there is */
    if (range->fd < 0)
        return 0;
    for (uint64_t end = address + page; address < end; address += PIECE)
        if (sys(__NR_pread64, range->fd, piece, PIECE,
                range->offset + (address - range->begin)) != PIECE ||
            memcmp(piece, (const void *)(uintptr_t)address, PIECE) != 0)
            return 0;
    return 1;
}

/* What is in no memory yet, too: so few calls give much back. */
static int can_be_had_again(const struct range *range, uint64_t address, uint64_t page,
                            uint64_t entry)
{
    if (entry & SWAPPED)
        return 0;
    return !(entry & PRESENT) || (entry & OF_FILE) || is_as_in_file(range, address, page);
}

static void give_back(const struct range *range, int pagemap, uint64_t page)
{
    uint64_t entries[AT_ONCE];
    uint64_t given = range->begin; /* from here to `address` all can be had again */
    for (uint64_t address = range->begin; address < range->end;) {
        uint64_t count = (range->end - address) / page;
        count = count < AT_ONCE ? count : AT_ONCE;
        if (sys(__NR_pread64, pagemap, entries, count * sizeof *entries,
                address / page * sizeof *entries) != (long)(count * sizeof *entries))
            return;
        for (uint64_t i = 0; i < count; i++, address += page) {
            if (can_be_had_again(range, address, page, entries[i]))
                continue;
            if (given < address)
                sys(__NR_madvise, given, address - given, MADV_DONTNEED);
            given = address + page;
        }
    }
    if (given < range->end)
        sys(__NR_madvise, given, range->end - given, MADV_DONTNEED);
}

/* What changes while we look must stay: our own stack, and there is nothing else that does. */
static int is_ours(const struct range *range)
{
    uint64_t here = (uint64_t)(uintptr_t)__builtin_frame_address(0);
    return here >= range->begin && here < range->end;
}

/* No signal comes in between: its handler would write to pages that are given back. */
static void give_all_back(const struct range *ranges, Py_ssize_t count)
{
    const uint64_t every = ~(uint64_t)0;
    uint64_t before;
    const long page = sysconf(_SC_PAGESIZE);
    long pagemap = sys(__NR_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0)
        return;
    if (sys(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &every, &before, SIGNAL_SET) == 0) {
        for (Py_ssize_t i = 0; i < count; i++)
            if (!is_ours(&ranges[i]))
                give_back(&ranges[i], (int)pagemap, (uint64_t)page);
        sys(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &before, NULL, SIGNAL_SET);
    }
    sys(__NR_close, pagemap);
}

PyObject *sys_rest(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer ranges;
    int fd;
    long long nanoseconds;
    if (!PyArg_ParseTuple(args, "y*iL:rest", &ranges, &fd, &nanoseconds))
        return NULL;
    if (ranges.len % (Py_ssize_t)sizeof(struct range) != 0) {
        PyBuffer_Release(&ranges);
        PyErr_SetString(PyExc_ValueError, "ranges are four numbers of 64 bits each");
        return NULL;
    }
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    const int64_t timeout[] = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    give_all_back(ranges.buf, ranges.len / (Py_ssize_t)sizeof(struct range));
    long result = sys(__NR_ppoll, &polled, 1, nanoseconds < 0 ? NULL : timeout, NULL, SIGNAL_SET);
    PyBuffer_Release(&ranges);
    return PyLong_FromLong(result);
}
