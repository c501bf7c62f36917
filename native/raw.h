/* SPDX-License-Identifier: Apache-2.0
 *
 * System calls without a libc, for the front and oci-init on x86-64 and AArch64.
 */
#ifndef OCIRUNTIME_RAW_H
#define OCIRUNTIME_RAW_H

#include <asm/unistd.h>

#if defined(__x86_64__)

static inline long raw(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__)

static inline long raw(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

#else
#error "this is written for x86-64 and AArch64"
#endif

#define RAW7(number, a, b, c, d, e, f, ...) \
    raw((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* sys(number, up to six arguments): the kernel's own result, -errno on failure. */
#define sys(...) RAW7(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

static inline _Noreturn void leave(int status)
{
    for (;;)
        sys(__NR_exit_group, status);
}

#endif
