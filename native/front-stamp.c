/* SPDX-License-Identifier: Apache-2.0
 *
 * stamps.c without libc, for the front.
 */
#include <linux/time.h>
#include <stddef.h>

#include "front.h"
#include "raw.h"
#include "stamps.h"

enum { DIGITS = 20, TEXT_SIZE = 512 };

static const char PREFIX[] = STAMPS_VARIABLE "=";

static int begins_with(const char *text, const char *beginning)
{
    while (*beginning != '\0' && *text == *beginning)
        text++, beginning++;
    return *beginning == '\0';
}

static int is_traced(const struct front *front)
{
    for (int i = 1; i < front->argc; i++)
        if (begins_with(front->argv[i], "--trace"))
            return 1;
    return 0;
}

/* Where the variable is in the environment, or would be. */
static char **find(const struct front *front)
{
    char **place = front->environment;
    while (*place != NULL && !begins_with(*place, PREFIX))
        place++;
    return place;
}

void front_stamp(struct front *front, const char *name, int first)
{
    static char text[PATH_MAX];
    char **place = find(front);
    if (first ? !is_traced(front) : *place == NULL)
        return;
    struct __kernel_timespec now;
    char number[DIGITS + 1] = "";
    sys(__NR_clock_gettime, CLOCK_MONOTONIC, &now);
    unsigned long rest = (unsigned long)now.tv_sec * 1000000000UL + (unsigned long)now.tv_nsec;
    char *digit = number + DIGITS;
    for (; rest > 0; rest /= 10)
        *--digit = (char)('0' + rest % 10);
    if (*place != text) {
        text[0] = '\0';
        if (!append(text, *place != NULL ? *place : PREFIX))
            return;
    }
    int is_empty = is_same(text, PREFIX);
    unsigned long end = 0;
    while (text[end] != '\0')
        end++;
    if (end + DIGITS + 32 > TEXT_SIZE ||
        !append(text, is_empty ? "" : ",") || !append(text, name) || !append(text, "=") ||
        !append(text, digit))
        return;
    if (*place == NULL)
        place[1] = NULL;
    *place = text;
}
