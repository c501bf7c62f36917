/* SPDX-License-Identifier: Apache-2.0
 *
 * What differs between processor architectures, one file for each; docs/platforms.md says what a
 * port needs besides.
 */
#ifndef OCIRUNTIME_MACHINE_H
#define OCIRUNTIME_MACHINE_H

#include <stdint.h>

/* What code in a start image may rely on: which instructions there are and what they do. */
struct image_processor {
    uint64_t words[4];
};

/* Each file has:
 *
 *   MACHINE_START                     assembler text of _start: calls entry(stack pointer)
 *   raw(number, a, b, c, d, e, f)     a system call, with the kernel's own result
 *   machine_thread_pointer()          of this thread, as the C library has set it
 *   machine_set_thread_pointer(it)
 *   machine_run(entry, stack)         enters a program: `stack` is as the kernel lays it out
 *   machine_call(function, stack, argument)   calls it on that stack, and never returns
 *   machine_renew_guard(random)       gives the stack protector another guard; whoever calls it, and
 *                                     all its callers, must be compiled without
 *   machine_read_processor(processor, capabilities)   the latter are AT_HWCAP, AT_HWCAP2 and
 *                                     AT_PAGESZ of the auxiliary vector
 */
#if defined(__x86_64__)
#include "machine-x86_64.h"
#elif defined(__aarch64__)
#include "machine-aarch64.h"
#else
#error "there is a file for x86-64 and one for AArch64"
#endif

#endif
