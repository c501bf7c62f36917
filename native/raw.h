/* SPDX-License-Identifier: Apache-2.0
 *
 * System calls without a libc, for the front, oci-init and oci-exec.
 */
#ifndef OCIRUNTIME_RAW_H
#define OCIRUNTIME_RAW_H

#include "machine.h"

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
