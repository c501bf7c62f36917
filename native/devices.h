/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_DEVICES_H
#define OCIRUNTIME_DEVICES_H

#include "setup.h"

long device(struct setup *self, const struct operation *operation);
long attach(struct setup *self, const struct operation *operation);
long check_dev(const struct setup *self, int root);

/* A symlink of the image chooses no volume of the host's to make something in: -EXDEV unless
 * `directory` is on the root, on what the config mounts on /dev, or on the mount that `path` leads to
 * without symlinks.  It is looked at each time: whoever shares the root may exchange /dev (DO_DEV). */
long refuse_elsewhere(struct setup *self, int root, const char *path, int directory);

/* Whether `fd` is this device; numbers of a FIFO do not count. */
int is_node(int fd, unsigned int kind, unsigned int major, unsigned int minor);

#endif
