/* SPDX-License-Identifier: Apache-2.0
 *
 * See become.h.  The order of the steps is explained where they are.
 */
#include "become.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/signal.h>

#include "map-block.h"
#include "raw.h"
#include "report.h"

/* No kernel has more CPUs (CONFIG_NR_CPUS). */
enum { LAST_SIGNAL = 64, CPU_WORDS = 8192 / 64 };

long close_others(int first, const int *kept, int count)
{
    for (;;) {
        int next = -1;
        for (int i = 0; i < count; i++)
            if (kept[i] >= first && (next < 0 || kept[i] < next))
                next = kept[i];
        if (next < 0)
            return sys(__NR_close_range, first, ~0U, 0);
        long result = next > first ? sys(__NR_close_range, first, next - 1, 0) : 0;
        if (result < 0)
            return result;
        first = next + 1;
    }
}

long close_except(int first, int one, int other)
{
    const int kept[] = {one, other};
    return close_others(first, kept, 2);
}

/* The program starts with every signal at its default and none blocked (Python ignores SIGPIPE
 * and SIGXFSZ, callers may ignore others, and both survive execve). */
static void reset_signals(int channel)
{
    static const __u64 DEFAULT[4] = {0}; /* of which the first word is the empty mask, too */
    for (int number = 1; number <= LAST_SIGNAL; number++)
        if (number != SIGKILL && number != SIGSTOP)
            check(channel, STAGE_SIGNALS,
                  sys(__NR_rt_sigaction, number, DEFAULT, 0, sizeof *DEFAULT), (unsigned int)number);
    check(channel, STAGE_SIGNALS,
          sys(__NR_rt_sigprocmask, SIG_SETMASK, DEFAULT, 0, sizeof *DEFAULT), 0);
}

/* The kernel takes those that the cpuset has; later changes of that one count as well
 * (sched_setaffinity(2)).  Where it is not to be had, the caller's CPUs do no harm. */
static __attribute__((noinline)) void take_all_cpus(void)
{
    __u64 cpus[CPU_WORDS];
    for (int i = 0; i < CPU_WORDS; i++)
        cpus[i] = ~0ULL;
    sys(__NR_sched_setaffinity, 0, sizeof cpus, cpus);
}

void write_label(int channel, const struct block *block, int proc)
{
    const char *attr = (const char *)block + block->lsm_attr_offset;
    const char *label = (const char *)block + block->lsm_label_offset;
    unsigned long length = 0;
    struct open_how how = {.flags = O_WRONLY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS};
    int file = (int)sys(__NR_openat2, proc, attr, &how, sizeof how);
    check(channel, STAGE_LSM, file, 0);
    while (label[length])
        length++;
    long written = sys(__NR_write, file, label, length);
    check(channel, STAGE_LSM, written, 0);
    if ((unsigned long)written != length)
        fail(channel, STAGE_LSM, -EIO, 0);
    sys(__NR_close, file);
}

static void set_capabilities(int channel, __u64 effective, __u64 permitted, __u64 inheritable)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {
        {(__u32)effective, (__u32)permitted, (__u32)inheritable},
        {(__u32)(effective >> 32), (__u32)(permitted >> 32), (__u32)(inheritable >> 32)}};
    check(channel, STAGE_CAPS, sys(__NR_capset, &header, data), 0);
}

static __u64 current_permitted(int channel)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
    check(channel, STAGE_CAPS, sys(__NR_capget, &header, data), 0);
    return data[0].permitted | (__u64)data[1].permitted << 32;
}

/* What chdir accepted may still lie outside the root: the kernel then answers "(unreachable)".
 *
 * We are there already, unless is_away: entered by descriptor and with the powers of the container's
 * root, because an image's /root is nobody else's to enter and yet the working directory of others.
 * That the user may not enter it, then, is no failure; where root was refused (a file system that
 * serves its owner only), the user must not be. */
static __attribute__((noinline)) void enter_cwd(int channel, const char *path, int is_away)
{
    char buffer[PATH_BYTES];
    long result = sys(__NR_chdir, path);
    if (result != -EACCES || is_away)
        check(channel, STAGE_CHDIR, result, 0);
    check(channel, STAGE_CWD, sys(__NR_getcwd, buffer, sizeof buffer), 0);
    if (buffer[0] != '/')
        fail(channel, STAGE_CWD, -ENOENT, 0);
}

static void load_seccomp(int channel, int times, const struct block *block)
{
    mark(times, STAGE_SECCOMP);
    struct sock_fprog program = {
        .len = (unsigned short)block->seccomp_count,
        .filter = (struct sock_filter *)((__u64)block + block->seccomp_offset)};
    long result = sys(__NR_seccomp, SECCOMP_SET_MODE_FILTER, block->seccomp_flags, &program);
    check(channel, STAGE_SECCOMP, result, 0);
    if (block->seccomp_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) {
        struct rights rights = RIGHTS((int)result);
        send_report(channel, STAGE_LISTENER, 0, 0, &rights);
        sys(__NR_close, result);
    }
}

/* Bounding set, ids, working directory, capabilities, in the only order that works: the bounding
 * set needs CAP_SETPCAP, the ids CAP_SETUID and CAP_SETGID, a filter without no_new_privs
 * CAP_SYS_ADMIN; and the working directory is entered as the process itself would, with its ids and
 * capabilities, where it may (CVE-2024-21626).  Such a filter is loaded as late as privileges allow, so
 * that it sees only capset, prctl and execve of ours. */
static void take_identity(const struct becoming *self)
{
    const struct block *block = self->block;
    int channel = self->channel;
    int times = self->times;
    mark(times, STAGE_BOUNDING);
    for (unsigned int cap = 0; cap <= block->last_cap; cap++) {
        if (block->bounding >> cap & 1)
            continue;
        /* Refused as well to who has nothing to drop: he is asked then only. */
        long dropped = sys(__NR_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
        if (dropped < 0 && sys(__NR_prctl, PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            check(channel, STAGE_BOUNDING, dropped, cap);
    }
    check(channel, STAGE_CAPS, sys(__NR_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
    if ((block->flags & BLOCK_SET_GROUPS) && !self->keep_groups)
        check(channel, STAGE_GROUPS, sys(__NR_setgroups, block->groups_count,
                                         (const char *)block + block->groups_offset), 0);
    check(channel, STAGE_GID, sys(__NR_setresgid, block->gid, block->gid, block->gid), 0);
    check(channel, STAGE_UID, sys(__NR_setresuid, block->uid, block->uid, block->uid), 0);
    check(channel, STAGE_CAPS, sys(__NR_prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0), 0);

    mark(times, STAGE_CAPS);
    __u64 all = current_permitted(channel);
    set_capabilities(channel, block->effective, all, block->inheritable);
    enter_cwd(channel, (const char *)block + block->cwd_offset, self->is_away);
    if ((block->flags & BLOCK_SECCOMP) && !(block->flags & BLOCK_NO_NEW_PRIVS)) {
        set_capabilities(channel, all, all, block->inheritable);
        load_seccomp(channel, times, block);
    }
    set_capabilities(channel, block->effective, block->permitted, block->inheritable);
    check(channel, STAGE_AMBIENT,
          sys(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), 0);
    for (unsigned int cap = 0; cap <= block->last_cap; cap++)
        if (block->ambient >> cap & 1)
            check(channel, STAGE_AMBIENT,
                  sys(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0), cap);
}

/* As execvp does: a path that is absent or forbidden lets the next one try, and EACCES is the
 * answer if any had it.  Returns only on failure. */
static _Noreturn void execute(int channel, __u32 candidates, char **argv, char **envp)
{
    long result = -ENOENT;
    unsigned int guilty = 0;
    for (unsigned int i = 0; i < candidates; i++) {
        long error = sys(__NR_execve, argv[1 + i], argv + 1 + candidates, envp);
        if (result != -EACCES || (error != -ENOENT && error != -ENOTDIR)) {
            result = error;
            guilty = i;
        }
        if (error != -ENOENT && error != -ENOTDIR && error != -EACCES)
            break;
    }
    fail(channel, STAGE_EXEC, result, guilty);
}

_Noreturn void become(const struct becoming *self)
{
    const struct block *block = self->block;
    const struct block_rlimit *limits =
        (const struct block_rlimit *)((const char *)block + block->rlimits_offset);
    int channel = self->channel;
    int first = FIRST_FD + (int)block->keep_fds;
    mark(self->times, STAGE_SIGNALS);
    reset_signals(channel);
    sys(__NR_umask, block->umask);
    if (block->flags & BLOCK_ALL_CPUS)
        take_all_cpus();
    if (block->lsm_attr_offset && self->proc >= 0)
        write_label(channel, block, self->proc);
    for (unsigned int i = 0; i < block->rlimits_count; i++)
        check(channel, STAGE_RLIMIT,
              sys(__NR_prlimit64, 0, limits[i].resource, &limits[i].soft, 0), i);
    check(channel, STAGE_CLOSE, close_except(first, channel, -1), 0);
    take_identity(self);
    if (block->flags & BLOCK_NO_NEW_PRIVS) {
        check(channel, STAGE_NO_NEW_PRIVS, sys(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        if (block->flags & BLOCK_SECCOMP)
            load_seccomp(channel, self->times, block);
    }
    execute(channel, self->candidates, self->argv, self->envp);
}
