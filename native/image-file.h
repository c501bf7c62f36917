/* SPDX-License-Identifier: Apache-2.0
 *
 * The file that a start image is written to, and how it gets its name; see image.h.
 */
#ifndef OCIRUNTIME_IMAGE_FILE_H
#define OCIRUNTIME_IMAGE_FILE_H

#include <limits.h>

struct image_file {
    int fd;                   /* to read and to write */
    char unfinished[PATH_MAX]; /* its name meanwhile: `name`, a dot, our pid */
    int is_named;
};

/* Removes what killed makers of `name` left beside it, and opens a file for a new one. -1 with
 * errno on failure. */
__attribute__((visibility("hidden"))) int image_file_open(struct image_file *file, const char *name);

/* Ends with the file at `name`, in place of what was there, or, where `is_done` is 0 or that fails,
 * with no file: -1 then, with errno (the caller's where `is_done` is 0). */
__attribute__((visibility("hidden"))) int image_file_close(struct image_file *file,
                                                           const char *name, int is_done);

#endif
