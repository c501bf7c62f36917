/* SPDX-License-Identifier: Apache-2.0
 *
 * The container's root, and what is in it: never a path that somebody in there could lead out of it.
 */
#ifndef OCIRUNTIME_INSIDE_H
#define OCIRUNTIME_INSIDE_H

#include <linux/types.h>

#include "block.h"

struct statx;

/* Makes the container's root ours, and returns it. */
int enter_root(int channel, const struct block_exec *exec);

/* A descriptor of what `path` leads to without leaving `root`, or -errno. */
int open_inside(int root, const char *path, __u64 flags);
/* The same with more RESOLVE_* flags. */
int open_by(int root, const char *path, __u64 flags, __u64 resolve);

/* Type, mode, owner, inode and devices of what `fd` is; no type where that cannot be told. */
void look(int fd, struct statx *found);
int is_kind(const struct statx *found, unsigned int kind);
/* Why what `fd` is cannot be executed, 0 if it can; closes it.  A negative `fd` is why. */
long can_be_executed(int fd);
/* The magic number of the filesystem that `fd` is on, 0 where that cannot be told. */
long filesystem_of(int fd);

#endif
