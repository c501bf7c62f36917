/* SPDX-License-Identifier: Apache-2.0
 *
 * What oci-setup is told and what it answers: one packet each way.  Written and read by
 * ociruntime/kernel/program.py (the tests compare the two).
 *
 * A program is a struct program, data, and `count` operations: native byte order, no padding but
 * before the operations, offsets in bytes from the start.  The data's last byte is a NUL, so that no
 * string can run past its end.  Apart from it there are `scratch` bytes to be written.
 */
#ifndef OCIRUNTIME_PROGRAM_H
#define OCIRUNTIME_PROGRAM_H

#include <linux/types.h>

#define PROGRAM_MAGIC 0x5049434fU /* "OCIP" on a little-endian machine */

enum {
    PACKET_MAX = 65536,       /* a longer program comes in a memfd, the packet's first descriptor */
    PROGRAM_SIZE_MAX = 8 << 20,
    SCRATCH_MAX = 65536,
    REGISTERS = 16384,
    NO_REGISTER = 0xffff,
    OPERANDS = 8,
    TOLERATED = 4,
    EVERY_ERRNO = 0xffff, /* in `tolerated` */
    DESCRIPTORS_MAX = 16, /* that come with a packet */
};

struct program {
    __u32 magic;
    __u32 size;    /* of the program */
    __u32 scratch;
    __u32 count;   /* operations */
    __u32 operations; /* their offset */
    __u32 zero;
};

enum operand_kind {
    OPERAND_NUMBER = 0,
    OPERAND_REGISTER = 1, /* the value that an earlier operation left there */
    OPERAND_DATA = 2,     /* the address of this offset */
    OPERAND_SCRATCH = 3,  /* the same in what is to be written */
};

enum operation_flag {
    OPERATION_WANTED = 1U << 0, /* answer with a RECORD_VALUE */
    OPERATION_NOTED = 1U << 1,  /* answer a tolerated failure with a RECORD_NOTE */
    OPERATION_BYTES = 1U << 2,  /* what it wrote is as long as its result */
    OPERATION_SCRATCH = 1U << 3, /* it wrote there, and not in the data */
    OPERATION_ELSE = 1U << 4,   /* `skip` counts after success instead */
};

struct operation {
    __u16 code;                 /*  0 enum operation_code */
    __u16 result;               /*  2 the register for the result, -1 after a tolerated failure */
    __u16 skip;                 /*  4 operations to leave out then */
    __u16 flags;                /*  6 enum operation_flag */
    __u16 tolerated[TOLERATED]; /*  8 errnos, 0: none */
    __u32 kinds;                /* 16 enum operand_kind, four bits for each operand */
    __u32 number;               /* 20 of the system call */
    __u32 output;               /* 24 offset of what it writes and WANTED returns */
    __u32 output_size;          /* 28 */
    __u64 operands[OPERANDS];   /* 32 */
};                              /* 96 */

/* Operands in parentheses.  A `root` is a directory that no path leads out of; `path` is taken as
 * a config gives it.  What is made is told by RECORD_MADE. */
enum operation_code {
    DO_CALL = 0,        /* the system call `number` with the first six operands */
    DO_OPEN = 1,        /* (root, path, flags, resolve): what path leads to */
    DO_DIRECTORY = 2,   /* (root, path, mode, enum making): O_PATH, made where it is missing */
    DO_FILE = 3,        /* (root, path, mode): the same for a file */
    DO_ITSELF = 4,      /* (root, path, whether a directory, mode): what is there itself, a symlink
                         * included; made where it is missing */
    DO_DEVICE = 5,      /* (root, path, the same without "." and "", mode, device, uid, gid): made,
                         * or proven to be there; a regular file is a place to bind a device on, and
                         * the result O_PATH of what is there */
    DO_SYMLINK = 6,     /* (root, path, target, enum linking) */
    DO_FILESYSTEM = 7,  /* (type, source or "", options, their number, flags that not all know,
                         * their number, attributes): a detached mount */
    DO_ATTACH = 8,      /* (mount, target, root, whether it is /dev): but nothing else than a procfs on /proc, and no file
                         * on a directory; the target's descriptor is closed */
    DO_KIND = 9,        /* (fd, S_IF*): EOPNOTSUPP when it is of another kind */
    DO_NODE = 10,       /* (fd, S_IF*, major, minor): the same for a device, whose numbers count */
    DO_EMPTY = 11,      /* (fd): ENOTEMPTY unless it is an empty regular file */
    DO_PROGRAM = 12,    /* (root, path): whether it can be executed */
    DO_HOME = 13,       /* (root, uid): RECORD_VALUE has "HOME=..." where passwd(5) has one */
    DO_KEYRING = 14,    /* (name): a session keyring of its own */
    DO_SEND = 15,       /* (socket, fd, text): SCM_RIGHTS with the text */
    DO_TAKE = 16,       /* (index): a descriptor that came with the packet */
    DO_CLONE = 17,      /* (flags, cgroup or -1): the last of its program; the new process goes on with
                         * the next one, and this one answers with its pid and ends */
    DO_HOOK = 18,       /* (path, arguments, their number, environment, its number, directory,
                         * umask or -1): its pid; the packet's descriptors are its streams */
    DO_WAIT = 19,       /* (pid, milliseconds or -1): the wait status, bit 16 set when it was killed
                         * because its time was over */
    DO_EXECUTE = 20,    /* (fd, arguments, their number, environment, its number) */
    DO_ON = 21,         /* (fd, magic, inode or 0): EXDEV when it is on another filesystem */
    DO_MASK = 22,       /* (root, path, options of an empty tmpfs, their number, its attributes, a
                         * null device): covered */
    DO_READONLY = 23,   /* (root, path) */
    DO_PLACE = 24,      /* (): whether the working directory is below our root */
    DO_DEV = 25,        /* (root): whether /dev is on the root's mount, or on what was attached there */
    OPERATION_CODES = 26,
};

/* DO_DIRECTORY: how a path leads there. */
enum making {
    MAKING_FOLLOWS = 0,
    MAKING_NO_SYMLINKS = 1, /* not through a symlink at all */
};

/* DO_SYMLINK */
enum linking {
    LINKING_REPLACES = 1U << 0, /* what is there goes */
    LINKING_NEAR = 1U << 1,     /* not where a symlink leads to another mount */
};

/* An answer is a sequence of records, each padded to 8 bytes, the last of them DONE or FAILED. More
 * than a packet of them comes in several. */
enum record_kind {
    RECORD_DONE = 0,
    RECORD_FAILED = 1, /* number: errno; value: see enum failure; text: what was said */
    RECORD_VALUE = 2,  /* number: errno or 0; value: the result; text: what was written */
    RECORD_NOTE = 3,   /* number: errno */
    RECORD_MADE = 4,   /* value: inode; number: whether it is a directory; text: two __u32, the
                        * device's major and minor number, and the path */
    RECORD_LEAVING = 5, /* DO_EXECUTE comes now: the end of the channel is no death then */
};

/* Why, where the errno does not say it. */
enum failure {
    FAILED_PLAINLY = 0,
    FAILED_OTHER_MOUNT = 1, /* DO_DEVICE: text is the place that a symlink leads to */
    FAILED_NOT_IT = 2,      /* DO_DEVICE: something else is there */
    FAILED_PROC = 3,        /* DO_ATTACH: it is none, and would be on /proc */
    FAILED_OUTSIDE = 4,     /* DO_PLACE: it is not */
    FAILED_DIRECTORY = 5,   /* DO_ATTACH: the target is one, the mount is none */
    FAILED_OPTION = 6,      /* DO_FILESYSTEM: this plus the index of the option that was refused */
};

struct record {
    __u16 kind;
    __u16 zero;
    __u32 size;      /* of the record with its text, without padding */
    __u32 operation; /* index in the program */
    __s32 number;
    __s64 value;
};

#endif
