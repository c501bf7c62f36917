/* SPDX-License-Identifier: Apache-2.0
 *
 * See seal.h.  A copy in a memfd needs no privilege (an overlay mount would), works for rootless
 * users alike, and is cheap because the launcher is small: libpython is a shared library.
 */
#define _GNU_SOURCE
#include "seal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020 /* Linux 6.3 */
#endif

extern char **environ;

static const int REQUIRED_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

int seal_is_sealed(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    int seals = fcntl(fd, F_GET_SEALS); /* -1 for anything that is not a memfd */
    close(fd);
    return seals >= 0 && (seals & REQUIRED_SEALS) == REQUIRED_SEALS;
}

/* Where vm.memfd_noexec asks for it MFD_EXEC is a must; before Linux 6.3 it is EINVAL. */
static int create_memfd(void)
{
    int fd = memfd_create("ociruntime", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("ociruntime", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

static int copy_file(int from, int to)
{
    struct stat status;
    if (fstat(from, &status) < 0)
        return -1;
    off_t left = status.st_size;
    while (left > 0) {
        ssize_t copied = sendfile(to, from, NULL, (size_t)left);
        if (copied < 0 && errno == EINTR)
            continue;
        if (copied == 0) /* the file shrank while we read it */
            errno = EIO;
        if (copied <= 0)
            return -1;
        left -= copied;
    }
    return 0;
}

static int seal_memfd(int fd)
{
    /* F_SEAL_EXEC fixes the mode as well; a kernel that does not know it says EINVAL. */
    if (fcntl(fd, F_ADD_SEALS, REQUIRED_SEALS | F_SEAL_EXEC) == 0)
        return 0;
    return errno == EINVAL ? fcntl(fd, F_ADD_SEALS, REQUIRED_SEALS) : -1;
}

int seal_reexec(char *const argv[], const char **failed_step)
{
    int reason;
    int memfd = -1;
    *failed_step = "open /proc/self/exe";
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (self < 0)
        return -errno;
    *failed_step = "memfd_create";
    memfd = create_memfd();
    if (memfd < 0)
        goto fail;
    *failed_step = "copy of the launcher";
    if (copy_file(self, memfd) < 0)
        goto fail;
    *failed_step = "F_ADD_SEALS";
    if (seal_memfd(memfd) < 0)
        goto fail;
    *failed_step = "execveat";
    syscall(SYS_execveat, memfd, "", argv, environ, AT_EMPTY_PATH);
fail:
    reason = errno;
    close(self);
    if (memfd >= 0)
        close(memfd);
    return -reason;
}
