/* SPDX-License-Identifier: Apache-2.0
 *
 * DO_DEVICE, DO_DEV and DO_ATTACH: devices, and what is attached where.
 */
#include "devices.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "inside.h"
#include "places.h"
#include "raw.h"

int is_node(int fd, unsigned int kind, unsigned int major, unsigned int minor)
{
    struct statx found;
    look(fd, &found);
    return is_kind(&found, kind) &&
           (kind == S_IFIFO || (found.stx_rdev_major == major && found.stx_rdev_minor == minor));
}

static __u64 mount_of(int fd)
{
    struct statx found = {.stx_mnt_id = 0};
    sys(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &found);
    return found.stx_mnt_id;
}

/* Below the root or in what the config mounts on /dev. */
static int is_own_mount(const struct setup *self, int root, __u64 mount)
{
    return mount != 0 && (mount == mount_of(root) || mount == self->dev);
}

long refuse_elsewhere(struct setup *self, int root, const char *path, int directory)
{
    int plain;
    __u64 here = mount_of(directory);
    unsigned int length = 0;
    if (is_own_mount(self, root, here))
        return 0;
    for (; path[length]; length++) {
        if (length == sizeof self->saying - 1)
            return -ENAMETOOLONG;
        self->saying[length] = path[length];
    }
    do {
        while (length > 0 && self->saying[--length] != '/')
            continue;
        self->saying[length] = 0;
        plain = open_by(root, length ? self->saying : "/", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    } while (plain < 0 && length > 0);
    if (plain < 0)
        return plain;
    int same = mount_of(plain) == here;
    sys(__NR_close, plain);
    if (same)
        return 0;
    self->why = FAILED_OTHER_MOUNT;
    say(self, self->place.path);
    return -EXDEV;
}

static long make_node(struct place *place, int directory, const char *name)
{
    struct setup *self = place->teller;
    const struct operation *one = place->of_maker;
    unsigned int uid = (unsigned int)operand(self, one, 5), gid = (unsigned int)operand(self, one, 6);
    long result = refuse_elsewhere(self, place->root, text(self, one, 2), directory);
    if (result < 0)
        return result;
    if ((operand(self, one, 3) & S_IFMT) == S_IFREG)
        return create(place, directory, name);
    result = sys(__NR_mknodat, directory, name, operand(self, one, 3), operand(self, one, 4));
    if (result < 0)
        return result;
    place->told(place, directory, name, place->path, 0);
    if (place->failed < 0)
        return place->failed;
    if (uid || gid)
        result = sys(__NR_fchownat, directory, name, uid, gid, AT_SYMLINK_NOFOLLOW);
    return result < 0 ? result : NO_DESCRIPTOR;
}

long device(struct setup *self, const struct operation *one)
{
    unsigned int kind = (unsigned int)operand(self, one, 3) & S_IFMT;
    unsigned int numbers = (unsigned int)operand(self, one, 4);
    long result = set_place(self, one, make_node, (__u32)operand(self, one, 3) & 07777);
    if (result < 0)
        return result;
    if (ends_in_dots(self->place.path))
        return -EINVAL;
    long fd = make_place(&self->place);
    if (fd < 0 || fd == NO_DESCRIPTOR)
        return fd < 0 ? fd : 0;
    if (kind == S_IFREG)
        return fd;
    int is_it = is_node((int)fd, kind, numbers >> 8 & 0xfff, (numbers & 0xff) | (numbers >> 12 & ~0xffU));
    sys(__NR_close, fd);
    if (is_it)
        return 0;
    self->why = FAILED_NOT_IT;
    return -EEXIST;
}

/* Only a procfs may lie on /proc, by whatever path it gets there (CVE-2019-16884). */
static long refuse_place(struct setup *self, int mount, int target, int root)
{
    struct statx here, there;
    look(target, &here);
    look(mount, &there);
    if (is_kind(&here, S_IFDIR) && !is_kind(&there, S_IFDIR)) {
        self->why = FAILED_DIRECTORY;
        return -EISDIR;
    }
    if (filesystem_of(mount) != PROC_SUPER_MAGIC) {
        int proc = open_by(root, "/proc", O_PATH | O_NOFOLLOW, 0);
        if (proc < 0 && proc != -ENOENT)
            return proc;
        if (proc >= 0) {
            look(proc, &there);
            sys(__NR_close, proc);
            if (here.stx_ino == there.stx_ino && here.stx_dev_major == there.stx_dev_major &&
                here.stx_dev_minor == there.stx_dev_minor) {
                self->why = FAILED_PROC;
                return -EINVAL;
            }
        }
    }
    return 0;
}

long attach(struct setup *self, const struct operation *one)
{
    int mount = number(self, one, 0), target = number(self, one, 1);
    long result = refuse_place(self, mount, target, number(self, one, 2));
    if (result >= 0)
        result = sys(__NR_move_mount, mount, "", target, "",
                     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    if (result >= 0 && operand(self, one, 3))
        self->dev = mount_of(mount);
    sys(__NR_close, target);
    return result;
}

/* A /dev that is a symlink in the image leads to no volume of the host's: devices, links and the
 * console would be made in there (CVE-2026-41579). */
long check_dev(const struct setup *self, int root)
{
    int dev = open_by(root, "/dev", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
    int is_symlink = dev == -ELOOP;
    if (is_symlink)
        dev = open_inside(root, "/dev", O_PATH | O_DIRECTORY);
    if (dev < 0)
        return dev == -ENOENT ? 0 : dev; /* it is made in the root */
    int own = is_own_mount(self, root, mount_of(dev));
    sys(__NR_close, dev);
    return is_symlink && !own ? -EXDEV : 0;
}
