/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of the front (front.c), a program without libc.
 */
#ifndef OCIRUNTIME_FRONT_H
#define OCIRUNTIME_FRONT_H

#include <linux/limits.h>

struct front {
    int argc;
    char **argv;
    char **environment;
    unsigned int huge_pages;     /* worth to be copied whole: the command changes most of what they have */
    int checks_content;          /* the command is about the start image */
    const unsigned long *vector; /* auxiliary vector: pairs, the last one begins with 0 */
    char path[PATH_MAX];         /* the front's own, where it is installed */
    char directory[PATH_MAX];    /* of that */
};

/* Whether two texts are the same. */
int is_same(const char *left, const char *right);

/* Appends `text` to the one in `buffer` (PATH_MAX bytes); 0 when there is no room. */
int append(char *buffer, const char *text);

/* Maps the start image of that name and enters it. Returns only when there is none, or none that is
 * whole, ours, and for this processor, this directory and these versions of its sources: why, or
 * the source's path. */
const char *image_load(const char *name, const struct front *front);

/* For --trace: notes that `name` is reached now (stamps.h). `first` looks for the option; without
 * it nothing happens. `front->environment` has a place to spare behind its end. */
void front_stamp(struct front *front, const char *name, int first);

#endif
