/* SPDX-License-Identifier: Apache-2.0
 *
 * See streams.h.
 */
#include "streams.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/stat.h>

#include "inside.h"
#include "map-block.h"
#include "raw.h"
#include "report.h"

static int is_null(const struct statx *found)
{
    return is_kind(found, S_IFCHR) && found->stx_rdev_major == 1 && found->stx_rdev_minor == 3;
}

/* On a filesystem that nobody can mount: what is there is open, and nothing else. */
static int is_nameless(int fd)
{
    long found = filesystem_of(fd);
    return found == PIPEFS_MAGIC || found == SOCKFS_MAGIC;
}

/* Only pipes and sockets change their owner, and only those without a name: a file, a FIFO, a device
 * or a directory may be the host's (CVE-2026-88265). */
unsigned int own_streams(int channel, unsigned int uid)
{
    unsigned int nulls = 0;
    for (int fd = 0; fd < FIRST_FD; fd++) {
        struct statx found;
        look(fd, &found);
        if (is_null(&found))
            nulls |= 1U << fd;
        if ((!is_kind(&found, S_IFIFO) && !is_kind(&found, S_IFSOCK)) || found.stx_uid == uid ||
            !is_nameless(fd))
            continue;
        long result = sys(__NR_fchownat, fd, "", uid, -1, AT_EMPTY_PATH);
        /* Whoever may not give it away keeps it (EPERM); some have no owner (EINVAL). */
        if (result != -EPERM && result != -EINVAL && result != -EROFS)
            check(channel, STAGE_STREAMS, result, (unsigned int)fd);
    }
    return nulls;
}

/* The container's own /dev/null, for reading and writing, where a stream is that device: engines
 * open theirs for reading, and give it for output, too.  Proven before it is opened, and after;
 * without one the engine's stays. */
void reopen_null(int root, unsigned int nulls)
{
    struct statx found;
    int probe = open_inside(root, "/dev/null", O_PATH | O_NOFOLLOW);
    if (probe < 0)
        return;
    look(probe, &found);
    sys(__NR_close, probe);
    if (!is_null(&found))
        return;
    /* Without O_NOFOLLOW, which the container would find among the flags of its streams. */
    int file = open_inside(root, "/dev/null", O_RDWR | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return;
    look(file, &found);
    if (is_null(&found)) {
        sys(__NR_fcntl, file, F_SETFL, 0);
        for (int fd = 0; fd < FIRST_FD; fd++)
            if (nulls >> fd & 1)
                sys(__NR_dup3, file, fd, 0);
    }
    sys(__NR_close, file);
}
