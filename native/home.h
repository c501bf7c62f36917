/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_HOME_H
#define OCIRUNTIME_HOME_H

enum { HOME_BYTES = 4096 + 8 };

/* Whether `file`, a passwd(5), has a home directory for `uid`; then `variable`, of HOME_BYTES,
 * becomes "HOME=" and it.  Reads no more than the first MiB. */
int home_of(int file, unsigned int uid, char *variable);

/* The passwd(5) of the image below `root`, -1 if it has none that is a file: neither a FIFO nor a
 * device may hold us up. */
int open_passwd(int root);

#endif
