/* SPDX-License-Identifier: Apache-2.0
 *
 * createContainer hooks: programs of the host that run in the container's namespaces.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/time_types.h>

#include "raw.h"
#include "setup.h"

enum { EXIT_NOT_FOUND = 127, LAST_SIGNAL = 64, FIRST_FD = 3 };
/* In what wait_for() answers. */
enum { TIME_IS_OVER = 1 << 16 };

/* As a program expects them: every signal at its default, none blocked. */
static void reset_signals(void)
{
    static const __u64 DEFAULT[4] = {0};
    for (int number = 1; number <= LAST_SIGNAL; number++)
        if (number != SIGKILL && number != SIGSTOP)
            sys(__NR_rt_sigaction, number, DEFAULT, 0, sizeof *DEFAULT);
    sys(__NR_rt_sigprocmask, SIG_SETMASK, DEFAULT, 0, sizeof *DEFAULT);
}

static _Noreturn void become_hook(struct setup *self, const struct operation *one, int failed,
                                  long parent)
{
    const char *path = (const char *)operand(self, one, 0);
    char **arguments = strings_of(self, (const char *)operand(self, one, 1), one->operands[2]);
    char **environment = strings_of(self, (const char *)operand(self, one, 3), one->operands[4]);
    const char *directory = (const char *)operand(self, one, 5);
    const int *streams = self->taken;
    long result = arguments && environment ? 0 : -E2BIG;

    /* It dies with us, who may have died by now. */
    sys(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (sys(__NR_getppid) != parent)
        leave(EXIT_NOT_FOUND);
    reset_signals();
    if ((int)one->operands[6] >= 0)
        sys(__NR_umask, one->operands[6]);
    if (result == 0)
        result = sys(__NR_chdir, directory);
    if (result == -ENOENT || result == -ENOTDIR)
        result = sys(__NR_chdir, "/");
    for (int fd = 0; fd < FIRST_FD && result >= 0; fd++)
        result = sys(__NR_dup3, streams[fd], fd, 0);
    if (result >= 0)
        result = sys(__NR_dup3, failed, FIRST_FD, O_CLOEXEC);
    if (result >= 0) {
        sys(__NR_close_range, FIRST_FD + 1, ~0U, 0);
        failed = FIRST_FD;
        result = sys(__NR_execve, path, arguments, environment);
    }
    sys(__NR_write, failed, &result, sizeof result);
    leave(EXIT_NOT_FOUND);
}

/* The pid of a hook that was executed, -errno of one that was not. */
long start_hook(struct setup *self, const struct operation *one)
{
    int ends[2];
    long failed = 0;
    long result = sys(__NR_pipe2, ends, O_CLOEXEC);
    if (result < 0)
        return result;
    long parent = sys(__NR_getpid);
    long pid = sys(__NR_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        become_hook(self, one, ends[1], parent);
    sys(__NR_close, ends[1]);
    if (pid > 0 && sys(__NR_read, ends[0], &failed, sizeof failed) == sizeof failed) {
        wait_for((int)pid, -1);
        pid = failed;
    }
    sys(__NR_close, ends[0]);
    return pid;
}

/* The wait status of our child. */
long wait_for(int pid, long milliseconds)
{
    int status = 0, over = 0;
    long result;
    if (milliseconds >= 0) {
        struct __kernel_timespec limit = {.tv_sec = milliseconds / 1000,
                                          .tv_nsec = milliseconds % 1000 * 1000000};
        struct pollfd polled = {.fd = (int)sys(__NR_pidfd_open, pid, 0), .events = POLLIN};
        if (polled.fd < 0)
            return polled.fd;
        if (sys(__NR_ppoll, &polled, 1, &limit, 0, 0) == 0) {
            sys(__NR_kill, pid, SIGKILL);
            over = TIME_IS_OVER;
        }
        sys(__NR_close, polled.fd);
    }
    do
        result = sys(__NR_wait4, pid, &status, 0, 0);
    while (result == -EINTR);
    return result < 0 ? result : (status & 0xffff) | over;
}
