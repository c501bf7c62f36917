/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <linux/errno.h>
#include <linux/time_types.h>

#include "raw.h"

enum { EXIT_NOT_FOUND = 127, EXIT_NOT_EXECUTABLE = 126 };
enum { MSG_QUIET = 0x4000 | 0x40 /* NOSIGNAL, DONTWAIT */ };

struct vector { void *base; unsigned long length; };
struct message {
    void *name; int name_length; struct vector *vectors; unsigned long vector_count;
    void *control; unsigned long control_length; unsigned int flags;
};

static long transmit(int socket, void *base, unsigned long length, struct rights *rights)
{
    struct vector vector = {base, length};
    struct message message = {.vectors = &vector, .vector_count = 1, .control = rights,
                              .control_length = rights ? sizeof *rights : 0};
    return sys(__NR_sendmsg, socket, &message, MSG_QUIET);
}

void send_report(int channel, enum report_stage stage, long error, unsigned int detail,
                 struct rights *rights)
{
    struct report report = {REPORT_MAGIC, stage, (int)error, detail};
    transmit(channel, &report, sizeof report, rights);
}

long send_descriptor(int socket, const char *text, unsigned long length, int fd)
{
    struct rights rights = RIGHTS(fd);
    return transmit(socket, (void *)text, length, &rights);
}

_Noreturn void fail(int channel, enum report_stage stage, long result, unsigned int detail)
{
    send_report(channel, stage, -result, detail, 0);
    if (stage != STAGE_EXEC)
        leave(1);
    leave(result == -ENOENT || result == -ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

void check(int channel, enum report_stage stage, long result, unsigned int detail)
{
    if (result < 0)
        fail(channel, stage, result, detail);
}

void mark(int times, enum report_stage stage)
{
    struct __kernel_timespec now;
    if (times < 0)
        return;
    sys(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, &now);
    send_report(times, stage | REPORT_TIME, now.tv_sec, (unsigned int)now.tv_nsec, 0);
}
