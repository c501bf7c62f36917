/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the kernel enters a program without libc.  It leaves argc, argv and envp at the stack pointer; entry()
 * gets that address, on an aligned stack, and never returns.
 */
#include "machine.h"

__asm__(MACHINE_START);

/* The compiler may call these even where the source does not (AArch64 does), after it has left out of a
 * program that is optimized as a whole what nothing in the source calls: hence "used". */
__attribute__((used)) void *memset(void *target, int byte, unsigned long length);
__attribute__((used)) void *memcpy(void *target, const void *source, unsigned long length);

void *memset(void *target, int byte, unsigned long length)
{
    for (unsigned long i = 0; i < length; i++)
        ((unsigned char *)target)[i] = (unsigned char)byte;
    return target;
}

void *memcpy(void *target, const void *source, unsigned long length)
{
    for (unsigned long i = 0; i < length; i++)
        ((unsigned char *)target)[i] = ((const unsigned char *)source)[i];
    return target;
}
