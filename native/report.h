/* SPDX-License-Identifier: Apache-2.0
 *
 * What oci-init and oci-exec say on their channel; see block.h.
 */
#ifndef OCIRUNTIME_REPORT_H
#define OCIRUNTIME_REPORT_H

#include "block.h"

/* A control message with one descriptor (SCM_RIGHTS). */
struct rights { unsigned long length; int level; int type; int fd; int padding; };
#define RIGHTS(fd) {sizeof(struct rights) - sizeof(int), 1 /* SOL_SOCKET */, 1 /* SCM_RIGHTS */, (fd), 0}

/* `error` is a positive errno, `rights` may be null.  Nothing waits, and nobody need listen. */
void send_report(int channel, enum report_stage stage, long error, unsigned int detail,
                 struct rights *rights);

/* Sends `fd` beside `length` bytes of `text` over a stream socket, without waiting; -errno. */
long send_descriptor(int socket, const char *text, unsigned long length, int fd);

/* Reports what a system call answered, and ends with 1; with 126 or 127 for STAGE_EXEC. */
_Noreturn void fail(int channel, enum report_stage stage, long result, unsigned int detail);

/* fail() when `result` is a failure. */
void check(int channel, enum report_stage stage, long result, unsigned int detail);

/* Tells when `stage` begins, for --trace (a `times` of -1: it is not wanted): on the report's
 * channel, because nothing else of the host is left in here.  Not after a filter was loaded, which
 * may forbid it. */
void mark(int times, enum report_stage stage);

#endif
