/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations that open, or make, a place in the container's root (resolve.h).
 */
#include "places.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "devices.h"
#include "inside.h"
#include "raw.h"

static void told(struct place *place, int parent, const char *name, const char *path, int is_directory)
{
    struct setup *self = place->teller;
    struct statx found;
    place->failed = sys(__NR_statx, parent, name, AT_SYMLINK_NOFOLLOW, STATX_INO, &found);
    if (place->failed < 0) {
        /* What cannot be told is taken away again. */
        sys(__NR_unlinkat, parent, name, is_directory ? AT_REMOVEDIR : 0);
        return;
    }
    struct { __u32 major, minor; char path[PATH_SPACE]; } made = {found.stx_dev_major,
                                                                  found.stx_dev_minor, {0}};
    unsigned int length = length_of(path);
    for (unsigned int i = 0; i < length; i++)
        made.path[i] = path[i];
    put(self, RECORD_MADE, self->at, is_directory, (long)found.stx_ino, (const char *)&made,
        2 * sizeof(__u32) + length);
}

long set_place(struct setup *self, const struct operation *one, maker *make, __u32 mode)
{
    struct place *place = &self->place;
    place->root = number(self, one, 0);
    place->mode = mode;
    place->follows = 1;
    place->make = make;
    place->told = told;
    place->failed = 0;
    place->teller = self;
    place->of_maker = one;
    return set_path(place, text(self, one, 1));
}

int open_in(const struct setup *self, const struct operation *one, __u64 flags, __u64 resolve)
{
    const char *path = text(self, one, 1);
    return open_by(number(self, one, 0), *path ? path : "/", flags, resolve);
}

long directory(struct setup *self, const struct operation *one)
{
    int follows = operand(self, one, 3) == MAKING_FOLLOWS;
    long fd = open_in(self, one, O_PATH | O_DIRECTORY, follows ? 0 : RESOLVE_NO_SYMLINKS);
    if (fd != -ENOENT)
        return fd;
    long result = set_place(self, one, 0, (__u32)operand(self, one, 2));
    self->place.follows = follows;
    return result < 0 ? result : make_place(&self->place);
}

/* An empty file that was not there. */
long create(struct place *place, int parent, const char *name)
{
    long fd = sys(__NR_openat, parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC,
                  place->mode);
    if (fd < 0)
        return fd;
    place->told(place, parent, name, place->path, 0);
    sys(__NR_close, fd);
    if (place->failed < 0)
        return place->failed;
    return sys(__NR_openat, parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
}

int ends_in_dots(const char *path)
{
    unsigned int length = length_of(path);
    return length == 0 || (length >= 2 && path[length - 1] == '.' && path[length - 2] == '.' &&
                           (length == 2 || path[length - 3] == '/'));
}

long file(struct setup *self, const struct operation *one)
{
    long fd = open_in(self, one, O_PATH, 0);
    if (fd != -ENOENT)
        return fd;
    long result = set_place(self, one, create, (__u32)operand(self, one, 2));
    if (result < 0)
        return result;
    return ends_in_dots(self->place.path) ? -EINVAL : make_place(&self->place);
}

/* The place's path is that of self->name in its parent, of which `fd` is a descriptor. */
static long with_name(struct setup *self, long fd)
{
    char *path = self->place.path;
    unsigned int length = length_of(path), size = length_of(self->name);
    if (length + size + 2 > PATH_SPACE) {
        sys(__NR_close, fd);
        return -ENAMETOOLONG;
    }
    if (length > 0)
        path[length++] = '/';
    for (unsigned int i = 0; i <= size; i++)
        path[length + i] = self->name[i];
    return fd;
}

/* A descriptor of the path's parent, which is made where it is missing; the rest is self->name. */
static long parent_of(struct setup *self, const struct operation *one)
{
    struct place *place = &self->place;
    long result = set_place(self, one, 0, 0755);
    if (result < 0)
        return result;
    if (ends_in_dots(place->path))
        return -EINVAL;
    unsigned int begin = length_of(place->path), i;
    while (begin > 0 && place->path[begin - 1] != '/')
        begin--;
    for (i = 0; place->path[begin + i]; i++)
        self->name[i] = place->path[begin + i];
    self->name[i] = 0;
    place->path[begin > 0 ? begin - 1 : 0] = 0;
    long fd = open_by(place->root, place->path[0] ? place->path : "/", O_PATH | O_DIRECTORY, 0);
    if (fd == -ENOENT)
        fd = make_place(place);
    return fd < 0 ? fd : with_name(self, fd);
}

/* `name` in `parent`, a symlink at the end included, after it was made by this operation. */
long itself(struct setup *self, const struct operation *one)
{
    int is_directory = operand(self, one, 2) != 0;
    int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | (is_directory ? O_DIRECTORY : 0);
    long parent = parent_of(self, one);
    if (parent < 0)
        return parent;
    long fd = sys(__NR_openat, parent, self->name, flags, 0);
    if (fd == -ENOENT) {
        long mode = operand(self, one, 3);
        fd = is_directory ? sys(__NR_mkdirat, parent, self->name, mode)
                          : sys(__NR_openat, parent, self->name,
                                O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, mode);
        if (fd >= 0) {
            told(&self->place, (int)parent, self->name, self->place.path, is_directory);
            if (!is_directory)
                sys(__NR_close, fd);
            fd = self->place.failed;
        }
        if (fd >= 0)
            fd = sys(__NR_openat, parent, self->name, flags, 0);
    }
    sys(__NR_close, parent);
    return fd;
}

long symlink(struct setup *self, const struct operation *one)
{
    const char *target = text(self, one, 2);
    long how = operand(self, one, 3);
    long parent = parent_of(self, one);
    long result = 0;
    if (parent < 0)
        return parent;
    if (how & LINKING_NEAR)
        result = refuse_elsewhere(self, self->place.root, text(self, one, 1), (int)parent);
    if (result == 0 && how & LINKING_REPLACES) {
        long size = sys(__NR_readlinkat, parent, self->name, self->saying, sizeof self->saying - 1);
        self->saying[size < 0 ? 0 : size] = 0;
        if (size < 0 || !is_same(self->saying, target))
            result = sys(__NR_unlinkat, parent, self->name, 0);
        if (result == -ENOENT)
            result = 0;
    }
    if (result == 0)
        result = sys(__NR_symlinkat, target, parent, self->name);
    if (result == 0) {
        told(&self->place, (int)parent, self->name, self->place.path, 0);
        result = self->place.failed;
    }
    sys(__NR_close, parent);
    return result == -EEXIST ? 0 : result;
}
