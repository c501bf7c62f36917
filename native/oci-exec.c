/* SPDX-License-Identifier: Apache-2.0
 *
 * oci-exec: brings one more process into a running container.
 *
 * The runtime executes it on the host, from a sealed memfd.  It takes on what the process inherits,
 * joins the container's namespaces, clones the process as a child of the runtime, reports its pid
 * and ends.  The process joins its cgroups and waits until the runtime lets it go on (a byte 'S';
 * end of file: the runtime has gone), does inside what remains to be done, says so, and becomes the
 * program.  So the runtime's memory is neither copied for a process in the container nor ever shared
 * with one; and ours was made on the host: nobody with the powers of another user namespace may
 * trace it.
 *
 *     argv, envp = as oci-init's        the block has BLOCK_EXEC
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/stat.h>

#include "become.h"
#include "home.h"
#include "inside.h"
#include "keyring.h"
#include "map-block.h"
#include "raw.h"
#include "report.h"
#include "streams.h"
#include "terminal.h"

enum { EXIT_BLOCK = 70, PROC_ROOT_INODE = 1, MASK_WORDS = 8192 / 64 };

static int is_array(const struct block *block, __u32 offset, __u32 count, __u32 bytes)
{
    return offset >= sizeof *block + sizeof(struct block_exec) && offset <= block->size &&
           offset % bytes == 0 && count <= (block->size - offset) / bytes;
}

static const struct block_exec *exec_of(const struct block *block)
{
    const struct block_exec *exec = (const struct block_exec *)(block + 1);
    if (block->size < sizeof *block + sizeof *exec || block->flags & BLOCK_WAIT ||
        block->channel_fd < 0 || block->proc_fd != -1 ||
        !is_array(block, exec->keyring_offset, 1, 1) ||
        !is_array(block, exec->joins_offset, exec->joins_count, sizeof(__s32)) ||
        !is_array(block, exec->cpus_offset, exec->cpus_count, sizeof(__u64)) ||
        !is_array(block, exec->nodes_offset, exec->nodes_count, sizeof(__u64)) ||
        exec->cpus_count > MASK_WORDS || exec->nodes_count > MASK_WORDS)
        leave(EXIT_BLOCK);
    return exec;
}

static void wait_for_go(int channel)
{
    char word = 0;
    long result;
    do
        result = sys(__NR_recvfrom, channel, &word, 1, 0, 0, 0);
    while (result == -EINTR);
    if (result != 1 || word != 'S')
        leave(1);
}

/* A thread that moves itself needs no protection against its own end: no grace period. */
static void join_cgroups(int channel, const struct block *block, const struct block_exec *exec)
{
    const __s32 *files = (const __s32 *)((const char *)block + exec->joins_offset);
    for (unsigned int i = 0; i < exec->joins_count; i++)
        check(channel, STAGE_CGROUP, sys(__NR_write, files[i], "0", 1), i);
    if (exec->flags & EXEC_JOINED)
        send_report(channel, STAGE_JOINED, 0, 0, 0);
    if (exec->cgroup_ns_fd >= 0)
        check(channel, STAGE_CGROUP_NS, sys(__NR_setns, exec->cgroup_ns_fd, CLONE_NEWCGROUP), 0);
}

/* Whether the namespace turns out to forbid setgroups for good. */
static int become_root(int channel, unsigned int flags)
{
    long result = flags & EXEC_KEEP_GROUPS ? 0 : sys(__NR_setgroups, 0, 0);
    if (result == -EPERM)
        send_report(channel, STAGE_GROUPS | REPORT_NOTE, EPERM, 0, 0);
    else
        check(channel, STAGE_USER_NS, result, 0);
    check(channel, STAGE_USER_NS, sys(__NR_setresgid, 0, 0, 0), 0);
    check(channel, STAGE_USER_NS, sys(__NR_setresuid, 0, 0, 0), 0);
    /* New ids made us dumpable again, as /proc/sys/fs/suid_dumpable says. */
    sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    return result == -EPERM;
}

/* The label of what the next execve(2) starts, and whom we clone until then inherits it: so it is
 * written here, on the host, where nobody can have mounted anything over /proc (CVE-2019-16884,
 * CVE-2025-52881). */
static void take_label(int channel, const struct block *block)
{
    struct statx found;
    int proc = (int)sys(__NR_openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    check(channel, STAGE_PROC, proc, 0);
    look(proc, &found);
    if (filesystem_of(proc) != PROC_SUPER_MAGIC || found.stx_ino != PROC_ROOT_INODE)
        fail(channel, STAGE_PROC, -EXDEV, 0);
    write_label(channel, block, proc);
    sys(__NR_close, proc);
}

/* What its process inherits from oci-exec. */
static void prepare(int channel, const struct block *block, const struct block_exec *exec)
{
    if (exec->cpus_count > 0)
        check(channel, STAGE_CPUS,
              sys(__NR_sched_setaffinity, 0, exec->cpus_count * sizeof(__u64),
                  (const char *)block + exec->cpus_offset), 0);
    if (block->lsm_attr_offset)
        take_label(channel, block);
}

/* What only the process itself can set. The kernel takes one node less than it is told
 * (set_mempolicy(2), "maxnode"). */
static void set_execution(int channel, const struct block *block, const struct block_exec *exec)
{
    __u64 nodes = exec->nodes_count ? (__u64)block + exec->nodes_offset : 0;
    __u64 bits = exec->nodes_count ? exec->nodes_count * 64ULL + 1 : 0;
    if (exec->flags & EXEC_PERSONA)
        check(channel, STAGE_PERSONA, sys(__NR_personality, exec->persona), 0);
    if (exec->flags & EXEC_MEMORY)
        check(channel, STAGE_MEMORY, sys(__NR_set_mempolicy, exec->memory_mode, nodes, bits), 0);
}

/* A session keyring of its own, which the owner may search; kernels without keyrings, and profiles
 * that forbid them, are tolerated. */
static void join_keyring(int channel, const char *name)
{
    long result = own_keyring(name);
    if (result == -ENOSYS || result == -EPERM)
        send_report(channel, STAGE_KEYRING | REPORT_NOTE, -result, 0, 0);
    else
        check(channel, STAGE_KEYRING, result, 0);
}

/* By descriptor, and proven to be inside (CVE-2024-21626). Whether we are still away from it: it may
 * be closed to root (a file system that serves its owner only) and open to the user. */
static __attribute__((noinline)) int enter_directory(int channel, int root, const char *path)
{
    char buffer[PATH_BYTES];
    long fd = open_inside(root, path, O_PATH | O_DIRECTORY);
    long result = fd < 0 ? fd : sys(__NR_fchdir, fd);
    if (fd >= 0)
        sys(__NR_close, fd);
    if (result == -EACCES)
        return 1;
    check(channel, STAGE_DIRECTORY, result, 0);
    check(channel, STAGE_DIRECTORY, sys(__NR_getcwd, buffer, sizeof buffer), 0);
    if (buffer[0] != '/')
        fail(channel, STAGE_OUTSIDE, -ENOENT, 0);
    return 0;
}

/* `HOME=...` in `variable`, and the last of `envp` points to it; as it was where passwd has none. */
static void find_home(int root, unsigned int uid, char **envp, char *variable)
{
    int file = open_passwd(root);
    if (file < 0)
        return;
    if (home_of(file, uid, variable)) {
        while (envp[1])
            envp++;
        envp[0] = variable;
    }
    sys(__NR_close, file);
}

/* Why `path`, relative to `directory` unless it is absolute, cannot be executed; 0 if it can. */
static __attribute__((noinline)) long problem_of(int root, const char *directory, const char *path)
{
    char full[2 * PATH_BYTES];
    unsigned long length = 0;
    if (path[0] != '/') {
        for (; directory[length]; length++) {
            if (length == PATH_BYTES)
                return -ENAMETOOLONG;
            full[length] = directory[length];
        }
        full[length++] = '/';
    }
    for (unsigned long i = 0; (full[length] = path[i]); i++)
        if (++length == sizeof full)
            return -ENAMETOOLONG;
    return can_be_executed(open_inside(root, full, O_PATH));
}

/* Leaves those candidates that can be executed. */
static void find_program(int root, struct becoming *self)
{
    const char *directory = (const char *)self->block + self->block->cwd_offset;
    unsigned int guilty = 0, fit = 0;
    long reason = -ENOENT;
    for (unsigned int i = self->candidates; i > 0; i--) {
        long problem = problem_of(root, directory, self->argv[i]);
        if (problem == 0) {
            self->argv[self->candidates - fit++] = self->argv[i];
        } else if (problem != -ENOENT) {
            reason = problem;
            guilty = i - 1;
        }
    }
    if (fit == 0)
        fail(self->channel, STAGE_PROGRAM, reason, guilty);
    self->argv += self->candidates - fit;
    self->candidates = fit;
}

/* The process in the container. */
static _Noreturn void inside(const struct block_exec *exec, struct becoming *self)
{
    char home[HOME_BYTES];
    const struct block *block = self->block;
    int channel = self->channel;
    int first = FIRST_FD + (int)block->keep_fds;
    unsigned int nulls;
    const int kept[] = {channel, exec->root_fd, exec->console_fd};

    /* First of all, because whoever may trace us in there may take what is open. */
    join_cgroups(channel, block, exec);
    check(channel, STAGE_CLOSE, close_others(first, kept, sizeof kept / sizeof *kept), 0);
    wait_for_go(channel);
    mark(self->times, STAGE_ROOT);
    if (exec->flags & EXEC_USER)
        self->keep_groups = become_root(channel, exec->flags);
    int root = enter_root(channel, exec);
    mark(self->times, STAGE_SESSION);
    check(channel, STAGE_SESSION, sys(__NR_setsid), 0);
    join_keyring(channel, (const char *)block + exec->keyring_offset);
    mark(self->times, STAGE_STREAMS);
    if (exec->console_fd >= 0)
        take_terminal(channel, root, exec, block->uid);
    else if ((nulls = own_streams(channel, block->uid)))
        reopen_null(root, nulls);
    mark(self->times, STAGE_DIRECTORY);
    self->is_away = enter_directory(channel, root, (const char *)block + block->cwd_offset);
    mark(self->times, STAGE_PROGRAM);
    if (exec->flags & EXEC_HOME)
        find_home(root, block->uid, self->envp, home);
    find_program(root, self);
    set_execution(channel, block, exec);
    check(channel, STAGE_CLOSE, close_except(first, channel, -1), 0);
    send_report(channel, STAGE_ENTERED, 0, 0, 0);
    become(self);
}

__attribute__((used)) _Noreturn void entry(long *stack)
{
    sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    int argc = (int)stack[0];
    char **argv = (char **)(stack + 1);
    char **envp = argv + argc + 1;
    const struct block *block = map_block(argc, argv, BLOCK_EXEC);
    const struct block_exec *wanted = exec_of(block);
    int channel = block->channel_fd;
    struct clone_args request = {.flags = CLONE_PARENT};
    struct becoming becoming = {.block = block, .channel = channel, .proc = -1,
                                .times = block->flags & BLOCK_TIMES ? channel : -1,
                                .candidates = block->candidates, .argv = argv, .envp = envp};

    sys(__NR_prctl, PR_SET_NAME, "oci-init", 0, 0, 0);
    check(channel, STAGE_CLOSE, sys(__NR_fcntl, channel, F_SETFD, FD_CLOEXEC), 0);
    prepare(channel, block, wanted);
    if (wanted->container_fd >= 0)
        check(channel, STAGE_JOIN, sys(__NR_setns, wanted->container_fd, wanted->namespaces), 0);
    /* A joined user namespace may have made us dumpable, as /proc/sys/fs/suid_dumpable says. */
    check(channel, STAGE_JOIN, sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), 0);
    if (wanted->cgroup_fd >= 0) {
        request.flags |= CLONE_INTO_CGROUP;
        request.cgroup = (__u64)wanted->cgroup_fd;
    }
    /* As oci-setup's (perform.c): a child of the runtime's, for the PID namespace that was joined. */
    long pid = sys(__NR_clone3, &request, sizeof request);
    check(channel, STAGE_CLONE, pid, 0);
    if (pid == 0)
        inside(wanted, &becoming);
    send_report(channel, STAGE_MADE, 0, (unsigned int)pid, 0);
    leave(0);
}
