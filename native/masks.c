/* SPDX-License-Identifier: Apache-2.0
 *
 * maskedPaths and readonlyPaths.  What the container does not have is skipped.  What is covered is
 * what was looked at.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>

#include "inside.h"
#include "raw.h"
#include "setup.h"

static int found(const struct setup *self, const struct operation *one)
{
    const char *path = (const char *)operand(self, one, 1);
    return open_inside((int)operand(self, one, 0), *path ? path : "/", O_PATH);
}

static long clone_of(int fd, unsigned int flags)
{
    return sys(__NR_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);
}

static long set_attributes(int mount, __u64 set, __u64 propagation)
{
    struct mount_attr attributes = {.attr_set = set, .propagation = propagation};
    return sys(__NR_mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
}

static long move_mount(int mount, int target)
{
    return sys(__NR_move_mount, mount, "", target, "",
               MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static long cover_file(int null, int target)
{
    long cover = clone_of(null, 0);
    if (cover < 0)
        return cover;
    long result = set_attributes((int)cover, MOUNT_ATTR_RDONLY, MS_PRIVATE);
    if (result >= 0)
        result = move_mount((int)cover, target);
    sys(__NR_close, cover);
    return result;
}

/* One filesystem covers all directories: the kernel copies a mount once it is attached. */
static long cover_directory(struct setup *self, const struct operation *one, int target)
{
    struct filesystem empty = {
        .type = "tmpfs", .source = "tmpfs", .options = (const char *)operand(self, one, 2),
        .option_count = one->operands[3], .attributes = (unsigned long)operand(self, one, 4)};
    long cover = self->cover ? clone_of(self->cover, 0) : make_filesystem(self, &empty);
    if (cover < 0)
        return cover;
    long result = move_mount((int)cover, target);
    if (result >= 0 && !self->cover)
        self->cover = (int)cover;
    else
        sys(__NR_close, cover);
    return result;
}

/* Only what is to be covered may be missing: behind that, these errnos mean that it went away. */
static long not_missing(long result)
{
    return result == -ENOENT || result == -ENOTDIR ? -ESTALE : result;
}

long mask(struct setup *self, const struct operation *one)
{
    struct statx kind;
    int target = found(self, one);
    if (target < 0)
        return target;
    look(target, &kind);
    long result = is_kind(&kind, S_IFDIR) ? cover_directory(self, one, target)
                                          : cover_file((int)operand(self, one, 5), target);
    sys(__NR_close, target);
    return not_missing(result);
}

/* Not what is mounted below it, as in runc and crun: that has options of its own. */
long make_readonly(struct setup *self, const struct operation *one)
{
    int target = found(self, one);
    if (target < 0)
        return target;
    long mount = clone_of(target, AT_RECURSIVE);
    long result = mount < 0 ? mount : set_attributes((int)mount, MOUNT_ATTR_RDONLY, 0);
    if (result >= 0)
        result = move_mount((int)mount, target);
    if (mount >= 0)
        sys(__NR_close, mount);
    sys(__NR_close, target);
    return not_missing(result);
}
