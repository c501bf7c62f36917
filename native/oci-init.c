/* SPDX-License-Identifier: Apache-2.0
 *
 * oci-init: the last program of the runtime inside a container.
 *
 * The Python init executes it from a sealed memfd; it waits for `start` when told so, takes on the
 * process's identity and executes the program.  It has no libc, no heap and no writable data, so
 * a created container waits in a few pages, and nothing of the host can be reached through it.
 *
 *     argv = { "oci-init N", candidate paths..., the process's arguments... }
 *     envp = the process's environment        N = descriptor of the block, see block.h
 *
 * Everything in the container is hostile and may run at the same time; the block, argv and the
 * channel come from the runtime.  The order of the steps is explained where they are.
 */
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
#include <linux/time_types.h>

#include "become.h"
#include "map-block.h"
#include "raw.h"
#include "report.h"

enum { SOCK_CLOEXEC_FLAG = 02000000 };

/* Waits for one connection that says 'S' and returns it; it carries the report.  'T' wants the times
 * as well: *times becomes the connection.
 *
 * A PID 1 never dies from a signal it has no handler for, so those that would terminate any other
 * process are blocked, read from a signalfd and obeyed.  Orphans reap themselves, because SIGCHLD
 * is ignored. */
static int wait_for_start(int listener, int *times)
{
    static const __u64 HARMLESS = 1ULL << (SIGCHLD - 1) | 1ULL << (SIGCONT - 1) |
                                  1ULL << (SIGURG - 1) | 1ULL << (SIGWINCH - 1) |
                                  1ULL << (SIGTSTP - 1) | 1ULL << (SIGTTIN - 1) |
                                  1ULL << (SIGTTOU - 1);
    static const __u64 IGNORE[4] = {1 /* SIG_IGN */};
    static const __u64 DEADLY = ~HARMLESS;
    int connection = -1;
    check(listener, STAGE_WAIT,
          sys(__NR_rt_sigprocmask, SIG_SETMASK, &DEADLY, 0, sizeof DEADLY), 0);
    check(listener, STAGE_WAIT, sys(__NR_rt_sigaction, SIGCHLD, IGNORE, 0, sizeof DEADLY), 0);
    int signals = (int)sys(__NR_signalfd4, -1, &DEADLY, sizeof DEADLY, SFD_CLOEXEC);
    check(listener, STAGE_WAIT, signals, 0);
    for (;;) {
        struct pollfd polled[2] = {{.fd = signals, .events = POLLIN},
                                   {.fd = connection < 0 ? listener : connection,
                                    .events = POLLIN}};
        struct signalfd_siginfo signal;
        char word = 0;
        sys(__NR_ppoll, polled, 2, 0, 0, 0);
        if (polled[0].revents && sys(__NR_read, signals, &signal, sizeof signal) > 0)
            leave(128 + (int)signal.ssi_signo);
        if (polled[1].revents == 0)
            continue;
        if (connection < 0) {
            connection = (int)sys(__NR_accept4, listener, 0, 0, SOCK_CLOEXEC_FLAG);
            if (connection < 0) { /* ENFILE, ENOMEM: the client is still queued, so not at once */
                struct __kernel_timespec pause = {.tv_nsec = 10000000};
                sys(__NR_ppoll, polled, 1, &pause, 0, 0);
            }
            continue;
        }
        if (sys(__NR_recvfrom, connection, &word, 1, 0, 0, 0) == 1) {
            if (word == 'T')
                *times = connection;
            if (word == 'T' || word == 'S')
                break;
        }
        sys(__NR_close, connection);
        connection = -1;
    }
    sys(__NR_close, signals);
    sys(__NR_close, listener); /* connect() is refused from here on: started */
    return connection;
}

__attribute__((used)) _Noreturn void entry(long *stack)
{
    /* Before anything else: no process of the container may read our memory or descriptors. */
    sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    int argc = (int)stack[0];
    char **argv = (char **)(stack + 1);
    char **envp = argv + argc + 1;
    const struct block *block = map_block(argc, argv, 0);
    int channel = block->channel_fd;
    int first = FIRST_FD + (int)block->keep_fds;
    int times = block->flags & BLOCK_TIMES ? channel : -1;

    mark(times, STAGE_CLOSE);
    sys(__NR_prctl, PR_SET_NAME, "oci-init", 0, 0, 0);
    check(channel, STAGE_CLOSE, close_except(first, channel, block->proc_fd), 0);
    if (block->flags & BLOCK_WAIT)
        channel = wait_for_start(channel, &times);
    else if (channel >= 0)
        check(channel, STAGE_WAIT, sys(__NR_fcntl, channel, F_SETFD, FD_CLOEXEC), 0);
    struct becoming becoming = {.block = block, .channel = channel, .times = times,
                                .proc = block->proc_fd, .candidates = block->candidates,
                                .is_away = (block->flags & BLOCK_AWAY) != 0,
                                .argv = argv, .envp = envp};
    become(&becoming);
}
