/* SPDX-License-Identifier: Apache-2.0
 *
 * A terminal of the container's own devpts for a process in it.
 */
#ifndef OCIRUNTIME_TERMINAL_H
#define OCIRUNTIME_TERMINAL_H

#include "block.h"

/* Makes one in `root`, sends its master to exec->console_fd, which is closed, and makes it the
 * controlling terminal and standard streams of this process, which leads a session; it belongs to
 * `uid`. */
void take_terminal(int channel, int root, const struct block_exec *exec, unsigned int uid);

#endif
