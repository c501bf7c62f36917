/* SPDX-License-Identifier: Apache-2.0
 *
 * Starting from an image, and making a process whose memory can become one; see image.h.
 */
#ifndef OCIRUNTIME_IMAGE_LOAD_H
#define OCIRUNTIME_IMAGE_LOAD_H

/* Maps the image of that name and enters it. Returns when there is none, or none for this
 * processor, this directory of the launcher and these versions of its sources. */
__attribute__((visibility("hidden"))) void image_load(const char *name, const char *directory,
                                                      int argc, char **argv);

/* Starts the program at `path` again in this process, in the address range of images, without the
 * kernel's vdso, with `argv`; for that it first executes it with `again`, which must lead here.
 * Returns only on failure: what failed; errno says why. */
__attribute__((visibility("hidden"))) const char *image_host(const char *path, char **again, char **argv);

#endif
