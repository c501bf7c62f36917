/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations, one function each (program.h).
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/stat.h>

#include "devices.h"
#include "home.h"
#include "inside.h"
#include "keyring.h"
#include "places.h"
#include "raw.h"
#include "report.h"
#include "setup.h"

static long filesystem(struct setup *self, const struct operation *one)
{
    struct filesystem wanted = {
        .type = text(self, one, 0), .source = text(self, one, 1), .options = text(self, one, 2),
        .option_count = one->operands[3], .flags = text(self, one, 4),
        .flag_count = one->operands[5], .attributes = (unsigned long)operand(self, one, 6)};
    return make_filesystem(self, &wanted);
}

static long is_of_kind(int fd, unsigned int kind)
{
    struct statx found;
    look(fd, &found);
    return is_kind(&found, kind) ? 0 : -EOPNOTSUPP;
}

static long is_empty(int fd)
{
    struct statx found;
    long result = sys(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &found);
    if (result < 0)
        return result;
    return is_kind(&found, S_IFREG) && found.stx_size == 0 ? 0 : -ENOTEMPTY;
}

static long is_on(int fd, long magic, __u64 inode)
{
    struct statx found;
    look(fd, &found);
    return filesystem_of(fd) == magic && (inode == 0 || found.stx_ino == inode) ? 0 : -EXDEV;
}

/* What chdir accepted may lie outside of the root: the kernel then answers "(unreachable)". */
static long place_of(struct setup *self)
{
    long result = sys(__NR_getcwd, self->name, sizeof self->name);
    if (result < 0 || self->name[0] == '/')
        return result < 0 ? result : 0;
    self->why = FAILED_OUTSIDE;
    return -ENOENT;
}

static long home(struct setup *self, int root, unsigned int uid)
{
    int file = open_passwd(root);
    if (file < 0)
        return 0;
    if (home_of(file, uid, self->name))
        say(self, self->name);
    sys(__NR_close, file);
    return 0;
}

/* The copy goes on with the program: this process answers for it, and ends.
 *
 * Why a process more: setns(2) into a PID namespace, and unshare(2) of one, reach children only.
 * The container's first process has to be that child; and nothing in between lives as long as the
 * container. So it is the runtime's own, who waits for it (CLONE_PARENT among the flags), or ours
 * until we end, and then of the subreaper that the runtime has (prctl(2)).
 * Why a copy and no vfork: the copy is a few pages, all of this program's, and both go on at once.
 * What must not be reordered: the namespaces that are joined come before this call, those that are
 * new are in its flags; the process is in its cgroup from its first instruction on
 * (CLONE_INTO_CGROUP), so no limit misses it; neither is dumpable, from before the first namespace
 * on, or that namespace's owner could trace it; and this program is answered once, from here, with
 * the pid: the copy carries out its rest and keeps silent, and answers the next ones.
 */
static long clone_init(struct setup *self, const struct operation *one)
{
    struct clone_args request = {.flags = (__u64)operand(self, one, 0)};
    if (!(request.flags & CLONE_PARENT))
        request.exit_signal = SIGCHLD;
    int cgroup = number(self, one, 1);
    if (cgroup >= 0) {
        request.flags |= CLONE_INTO_CGROUP;
        request.cgroup = (__u64)cgroup;
    }
    long pid = sys(__NR_clone3, &request, sizeof request);
    if (pid > 0) {
        put(self, RECORD_VALUE, self->at, 0, pid, 0, 0);
        put(self, RECORD_DONE, self->at, 0, 0, 0, 0);
        send_answer(self);
        leave(0);
    }
    if (pid == 0) {
        self->is_copy = 1;
        if (cgroup >= 0)
            sys(__NR_close, cgroup);
    }
    return pid;
}

static long become(struct setup *self, const struct operation *one)
{
    char **arguments = strings_of(self, text(self, one, 1), one->operands[2]);
    char **environment = strings_of(self, text(self, one, 3), one->operands[4]);
    if (!arguments || !environment)
        return -E2BIG;
    put(self, RECORD_LEAVING, self->at, 0, 0, 0, 0);
    send_answer(self);
    return sys(__NR_execveat, operand(self, one, 0), "", arguments, environment, AT_EMPTY_PATH);
}

static long call(const struct setup *self, const struct operation *one)
{
    return sys(one->number, operand(self, one, 0), operand(self, one, 1), operand(self, one, 2),
               operand(self, one, 3), operand(self, one, 4), operand(self, one, 5));
}

static long take_descriptor(struct setup *self, unsigned long index)
{
    if (index >= DESCRIPTORS_MAX || self->taken[index] < 0)
        return -EBADF;
    int fd = self->taken[index];
    self->taken[index] = -1;
    return fd;
}

long perform(struct setup *self, const struct operation *one)
{
    switch ((enum operation_code)one->code) {
    case DO_CALL:
        return call(self, one);
    case DO_OPEN:
        return open_in(self, one, (__u64)operand(self, one, 2), (__u64)operand(self, one, 3));
    case DO_DIRECTORY:
        return directory(self, one);
    case DO_FILE:
        return file(self, one);
    case DO_ITSELF:
        return itself(self, one);
    case DO_DEVICE:
        return device(self, one);
    case DO_SYMLINK:
        return symlink(self, one);
    case DO_FILESYSTEM:
        return filesystem(self, one);
    case DO_ATTACH:
        return attach(self, one);
    case DO_KIND:
        return is_of_kind(number(self, one, 0), (unsigned int)operand(self, one, 1));
    case DO_NODE:
        return is_node(number(self, one, 0), (unsigned int)operand(self, one, 1),
                       (unsigned int)operand(self, one, 2), (unsigned int)operand(self, one, 3))
                   ? 0 : -EOPNOTSUPP;
    case DO_EMPTY:
        return is_empty(number(self, one, 0));
    case DO_ON:
        return is_on(number(self, one, 0), operand(self, one, 1), (__u64)operand(self, one, 2));
    case DO_MASK:
        return mask(self, one);
    case DO_READONLY:
        return make_readonly(self, one);
    case DO_PLACE:
        return place_of(self);
    case DO_DEV:
        return check_dev(self, number(self, one, 0));
    case DO_PROGRAM:
        return can_be_executed(open_in(self, one, O_PATH, 0));
    case DO_HOME:
        return home(self, number(self, one, 0), (unsigned int)operand(self, one, 1));
    case DO_KEYRING:
        return own_keyring(text(self, one, 0));
    case DO_SEND:
        return send_descriptor(number(self, one, 0), text(self, one, 2), length_of(text(self, one, 2)),
                               number(self, one, 1));
    case DO_TAKE:
        return take_descriptor(self, one->operands[0]);
    case DO_CLONE:
        return clone_init(self, one);
    case DO_HOOK:
        return start_hook(self, one);
    case DO_WAIT:
        return wait_for(number(self, one, 0), operand(self, one, 1));
    case DO_EXECUTE:
        return become(self, one);
    case OPERATION_CODES:
        break;
    }
    return -ENOSYS;
}
