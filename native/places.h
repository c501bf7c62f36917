/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_PLACES_H
#define OCIRUNTIME_PLACES_H

#include "setup.h"

/* DO_DIRECTORY, DO_FILE, DO_ITSELF and DO_SYMLINK. */
long directory(struct setup *self, const struct operation *operation);
long file(struct setup *self, const struct operation *operation);
long itself(struct setup *self, const struct operation *operation);
long symlink(struct setup *self, const struct operation *operation);

/* What operand 1 leads to in the root that is operand 0; -errno. */
int open_in(const struct setup *self, const struct operation *operation, __u64 flags, __u64 resolve);

/* self->place as these two say, to be made by `make`; -errno. */
long set_place(struct setup *self, const struct operation *operation, maker *make, __u32 mode);

/* Nothing, or "..": a path that has no last component. */
int ends_in_dots(const char *path);

/* A maker of empty files. */
long create(struct place *place, int parent, const char *name);

#endif
