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

#endif
