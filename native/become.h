/* SPDX-License-Identifier: Apache-2.0
 *
 * From a process of the runtime to the program: what oci-init and oci-exec end with.
 */
#ifndef OCIRUNTIME_BECOME_H
#define OCIRUNTIME_BECOME_H

#include "block.h"

enum { PATH_BYTES = 4096 };

/* Really closes every descriptor from `first` on, except `kept`, some of which may be -1 for none:
 * close-on-exec is not enough, because the program's path itself may name a descriptor
 * (CVE-2024-21626). */
long close_others(int first, const int *kept, int count);

/* The same with two of them. */
long close_except(int first, int one, int other);

/* Has the next execve(2) take on the block's security label; `proc` is a procfs that nobody in the
 * container can have mounted over. */
void write_label(int channel, const struct block *block, int proc);

struct becoming {
    const struct block *block;
    int channel;
    int times;        /* as mark() wants it */
    int proc;         /* a private procfs for the label; -1: none, or the label is taken */
    int keep_groups;  /* the user namespace forbids setgroups, whatever the block says */
    int is_away;      /* we are not in the working directory yet */
    __u32 candidates; /* paths to execute: argv[1] to argv[candidates], the arguments follow */
    char **argv;
    char **envp;
};

/* Takes on the identity that the block describes, and executes the first candidate that works. */
_Noreturn void become(const struct becoming *self);

#endif
