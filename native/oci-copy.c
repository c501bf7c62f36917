/* SPDX-License-Identifier: Apache-2.0
 *
 * oci-copy: moves the output of containers to where it belongs, and their input to them.
 *
 * Who reads a pipe waits for the pipe's lock, and the kernel knows no way to try it first: a process
 * that is kept from running inside write(2) has it as long. So a daemon of many pods touches no pipe
 * of a container. We do, and are more than one process: they have descriptors and an epoll in common,
 * each stream has at most one of them, and there is always one that waits for the next. Who gets
 * stuck holds up his stream alone.
 *
 *     the first one     hears what the daemon says, and looks after the others, its children
 *     workers           as many as are at work or stuck, and one or two that wait
 *
 *     descriptor 0     SOCK_SEQPACKET, from the daemon: struct order, with SCM_RIGHTS source and
 *                      target where there is one to begin; to it: struct news
 *
 * We are started by the daemon, and end with it. Its own copies of what we copy between stay open: a
 * daemon that loses us starts another one, and nothing is lost but what a pump holds.
 */
#include <linux/errno.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <stddef.h>

#include "raw.h"

#define SPLICE_F_MOVE 1
#define SPLICE_F_NONBLOCK 2
#define MSG_NOSIGNAL 0x4000
#define MSG_DONTWAIT 0x40
#define MSG_CMSG_CLOEXEC 0x40000000
#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define SIGCHLD 17
#define SIGKILL 9

enum {
    DAEMON = 0,      /* the socket's descriptor */
    STREAMS = 1 << 16,
    AT_ONCE = 1 << 20,
    PIECE = 1 << 16,
    TURNS = 16,      /* before others have theirs */
    IDLE = 2,        /* processes that wait for work */
    FAILED = 1,
};
enum kind { SPLICE = 1, PUMP = 2, STOP = 3 };
enum word { ENDED = 1, FULL = 2 };
enum state { FREE, ARMED, BUSY, STOPPED };

struct order {
    __u64 number;
    __u32 kind;
    __u32 unused;
};

struct news {
    __u64 number;
    __u32 word;
    __u32 unused;
};

struct stream {
    __u64 number;
    int source;
    int target;
    __u32 generation; /* of those that have had this place */
    unsigned char state;
    unsigned char kind;
    unsigned char is_full;   /* that was told */
    unsigned char is_watched; /* the target, too */
};

/* What all of us see. */
struct common {
    __u32 waiting;
    __u32 highest; /* no stream has a place from here on */
    struct stream streams[STREAMS];
};

static struct common *common;
static int events;
static unsigned char piece[PIECE];

static int exchange(unsigned char *state, enum state from, enum state to)
{
    unsigned char expected = (unsigned char)from;
    return __atomic_compare_exchange_n(state, &expected, (unsigned char)to, 0, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

static int state_of(const struct stream *stream)
{
    return __atomic_load_n(&stream->state, __ATOMIC_SEQ_CST);
}

/* Of the event: the place, which of its descriptors, and whose it was then. */
#define OF_TARGET (1ULL << 31)

static __u64 name_of(const struct stream *stream)
{
    return (__u64)stream->generation << 32 | (__u64)(stream - common->streams);
}

static long watch(int operation, int fd, __u32 wanted, __u64 name)
{
    struct epoll_event event = {.events = wanted | EPOLLONESHOT, .data = name};
    return sys(__NR_epoll_ctl, events, operation, fd, &event);
}

static void tell(__u64 number, enum word word)
{
    struct news news = {.number = number, .word = word};
    sys(__NR_sendto, DAEMON, &news, sizeof news, MSG_NOSIGNAL, 0, 0);
}

/* The daemon's copies are open: without this the epoll would go on to have them. */
static void let_go(struct stream *stream)
{
    watch(EPOLL_CTL_DEL, stream->source, 0, 0);
    if (stream->is_watched)
        watch(EPOLL_CTL_DEL, stream->target, 0, 0);
    sys(__NR_close, stream->source);
    sys(__NR_close, stream->target);
    stream->generation++;
    __atomic_store_n(&stream->state, FREE, __ATOMIC_SEQ_CST);
}

static void end(struct stream *stream)
{
    __u64 number = stream->number;
    let_go(stream);
    tell(number, ENDED);
}

/* Wait for the source, or the target: whoever has it from now on. */
static void arm(struct stream *stream, int for_target)
{
    __u64 name = name_of(stream);
    if (!for_target)
        watch(EPOLL_CTL_MOD, stream->source, EPOLLIN, name);
    else {
        watch(stream->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, stream->target, EPOLLOUT,
              name | OF_TARGET);
        stream->is_watched = 1;
    }
    if (!exchange(&stream->state, BUSY, ARMED))
        let_go(stream); /* it was stopped meanwhile */
}

static void splice(struct stream *stream, int target_is_ready)
{
    for (int turn = 0; turn < TURNS; turn++) {
        long moved = sys(__NR_splice, stream->source, 0, stream->target, 0, AT_ONCE,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (moved == -EAGAIN) {
            /* At first the one that was not ready; later nobody knows: the source is as good. */
            arm(stream, turn == 0 && !target_is_ready);
            return;
        }
        if (moved <= 0 && moved != -EINTR) {
            end(stream);
            return;
        }
        target_is_ready = 1;
    }
    arm(stream, 0);
}

/* A program must not end, or wait for ever, because its log is full. */
static long write_all(struct stream *stream, const unsigned char *data, unsigned long left)
{
    while (left > 0) {
        long written = sys(__NR_write, stream->target, data, left);
        if (written == -EINTR)
            continue;
        if (written == -ENOSPC || written == -EDQUOT) {
            if (!stream->is_full)
                tell(stream->number, FULL);
            stream->is_full = 1;
            return 0;
        }
        if (written < 0)
            return written;
        data += written;
        left -= (unsigned long)written;
    }
    return 0;
}

static void pump(struct stream *stream)
{
    long got = sys(__NR_read, stream->source, piece, PIECE);
    if ((got <= 0 && got != -EAGAIN && got != -EINTR) ||
        (got > 0 && write_all(stream, piece, (unsigned long)got) < 0))
        end(stream);
    else
        arm(stream, 0);
}

/* Of the two descriptors -1, unless exactly they came. */
static long receive(struct order *order, int fds[2])
{
    struct {
        __u64 length;
        int level;
        int type;
        int fds[2];
    } control;
    struct {
        void *base;
        unsigned long length;
    } piece_of = {order, sizeof *order};
    struct {
        void *name;
        unsigned int name_length;
        void *pieces;
        unsigned long count;
        void *control;
        unsigned long control_length;
        unsigned int flags;
    } message = {0, 0, &piece_of, 1, &control, sizeof control, 0};
    control.length = 0;
    long got = sys(__NR_recvmsg, DAEMON, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    fds[0] = fds[1] = -1;
    if (got > 0 && message.control_length >= sizeof control && control.level == SOL_SOCKET &&
        control.type == SCM_RIGHTS && control.length == sizeof control) {
        fds[0] = control.fds[0];
        fds[1] = control.fds[1];
    }
    return got;
}

static struct stream *place(void)
{
    for (__u32 i = 0; i < STREAMS; i++)
        if (state_of(&common->streams[i]) == FREE) {
            if (i >= common->highest)
                common->highest = i + 1;
            return &common->streams[i];
        }
    return NULL;
}

static void begin(const struct order *order, const int fds[2])
{
    struct stream *stream = place();
    if (stream == NULL || fds[0] < 0)
        leave(FAILED); /* the daemon starts another one, or does it itself */
    stream->number = order->number;
    stream->source = fds[0];
    stream->target = fds[1];
    stream->kind = (unsigned char)order->kind;
    stream->is_full = stream->is_watched = 0;
    __atomic_store_n(&stream->state, ARMED, __ATOMIC_SEQ_CST);
    if (watch(EPOLL_CTL_ADD, stream->source, EPOLLIN, name_of(stream)) < 0)
        leave(FAILED);
}

static void stop(__u64 number)
{
    for (__u32 i = 0; i < common->highest; i++) {
        struct stream *stream = &common->streams[i];
        if (stream->number != number)
            continue;
        while (state_of(stream) != FREE) {
            if (exchange(&stream->state, ARMED, BUSY))
                let_go(stream);
            else if (exchange(&stream->state, BUSY, STOPPED))
                return; /* who has it lets it go */
        }
    }
}

static void die_with(long first)
{
    sys(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (sys(__NR_getppid) != first)
        leave(0);
}

/* Have the stream, unless it is another's by now. */
static int take(struct stream *stream, __u64 name)
{
    while (name_of(stream) == name) {
        if (exchange(&stream->state, ARMED, BUSY)) {
            if (name_of(stream) == name)
                return 1;
            arm(stream, 0); /* it has changed hands in between */
            return 0;
        }
        if (state_of(stream) != BUSY)
            return 0;
        sys(__NR_sched_yield); /* who had it is about to say that it is armed */
    }
    return 0;
}

static void move(__u64 name)
{
    struct stream *stream = &common->streams[name & (STREAMS - 1)];
    if (!take(stream, name & ~OF_TARGET))
        return;
    if (stream->kind == SPLICE)
        splice(stream, (name & OF_TARGET) != 0);
    else
        pump(stream);
}

/* Another worker, also a child of the first process: 1 in that one. Where there can be none, we do our
 * best alone. */
static int is_another(long first)
{
    if (sys(__NR_clone, CLONE_FILES | CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) != 0)
        return 0;
    die_with(first);
    return 1;
}

static _Noreturn void work(long first)
{
    for (;;) {
        struct epoll_event event;
        __atomic_add_fetch(&common->waiting, 1, __ATOMIC_SEQ_CST);
        long found;
        do
            found = sys(__NR_epoll_pwait, events, &event, 1, -1, 0, 0);
        while (found == -EINTR);
        if (found != 1)
            leave(FAILED);
        /* Whoever comes next must be served whatever becomes of us. */
        if (__atomic_sub_fetch(&common->waiting, 1, __ATOMIC_SEQ_CST) == 0 && is_another(first))
            continue;
        move(event.data);
        if (__atomic_load_n(&common->waiting, __ATOMIC_SEQ_CST) >= IDLE)
            leave(0);
    }
}

/* A worker that did not end by itself was waiting, or had a stream: nobody knows. All end with us,
 * and the daemon starts again. */
static void look_after_children(int signals)
{
    unsigned char information[128];
    int status;
    sys(__NR_read, signals, information, sizeof information);
    while (sys(__NR_wait4, -1, &status, 1 /* WNOHANG */, 0) > 0)
        if (status != 0)
            leave(FAILED);
}

static void listen_to_daemon(void)
{
    struct order order;
    int fds[2];
    long got = receive(&order, fds);
    if (got == sizeof order && order.kind == STOP)
        stop(order.number);
    else if (got == sizeof order)
        begin(&order, fds);
    else if (got != -EAGAIN && got != -EINTR)
        leave(0);
}

__attribute__((used)) _Noreturn void entry(long *stack)
{
    const __u64 children = 1ULL << (SIGCHLD - 1);
    (void)stack;
    sys(__NR_prctl, PR_SET_NAME, "ociruntime-copy", 0, 0, 0);
    common = (struct common *)sys(__NR_mmap, 0, sizeof *common, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if ((unsigned long)common > -4096UL)
        leave(FAILED);
    events = (int)sys(__NR_epoll_create1, EPOLL_CLOEXEC);
    sys(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &children, 0, sizeof children);
    int signals = (int)sys(__NR_signalfd4, -1, &children, sizeof children, O_CLOEXEC);
    if (events < 0 || signals < 0)
        leave(FAILED);
    long first = sys(__NR_getpid);
    if (sys(__NR_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0) == 0) {
        die_with(first);
        work(first);
    }
    struct pollfd polled[] = {{DAEMON, POLLIN, 0}, {signals, POLLIN, 0}};
    for (;;) {
        if (sys(__NR_ppoll, polled, 2, 0, 0, 0) < 0)
            continue;
        if (polled[1].revents)
            look_after_children(signals);
        if (polled[0].revents)
            listen_to_daemon();
    }
}
