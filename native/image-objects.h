/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the objects lie in a process that becomes an image (image.h).
 */
#ifndef OCIRUNTIME_IMAGE_OBJECTS_H
#define OCIRUNTIME_IMAGE_OBJECTS_H

/* To be called before the interpreter starts, which takes memory for its objects at once. */
__attribute__((visibility("hidden"))) void image_align_objects(void);

/* Until the end, what Python's modules are loaded from lies apart from the objects. -1 with an
 * exception. */
__attribute__((visibility("hidden"))) int image_begin_loading(void);
__attribute__((visibility("hidden"))) int image_end_loading(void);

#endif
