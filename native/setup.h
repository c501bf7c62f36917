/* SPDX-License-Identifier: Apache-2.0
 *
 * oci-setup's own state, and what its operations need of it.
 */
#ifndef OCIRUNTIME_SETUP_H
#define OCIRUNTIME_SETUP_H

#include "program.h"
#include "resolve.h"

/* All that oci-setup remembers; mapped, because it has no writable segment. */
struct setup {
    int channel;
    int registers[REGISTERS];
    int taken[DESCRIPTORS_MAX]; /* came with the packet; -1: none, or in a register */
    struct program *program;
    unsigned int at; /* the operation that is carried out */
    long why;        /* enum failure, or the value of a RECORD_VALUE */
    unsigned int said; /* bytes in `saying` */
    unsigned int answered;
    int is_copy;     /* made by the last operation */
    __u64 dev;       /* mount id of what was attached at /dev, 0: nothing */
    int cover;       /* the attached filesystem that covers directories, 0: none yet */
    struct place place;
    char name[PATH_SPACE];
    char saying[PATH_SPACE]; /* text of a failure or of a value */
    char answer[PACKET_MAX];
    char scratch[SCRATCH_MAX];
    char packet[PACKET_MAX]; /* a longer program is mapped by itself */
};

/* Appends a record; `text` may be null with a size of 0. */
void put(struct setup *self, enum record_kind kind, unsigned int operation, long number, long value,
         const char *text, unsigned int size);

/* Sends what was appended. */
void send_answer(struct setup *self);

/* Carries out one operation: its result, or -errno. */
long perform(struct setup *self, const struct operation *operation);

/* filesystem.c: a detached mount of a new filesystem; what it said of a failure is in `saying`. */
struct filesystem {
    const char *type, *source; /* "": no source */
    const char *options, *flags; /* so many strings, one behind the other; flags not all know */
    unsigned long option_count, flag_count;
    unsigned long attributes;
};
long make_filesystem(struct setup *self, const struct filesystem *wanted);

/* masks.c */
long mask(struct setup *self, const struct operation *operation);
long make_readonly(struct setup *self, const struct operation *operation);

/* operands.c: the value of operand `index`, an address for data; as a string, and as an int. */
long operand(const struct setup *self, const struct operation *operation, unsigned int index);
const char *text(const struct setup *self, const struct operation *operation, unsigned int index);
int number(const struct setup *self, const struct operation *operation, unsigned int index);
unsigned int length_of(const char *string);
int is_same(const char *one, const char *other);

/* Appends to `saying`. */
void say(struct setup *self, const char *string);

/* hooks.c: makes a process that executes a program of the host, and waits for one. */
long start_hook(struct setup *self, const struct operation *operation);
long wait_for(int pid, long milliseconds);

/* A null-terminated array of the `count` strings that begin at `text`, in memory of its own; null
 * when they run past the program's end. */
char **strings_of(const struct setup *self, const char *text, unsigned long count);

#endif
