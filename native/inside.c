/* SPDX-License-Identifier: Apache-2.0
 *
 * See inside.h.
 */
#include "inside.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include <asm/statfs.h>

#include "raw.h"
#include "report.h"

enum { RETRIES = 128 };

/* Opens what `path` leads to without leaving `root`.  A rename anywhere during a ".." makes the
 * kernel answer EAGAIN; a hostile one can do so for long. */
int open_by(int root, const char *path, __u64 flags, __u64 resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve};
    long result = -EAGAIN;
    for (int i = 0; i < RETRIES && result == -EAGAIN; i++)
        result = sys(__NR_openat2, root, path, &how, sizeof how);
    return (int)result;
}

int open_inside(int root, const char *path, __u64 flags)
{
    return open_by(root, path, flags, 0);
}

void look(int fd, struct statx *found)
{
    static const unsigned int WANTED = STATX_TYPE | STATX_MODE | STATX_UID | STATX_INO;
    found->stx_mode = 0;
    /* Numbers of devices always come along. */
    sys(__NR_statx, fd, "", AT_EMPTY_PATH, WANTED, found);
}

int is_kind(const struct statx *found, unsigned int kind)
{
    return (found->stx_mode & S_IFMT) == kind;
}

long can_be_executed(int fd)
{
    struct statx found;
    if (fd < 0)
        return fd;
    look(fd, &found);
    sys(__NR_close, fd);
    if (is_kind(&found, S_IFDIR))
        return -EISDIR;
    return found.stx_mode & 0111 ? 0 : -EACCES;
}

long filesystem_of(int fd)
{
    struct statfs found = {.f_type = 0};
    sys(__NR_fstatfs, fd, &found);
    return found.f_type;
}

static int is_root(int fd, const struct block_exec *exec)
{
    struct statx found;
    look(fd, &found);
    return found.stx_ino == exec->root_ino && found.stx_dev_major == exec->root_major &&
           found.stx_dev_minor == exec->root_minor;
}

static int is_same_directory(int one, int other)
{
    struct statx here, there;
    look(one, &here);
    look(other, &there);
    return here.stx_ino == there.stx_ino && here.stx_dev_major == there.stx_dev_major &&
           here.stx_dev_minor == there.stx_dev_minor;
}

/* setns leads to the root of the namespace, which is the machine's where the runtime that made the
 * container ran in a chroot. The container's is the one that was recorded, or the one that its first
 * process has taken with it there (a switch_root). */
int enter_root(int channel, const struct block_exec *exec)
{
    int root = exec->root_fd;
    if (root < 0 || exec->flags & EXEC_KNOWN) {
        int top = (int)sys(__NR_openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
        check(channel, STAGE_ROOT, top, 0);
        if (!(exec->flags & EXEC_KNOWN) || is_root(top, exec) ||
            (root >= 0 && is_same_directory(top, root))) {
            if (root >= 0)
                sys(__NR_close, root);
            return top;
        }
        if (root < 0 || !is_root(root, exec))
            fail(channel, STAGE_ROOT, -ESTALE, 0);
        sys(__NR_close, top);
    }
    check(channel, STAGE_ROOT, sys(__NR_fchdir, root), 0);
    check(channel, STAGE_ROOT, sys(__NR_chroot, "."), 0);
    return root;
}
