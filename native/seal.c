/* SPDX-License-Identifier: Apache-2.0
 *
 * See seal.h.  A copy in a memfd needs no privilege (an overlay mount would), works for rootless
 * users alike, and is cheap because what is copied is small.  No libc: the front has none.
 */
#include "seal.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>

#include "raw.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020 /* Linux 6.3 */
#endif

enum { FROM_END = 2 };

static const int REQUIRED_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

static int open_self(void)
{
    return (int)sys(__NR_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
}

int seal_is_sealed(void)
{
    int fd = open_self();
    if (fd < 0)
        return 0;
    long seals = sys(__NR_fcntl, fd, F_GET_SEALS); /* negative for anything that is not a memfd */
    sys(__NR_close, fd);
    return seals >= 0 && (seals & REQUIRED_SEALS) == REQUIRED_SEALS;
}

/* Where vm.memfd_noexec asks for it MFD_EXEC is a must; before Linux 6.3 it is EINVAL. */
static int create_memfd(void)
{
    long fd = sys(__NR_memfd_create, "ociruntime", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd == -EINVAL)
        fd = sys(__NR_memfd_create, "ociruntime", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return (int)fd;
}

static long copy_file(int from, int to)
{
    long left = sys(__NR_lseek, from, 0, FROM_END);
    if (left < 0)
        return left;
    long offset = 0;
    while (left > 0) {
        long copied = sys(__NR_sendfile, to, from, &offset, left);
        if (copied == -EINTR)
            continue;
        if (copied <= 0) /* 0: the file shrank while we read it */
            return copied < 0 ? copied : -EIO;
        left -= copied;
    }
    return 0;
}

static long seal_memfd(int fd)
{
    /* F_SEAL_EXEC fixes the mode as well; a kernel that does not know it says EINVAL. */
    long result = sys(__NR_fcntl, fd, F_ADD_SEALS, REQUIRED_SEALS | F_SEAL_EXEC);
    return result == -EINVAL ? sys(__NR_fcntl, fd, F_ADD_SEALS, REQUIRED_SEALS) : result;
}

int seal_reexec(char *const argv[], char *const environment[], const char **failed_step)
{
    *failed_step = "open /proc/self/exe";
    int self = open_self();
    if (self < 0)
        return self;
    *failed_step = "memfd_create";
    int memfd = create_memfd();
    long result = memfd;
    if (memfd >= 0) {
        *failed_step = "copy of the program";
        result = copy_file(self, memfd);
        if (result == 0) {
            *failed_step = "F_ADD_SEALS";
            result = seal_memfd(memfd);
        }
        if (result == 0) {
            *failed_step = "execveat";
            result = sys(__NR_execveat, memfd, "", argv, environment, AT_EMPTY_PATH);
        }
        sys(__NR_close, memfd);
    }
    sys(__NR_close, self);
    return (int)result;
}
