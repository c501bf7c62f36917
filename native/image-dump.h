/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing the start image; see image.h.
 */
#ifndef OCIRUNTIME_IMAGE_DUMP_H
#define OCIRUNTIME_IMAGE_DUMP_H

#include "image.h"

/* Writes this process's memory to `name`, replacing that file at once. A process that maps it will
 * call `entry`. `launcher` is the launcher's path. NULL, or what failed, with errno. */
__attribute__((visibility("hidden"))) const char *image_dump(const char *name, const char *launcher,
                                                             image_entry *entry);

/* To be called first by `entry`, which must be compiled without stack protector: gives the thread
 * a guard of its own. */
static inline __attribute__((always_inline)) void image_renew_guard(uint64_t random)
{
#ifdef __x86_64__
    /* The lowest byte stays 0, as glibc has it: no string runs over it. */
    __asm__ volatile("mov %0, %%fs:0x28" : : "r"(random & ~0xffULL));
#else
    (void)random;
#endif
}

#endif
