/* SPDX-License-Identifier: Apache-2.0 */
#include "between.h"

#include <sys/syscall.h>
#include <unistd.h>

int ints_of(const Py_buffer *view, const int **ints, size_t *count)
{
    if (view->len % (Py_ssize_t)sizeof(int) != 0) {
        PyErr_SetString(PyExc_ValueError, "a buffer of C ints is wanted");
        return -1;
    }
    *ints = view->buf;
    *count = (size_t)view->len / sizeof(int);
    return 0;
}

int descriptors_of(const Py_buffer *streams, const Py_buffer *kept, struct descriptors *self)
{
    if (ints_of(streams, &self->streams, &self->stream_count) < 0)
        return -1;
    return ints_of(kept, &self->kept, &self->keeps);
}

int take_descriptors(const struct descriptors *self)
{
    unsigned int first = 3;
    if (self->stream_count == 0)
        return 0;
    for (size_t i = 0; i < self->stream_count; i++)
        if (self->streams[i] != (int)i && syscall(SYS_dup3, self->streams[i], (int)i, 0) < 0)
            return -1;
    for (size_t i = 0; i < self->keeps; i++) {
        unsigned int kept = (unsigned int)self->kept[i];
        if (kept > first && syscall(SYS_close_range, first, kept - 1, 0) < 0)
            return -1;
        if (kept >= first)
            first = kept + 1;
    }
    return (int)syscall(SYS_close_range, first, ~0U, 0);
}
