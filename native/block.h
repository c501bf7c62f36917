/* SPDX-License-Identifier: Apache-2.0
 *
 * The block: all that oci-init or oci-exec is told, in one sealed memfd.  Written by
 * ociruntime/kernel/block.py (the tests compare the two).
 *
 * Native byte order, no padding, offsets in bytes from the start of the block.  Strings end in a
 * NUL, and the block's last byte is a NUL, so that no string can run past its end.
 */
#ifndef OCIRUNTIME_BLOCK_H
#define OCIRUNTIME_BLOCK_H

#include <linux/types.h>

#define BLOCK_MAGIC 0x4249434fU /* "OCIB" on a little-endian machine */
#define BLOCK_VERSION 1U
#define BLOCK_SIZE_MAX (1U << 20)

enum block_flag {
    BLOCK_WAIT = 1U << 0,         /* channel_fd listens: wait for `start` */
    BLOCK_NO_NEW_PRIVS = 1U << 1, /* set no_new_privs; seccomp is then loaded last of all */
    BLOCK_SET_GROUPS = 1U << 2,   /* setgroups, with an empty list too */
    BLOCK_SECCOMP = 1U << 3,      /* load the filter, even one without instructions (an error) */
    BLOCK_TIMES = 1U << 4,        /* without BLOCK_WAIT: report the times as well */
    BLOCK_EXEC = 1U << 5,         /* for oci-exec: a struct block_exec follows the header */
    BLOCK_AWAY = 1U << 6,         /* the working directory could not be entered by root of the container */
    BLOCK_ALL_CPUS = 1U << 7,     /* run on all CPUs of the cpuset, whatever our caller was bound to */
};

struct block {
    __u32 magic;            /*   0 */
    __u32 version;          /*   4 */
    __u32 size;             /*   8 bytes in the whole block */
    __u32 flags;            /*  12 enum block_flag */
    __s32 channel_fd;       /*  16 SOCK_SEQPACKET; -1 only without BLOCK_WAIT: no report */
    __s32 proc_fd;          /*  20 directory of a private procfs for lsm_attr, or -1 */
    __u32 keep_fds;         /*  24 descriptors 3..3+keep_fds-1 stay open in the program */
    __u32 uid;              /*  28 */
    __u32 gid;              /*  32 */
    __u32 umask;            /*  36 */
    __u32 groups_count;     /*  40 */
    __u32 groups_offset;    /*  44 __u32[groups_count] */
    __u32 rlimits_count;    /*  48 */
    __u32 rlimits_offset;   /*  52 struct block_rlimit[rlimits_count] */
    __u64 bounding;         /*  56 capability masks, bit n = capability n */
    __u64 effective;        /*  64 */
    __u64 permitted;        /*  72 */
    __u64 inheritable;      /*  80 */
    __u64 ambient;          /*  88 */
    __u32 last_cap;         /*  96 /proc/sys/kernel/cap_last_cap, at most 63 */
    __u32 candidates;       /* 100 paths to execute, argv[1] .. argv[candidates] */
    __u32 cwd_offset;       /* 104 string, absolute */
    __u32 lsm_attr_offset;  /* 108 string `self/attr/...`, below proc_fd; 0 = no label */
    __u32 lsm_label_offset; /* 112 string, written whole */
    __u32 seccomp_flags;    /* 116 SECCOMP_FILTER_FLAG_* */
    __u32 seccomp_count;    /* 120 instructions */
    __u32 seccomp_offset;   /* 124 struct sock_filter[seccomp_count] */
};                          /* 128 */

struct block_rlimit {
    __u32 resource; /* 0 RLIMIT_* */
    __u32 zero;     /* 4 */
    __u64 soft;     /* 8 */
    __u64 hard;     /* 16 */
};                  /* 24 */

enum entry_flag {
    EXEC_USER = 1U << 0,        /* a user namespace is joined: become its root */
    EXEC_KEEP_GROUPS = 1U << 1, /* ... which may not call setgroups */
    EXEC_HOME = 1U << 2,        /* the last variable of envp is HOME, to be looked up */
    EXEC_KNOWN = 1U << 3,       /* root_major, root_minor and root_ino are the root's */
    EXEC_JOINED = 1U << 4,      /* tell when the process is in its cgroups */
    EXEC_RELAYED = 1U << 5,     /* the terminal leaves a newline as it is */
    EXEC_MEMORY = 1U << 6,      /* memory_mode and nodes are a memory policy */
    EXEC_PERSONA = 1U << 7,     /* persona is an execution domain */
};

/* How oci-exec gets into a running container, and what its process has of its own. */
struct block_exec {
    __s32 container_fd;     /*   0 pidfd of the process whose namespaces are joined, -1: none */
    __u32 namespaces;       /*   4 CLONE_NEW* of them, but for the cgroup namespace */
    __s32 cgroup_fd;        /*   8 cgroup v2 directory to be cloned into, -1: none */
    __s32 cgroup_ns_fd;     /*  12 cgroup namespace to be joined, -1: none */
    __s32 root_fd;          /*  16 directory that becomes the root, with EXEC_KNOWN unless "/" of the
                             *     namespace is it; -1: "/" is it */
    __s32 console_fd;       /*  20 stream socket for the master of a terminal, -1: no terminal */
    __u32 flags;            /*  24 enum entry_flag */
    __u32 keyring_offset;   /*  28 string, name of the session keyring */
    __u32 joins_count;      /*  32 */
    __u32 joins_offset;     /*  36 __s32[joins_count], files of cgroup v1 to write oneself into */
    __u32 cpus_count;       /*  40 0: those of our caller */
    __u32 cpus_offset;      /*  44 __u64[cpus_count], the CPUs on which the process is made */
    __u32 nodes_count;      /*  48 */
    __u32 nodes_offset;     /*  52 __u64[nodes_count], set_mempolicy(2)'s */
    __u32 memory_mode;      /*  56 */
    __u32 persona;          /*  60 personality(2)'s */
    __u32 rows;             /*  64 of the terminal; 0: as it is */
    __u32 columns;          /*  68 */
    __u32 root_major;       /*  72 device and inode of the root, as it was made */
    __u32 root_minor;       /*  76 */
    __u64 root_ino;         /*  80 */
};                          /*  88 */

#define REPORT_MAGIC 0x5249434fU /* "OCIR" */
/* Set in `stage`: not a failure but the moment at which the stage begins, by CLOCK_MONOTONIC: seconds
 * in `error`, nanoseconds in `detail`. */
#define REPORT_TIME 0x100U
/* Set in `stage`: what the container goes without, for the reason in `error`. */
#define REPORT_NOTE 0x200U

/* What oci-init or, from STAGE_JOIN on, oci-exec was doing when it failed; block.py and
 * steps/enter.py have the words for people. */
enum report_stage {
    STAGE_BLOCK = 1,
    STAGE_WAIT = 2,
    STAGE_SIGNALS = 3,
    STAGE_LSM = 4,
    STAGE_RLIMIT = 5,    /* detail: index in rlimits */
    STAGE_BOUNDING = 6,  /* detail: the capability */
    STAGE_GROUPS = 7,
    STAGE_GID = 8,
    STAGE_UID = 9,
    STAGE_CAPS = 10,
    STAGE_AMBIENT = 11,  /* detail: the capability */
    STAGE_CHDIR = 12,    /* the working directory, as the process itself */
    STAGE_CWD = 13,      /* the working directory is outside the container */
    STAGE_NO_NEW_PRIVS = 14,
    STAGE_SECCOMP = 15,
    STAGE_LISTENER = 16, /* not a failure: errno is 0 and the descriptor is attached */
    STAGE_CLOSE = 17,
    STAGE_EXEC = 18,     /* detail: index of the candidate whose errno this is */
    STAGE_JOIN = 19,
    STAGE_CLONE = 20,
    STAGE_MADE = 21,     /* not a failure: errno is 0; detail: the pid, as the host sees it */
    STAGE_CGROUP = 22,   /* detail: index in joins */
    STAGE_CGROUP_NS = 23,
    STAGE_USER_NS = 24,
    STAGE_PROC = 25,
    STAGE_ROOT = 26,
    STAGE_SESSION = 27,
    STAGE_KEYRING = 28,
    STAGE_STREAMS = 29,
    STAGE_DIRECTORY = 30,
    STAGE_OUTSIDE = 31,  /* the directory is outside of the container */
    STAGE_PROGRAM = 32,  /* none can be executed; detail: the first one that is there, or 0 */
    STAGE_ENTERED = 33,  /* not a failure: errno is 0; what follows is what oci-init does */
    STAGE_JOINED = 34,   /* not a failure: errno is 0; it is in its cgroups and waits to go on */
    STAGE_CPUS = 35,
    STAGE_TERMINAL = 36,
    STAGE_MULTIPLEXER = 37, /* what is at /dev/pts/ptmx makes no terminals */
    STAGE_CONSOLE = 38,
    STAGE_MEMORY = 39,
    STAGE_PERSONA = 40,
};

struct report {
    __u32 magic;
    __u32 stage;
    __s32 error;
    __u32 detail;
};

#endif
