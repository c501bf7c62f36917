/* SPDX-License-Identifier: Apache-2.0
 *
 * Making a process whose memory can become an image; see image.h.
 */
#ifndef OCIRUNTIME_IMAGE_HOST_H
#define OCIRUNTIME_IMAGE_HOST_H

/* Starts the program at `path` again in this process, in the address range of images, without the
 * kernel's vdso, with `argv`; for that it first executes it with `again`, which must lead here.
 * Returns only on failure: what failed; errno says why. */
__attribute__((visibility("hidden"))) const char *image_host(const char *path, char **again,
                                                             char **argv);

#endif
