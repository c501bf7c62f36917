/* SPDX-License-Identifier: Apache-2.0
 *
 * See stamps.h.
 */
#include "stamps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void add(const char *before, const char *name)
{
    char text[512];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int length = snprintf(text, sizeof text, "%s%s%s=%lld", before, before[0] ? "," : "", name,
                          (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    if (length < (int)sizeof text)
        setenv(STAMPS_VARIABLE, text, 1);
}

void stamps_add(const char *name)
{
    const char *before = getenv(STAMPS_VARIABLE);
    if (before != NULL)
        add(before, name);
}

void stamps_begin(int argc, char **argv, const char *name)
{
    static const char OPTION[] = "--trace";
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], OPTION, sizeof OPTION - 1) == 0) {
            const char *before = getenv(STAMPS_VARIABLE);
            add(before != NULL ? before : "", name);
            return;
        }
    }
}
