/* SPDX-License-Identifier: Apache-2.0
 *
 * A process between: one that shares the caller's memory, as after vfork(2), while the caller sleeps
 * in the kernel, and runs no Python.  Nothing is copied for it.
 */
#ifndef OCIRUNTIME_BETWEEN_H
#define OCIRUNTIME_BETWEEN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The size of its stack: what a few frames need, many times over. */
enum { BETWEEN_STACK = 65536 };

struct descriptors {
    const int *streams; /* become 0, 1, 2; none: no descriptor is touched */
    size_t stream_count;
    const int *kept; /* ascending; every other one from 3 on is closed */
    size_t keeps;
};

/* The ints of a buffer; -1 with an exception set when it has none. */
int ints_of(const Py_buffer *view, const int **ints, size_t *count);

/* Both from buffers of ints; -1 with an exception set. */
int descriptors_of(const Py_buffer *streams, const Py_buffer *kept, struct descriptors *self);

/* In the process between: takes on the streams and closes the rest; -1 and errno. */
int take_descriptors(const struct descriptors *self);

#endif
