/* SPDX-License-Identifier: Apache-2.0
 *
 * oci-setup: makes the inside of a container.
 *
 * The runtime starts it on the host, from a sealed memfd, in a process that shares its memory until
 * then (native/run-program.c).  It carries out programs of few simple operations (program.h) that
 * come on its channel and answers each; nothing is decided here.  One of them makes the container's
 * first process as a copy of this one, in the new namespaces, which carries out the rest and at last
 * executes oci-init.  So no Python, and no memory of one, is ever inside of a container; and whoever
 * has the powers of another user namespace may not trace this process, because it was made on the
 * host and is not dumpable.
 *
 *     oci-setup CHANNEL    the number of a SOCK_SEQPACKET socket
 *
 * When the channel's other end is closed, it ends.
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/prctl.h>

#include "raw.h"
#include "setup.h"

enum { EXIT_PROGRAM = 70, FIRST_FD = 3, MAX_FD = 1 << 20, MAX_ERRNO = 4095 };
enum { RIGHTS_LEVEL = 1 /* SOL_SOCKET */, RIGHTS_TYPE = 1 /* SCM_RIGHTS */ };
enum { CLOEXEC_MESSAGE = 0x40000000, NOSIGNAL = 0x4000 };

struct vector { void *base; unsigned long length; };
struct message {
    void *name; int name_length; struct vector *vectors; unsigned long vector_count;
    void *control; unsigned long control_length; unsigned int flags;
};
struct control { unsigned long length; int level; int type; int fds[DESCRIPTORS_MAX]; };

void send_answer(struct setup *self)
{
    if (self->answered == 0)
        return;
    if (sys(__NR_sendto, self->channel, self->answer, self->answered, NOSIGNAL, 0, 0) < 0)
        leave(1); /* nobody listens any more */
    self->answered = 0;
}

void put(struct setup *self, enum record_kind kind, unsigned int operation, long number, long value,
         const char *text, unsigned int size)
{
    struct record record = {.kind = kind, .size = sizeof record + size, .operation = operation,
                            .number = (int)number, .value = value};
    unsigned int padded = (record.size + 7) & ~7U;
    if (padded > PACKET_MAX - self->answered)
        send_answer(self);
    if (padded > PACKET_MAX)
        leave(EXIT_PROGRAM);
    char *target = self->answer + self->answered;
    const char *head = (const char *)&record;
    for (unsigned int i = 0; i < sizeof record; i++)
        target[i] = head[i];
    for (unsigned int i = 0; i < size; i++)
        target[sizeof record + i] = text[i];
    self->answered += padded;
}

static const struct operation *operations_of(const struct program *program)
{
    return (const struct operation *)((const char *)program + program->operations);
}

static int is_operand(const struct program *program, unsigned int kind, __u64 value)
{
    switch (kind) {
    case OPERAND_NUMBER:
        return 1;
    case OPERAND_REGISTER:
        return value < REGISTERS;
    case OPERAND_DATA:
        return value >= sizeof *program && value < program->operations;
    case OPERAND_SCRATCH:
        return value < program->scratch;
    default:
        return 0;
    }
}

static int is_output(const struct program *program, const struct operation *one)
{
    __u64 first = one->flags & OPERATION_SCRATCH ? 0 : sizeof *program;
    __u64 end = one->flags & OPERATION_SCRATCH ? program->scratch : program->operations;
    return one->output_size == 0 || (one->output >= first && one->output <= end &&
                                     one->output_size <= end - one->output);
}

/* Whether every offset and index lies in the program, its scratch memory or the registers. A number
 * that an operation takes for a length or an address is not compared with anything: who writes
 * programs has all the powers that a wrong one could lend him. */
static int is_valid(const struct program *program, unsigned long size)
{
    if (size < sizeof *program || program->magic != PROGRAM_MAGIC || program->size != size ||
        program->scratch > SCRATCH_MAX || program->operations <= sizeof *program ||
        program->operations > size || program->operations % sizeof(__u64) != 0 ||
        ((const char *)program)[program->operations - 1] != 0 ||
        program->count > (size - program->operations) / sizeof(struct operation))
        return 0;
    for (unsigned int i = 0; i < program->count; i++) {
        const struct operation *one = operations_of(program) + i;
        if (one->code >= OPERATION_CODES || one->skip > program->count - i - 1 ||
            (one->result != NO_REGISTER && one->result >= REGISTERS) || !is_output(program, one))
            return 0;
        for (unsigned int at = 0; at < OPERANDS; at++)
            if (!is_operand(program, one->kinds >> 4 * at & 15, one->operands[at]))
                return 0;
    }
    return 1;
}

/* The descriptors that came with a packet; the others are closed at once. */
static void take(struct setup *self, const struct control *control, unsigned long length)
{
    unsigned long count = 0;
    if (length >= sizeof *control - sizeof control->fds && control->level == RIGHTS_LEVEL &&
        control->type == RIGHTS_TYPE)
        count = (control->length - (sizeof *control - sizeof control->fds)) / sizeof(int);
    for (unsigned long i = 0; i < DESCRIPTORS_MAX; i++) {
        if (self->taken[i] >= 0)
            sys(__NR_close, self->taken[i]);
        self->taken[i] = i < count ? control->fds[i] : -1;
    }
}

static struct program *map_program(int fd, long *length)
{
    long size = sys(__NR_lseek, fd, 0, 2 /* SEEK_END */);
    if (size <= 0 || size > PROGRAM_SIZE_MAX)
        leave(EXIT_PROGRAM);
    long address = sys(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);
    if (address < 0 && address >= -MAX_ERRNO)
        leave(EXIT_PROGRAM);
    if (sys(__NR_pread64, fd, address, size, 0) != size)
        leave(EXIT_PROGRAM);
    *length = size;
    return (struct program *)address;
}

/* The next program; its mapped size, 0 when it lies in the packet. */
static long receive(struct setup *self)
{
    struct vector vector = {self->packet, PACKET_MAX};
    struct control control = {0};
    struct message message = {.vectors = &vector, .vector_count = 1, .control = &control,
                              .control_length = sizeof control};
    long size, mapped = 0;
    do {
        message.control_length = sizeof control;
        size = sys(__NR_recvmsg, self->channel, &message, CLOEXEC_MESSAGE);
    } while (size == -EINTR);
    if (size <= 0)
        leave(1);
    take(self, &control, message.control_length);
    self->program = (struct program *)self->packet;
    if (size == sizeof(__u32)) { /* the magic alone: the program is elsewhere */
        self->program = map_program(self->taken[0], &size);
        mapped = size;
        sys(__NR_close, self->taken[0]);
        for (unsigned int i = 0; i < DESCRIPTORS_MAX - 1; i++)
            self->taken[i] = self->taken[i + 1];
        self->taken[DESCRIPTORS_MAX - 1] = -1;
    }
    if (!is_valid(self->program, (unsigned long)size))
        leave(EXIT_PROGRAM);
    return mapped;
}

static int is_tolerated(const struct operation *one, long number)
{
    for (unsigned int i = 0; i < TOLERATED; i++)
        if (one->tolerated[i] && (one->tolerated[i] == EVERY_ERRNO || one->tolerated[i] == number))
            return 1;
    return 0;
}

static void put_value(struct setup *self, const struct operation *one, long result)
{
    const char *text = self->saying;
    unsigned int size = self->said;
    if (one->output_size) {
        text = one->flags & OPERATION_SCRATCH ? self->scratch : (const char *)self->program;
        text += one->output;
        size = result < 0 ? 0 : one->output_size;
        if (one->flags & OPERATION_BYTES && (unsigned long)result < size)
            size = (unsigned int)result;
    }
    put(self, RECORD_VALUE, self->at, result < 0 ? -result : 0, result, text, size);
}

static void execute(struct setup *self)
{
    const struct operation *operations = operations_of(self->program);
    for (self->at = 0; self->at < self->program->count; self->at++) {
        const struct operation *one = operations + self->at;
        self->why = FAILED_PLAINLY;
        self->said = 0;
        long result = perform(self, one);
        if (one->result != NO_REGISTER)
            self->registers[one->result] = result < 0 ? -1 : (int)result;
        if (result < 0 && !is_tolerated(one, -result)) {
            put(self, RECORD_FAILED, self->at, -result, self->why, self->saying, self->said);
            return;
        }
        if (one->flags & OPERATION_WANTED)
            put_value(self, one, result);
        if (result < 0) {
            if (one->flags & OPERATION_NOTED)
                put(self, RECORD_NOTE, self->at, -result, 0, 0, 0);
        }
        if ((result >= 0) == ((one->flags & OPERATION_ELSE) != 0))
            self->at += one->skip;
    }
    put(self, RECORD_DONE, self->at, 0, 0, 0, 0);
    if (self->is_copy)
        self->answered = 0; /* that program was its parent's to answer */
    self->is_copy = 0;
}

static int channel_of(const char *text)
{
    int fd = 0;
    for (; *text >= '0' && *text <= '9' && fd < MAX_FD; text++)
        fd = fd * 10 + (*text - '0');
    if (*text || fd < FIRST_FD)
        leave(EXIT_PROGRAM);
    return fd;
}

__attribute__((used)) _Noreturn void entry(long *stack)
{
    sys(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    char **argv = (char **)(stack + 1);
    if (stack[0] != 2)
        leave(EXIT_PROGRAM);
    long address = sys(__NR_mmap, 0, sizeof(struct setup), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address < 0 && address >= -MAX_ERRNO)
        leave(EXIT_PROGRAM);
    struct setup *self = (struct setup *)address;
    self->channel = channel_of(argv[1]);
    for (unsigned int i = 0; i < DESCRIPTORS_MAX; i++)
        self->taken[i] = -1;
    sys(__NR_prctl, PR_SET_NAME, "oci-setup", 0, 0, 0);
    sys(__NR_fcntl, self->channel, F_SETFD, FD_CLOEXEC);
    for (;;) {
        long mapped = receive(self);
        execute(self);
        send_answer(self);
        if (mapped)
            sys(__NR_munmap, self->program, mapped);
    }
}
