/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a limit of the caller may be why there was no memory: what fails then is named, and not
 * that it was memory.
 */
#ifndef OCIRUNTIME_MEMORY_LIMIT_H
#define OCIRUNTIME_MEMORY_LIMIT_H

#include <sys/resource.h>

/* Bytes that the interpreter and its modules take, and some more. */
enum { ENOUGH_MEMORY = 64 << 20 };

#define MORE_MEMORY "raise the caller's RLIMIT_AS and RLIMIT_DATA"

static inline int is_short_of_memory(void)
{
    struct rlimit space = {RLIM_INFINITY, RLIM_INFINITY}, data = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_AS, &space);
    getrlimit(RLIMIT_DATA, &data);
    return space.rlim_cur < ENOUGH_MEMORY || data.rlim_cur < ENOUGH_MEMORY;
}

#endif
