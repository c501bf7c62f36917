/* SPDX-License-Identifier: Apache-2.0
 *
 * See terminal.h.  Nothing here trusts a name: ptmx is opened without following symlinks and proven
 * to be the multiplexer of a devpts, before and after, and the other end is opened through it
 * (CVE-2025-52565).
 */
#include "terminal.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <linux/termios.h>

#include "inside.h"
#include "map-block.h"
#include "raw.h"
#include "report.h"

static const char PTMX[] = "/dev/pts/ptmx";
/* Of ptmx, in every devpts (fs/devpts/inode.c); the root directory has 1. */
enum { PTMX_INODE = 2, PTMX_MAJOR = 5, PTMX_MINOR = 2 };

static int is_multiplexer(int fd)
{
    struct statx found;
    look(fd, &found);
    return filesystem_of(fd) == DEVPTS_SUPER_MAGIC && found.stx_ino == PTMX_INODE &&
           is_kind(&found, S_IFCHR) && found.stx_rdev_major == PTMX_MAJOR &&
           found.stx_rdev_minor == PTMX_MINOR;
}

static int open_multiplexer(int channel, int root, __u64 flags)
{
    int fd = open_by(root, PTMX, flags, RESOLVE_NO_SYMLINKS);
    check(channel, STAGE_TERMINAL, fd, 0);
    if (!is_multiplexer(fd))
        fail(channel, STAGE_MULTIPLEXER, -EINVAL, 0);
    return fd;
}

/* Lines that go through this terminal and then another end as the program has ended them. */
static void leave_newlines(int channel, int terminal)
{
    struct termios settings;
    check(channel, STAGE_TERMINAL, sys(__NR_ioctl, terminal, TCGETS, &settings), 0);
    settings.c_oflag &= ~(tcflag_t)ONLCR;
    check(channel, STAGE_TERMINAL, sys(__NR_ioctl, terminal, TCSETS, &settings), 0);
}

void take_terminal(int channel, int root, const struct block_exec *exec, unsigned int uid)
{
    static const int UNLOCKED = 0;
    sys(__NR_close, open_multiplexer(channel, root, O_PATH | O_NOFOLLOW));
    int master = open_multiplexer(channel, root, O_RDWR | O_NOCTTY);
    check(channel, STAGE_TERMINAL, sys(__NR_ioctl, master, TIOCSPTLCK, &UNLOCKED), 0);
    int own = (int)sys(__NR_ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    check(channel, STAGE_TERMINAL, own, 0);
    if (exec->rows && exec->columns) {
        struct winsize size = {.ws_row = (unsigned short)exec->rows,
                               .ws_col = (unsigned short)exec->columns};
        check(channel, STAGE_TERMINAL, sys(__NR_ioctl, own, TIOCSWINSZ, &size), 0);
    }
    if (exec->flags & EXEC_RELAYED)
        leave_newlines(channel, own);
    check(channel, STAGE_CONSOLE,
          send_descriptor(exec->console_fd, PTMX, sizeof PTMX - 1, master), 0);
    sys(__NR_close, exec->console_fd);
    sys(__NR_close, master);
    check(channel, STAGE_TERMINAL, sys(__NR_fchownat, own, "", uid, -1, AT_EMPTY_PATH), 0);
    check(channel, STAGE_TERMINAL, sys(__NR_ioctl, own, TIOCSCTTY, 0), 0);
    for (int fd = 0; fd < FIRST_FD; fd++)
        if (fd != own)
            check(channel, STAGE_TERMINAL, sys(__NR_dup3, own, fd, 0), 0);
    if (own >= FIRST_FD)
        sys(__NR_close, own);
    else
        check(channel, STAGE_TERMINAL, sys(__NR_fcntl, own, F_SETFD, 0), 0);
}
