/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_DEVICES_H
#define OCIRUNTIME_DEVICES_H

#include "setup.h"

long device(struct setup *self, const struct operation *operation);
long attach(struct setup *self, const struct operation *operation);
long check_dev(const struct setup *self, int root);

/* Whether `fd` is this device; numbers of a FIFO do not count. */
int is_node(int fd, unsigned int kind, unsigned int major, unsigned int minor);

#endif
