/* SPDX-License-Identifier: Apache-2.0
 *
 * See stamps.h.
 */
#include "stamps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void stamps_add(const char *name)
{
    const char *before = getenv(STAMPS_VARIABLE);
    char text[512];
    struct timespec now;
    if (before == NULL)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int length = snprintf(text, sizeof text, "%s%s%s=%lld", before, before[0] ? "," : "", name,
                          (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    if (length < (int)sizeof text)
        setenv(STAMPS_VARIABLE, text, 1);
}
