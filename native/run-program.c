/* SPDX-License-Identifier: Apache-2.0
 *
 * A program run to its end, or started, without a copy of the caller; see _sys.pyi.
 */
#include "run-program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "between.h"
#include "bytes-list.h"

enum { FIRST = 3 };

struct program {
    int fd;
    char **argv;
    char **envp;
    struct descriptors descriptors;
    int preserved; /* from 3 on: our own caller's, which stay as they are */
    int reason; /* errno of the failure, 0 when it was executed */
};

/* The descriptors are a copy: the caller's stay close-on-exec. */
static int keep_on_exec(const struct program *self)
{
    for (size_t i = 0; i < self->descriptors.keeps; i++) {
        int fd = self->descriptors.kept[i];
        if (fd != self->fd && fd >= FIRST + self->preserved && syscall(SYS_fcntl, fd, F_SETFD, 0) < 0)
            return -1;
    }
    return 0;
}

static int program_main(void *argument)
{
    struct program *self = argument;
    if (take_descriptors(&self->descriptors) == 0 && keep_on_exec(self) == 0 &&
        syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0)
        syscall(SYS_execveat, self->fd, "", self->argv, self->envp, AT_EMPTY_PATH);
    self->reason = errno;
    return 1;
}

/* The wait status of our child, which is killed when it takes too long. */
static int status_of(int pid, int pidfd, int milliseconds)
{
    struct pollfd polled = {.fd = pidfd, .events = POLLIN};
    int status = 0;
    if (poll(&polled, 1, milliseconds) == 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

/* Its pid, and a pidfd of it; 0 with a `reason` when there is none.  All signals are blocked
 * meanwhile, as the program finds them: a handler that ran in the process between would run in our
 * memory. */
static int start(struct program *self, int *pidfd)
{
    sigset_t all, mask;
    char *stack = malloc(BETWEEN_STACK);
    int pid = -1;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask);
    if (stack != NULL)
        pid = clone(program_main, stack + BETWEEN_STACK,
                    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, self, pidfd);
    if (pid < 0)
        self->reason = errno;
    sigprocmask(SIG_SETMASK, &mask, NULL);
    free(stack);
    return pid < 0 ? 0 : pid;
}

/* `first` and, where the format has it, `second` are what follows the buffers. */
static int parse(PyObject *args, const char *format, struct program *self, Py_buffer *streams,
                 Py_buffer *kept, int *first, int *second)
{
    PyObject *arguments, *environment;
    if (!PyArg_ParseTuple(args, format, &self->fd, &arguments, &environment, streams, kept, first,
                          second))
        return -1;
    if (descriptors_of(streams, kept, &self->descriptors) == 0)
        self->argv = strings_of(arguments);
    if (self->argv != NULL)
        self->envp = strings_of(environment);
    if (self->envp != NULL)
        return 0;
    PyMem_Free(self->argv);
    PyBuffer_Release(streams);
    PyBuffer_Release(kept);
    return -1;
}

static void let_go(struct program *self, Py_buffer *streams, Py_buffer *kept)
{
    PyMem_Free(self->argv);
    PyMem_Free(self->envp);
    PyBuffer_Release(streams);
    PyBuffer_Release(kept);
}

PyObject *sys_run_program(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct program self = {0};
    Py_buffer streams, kept;
    int milliseconds, pidfd = -1;
    long status = 0;
    if (parse(args, "iOOy*y*i|i:run_program", &self, &streams, &kept, &milliseconds,
              &self.preserved) < 0)
        return NULL;
    int pid = start(&self, &pidfd);
    if (pid > 0) {
        status = status_of(pid, pidfd, milliseconds);
        close(pidfd);
    }
    let_go(&self, &streams, &kept);
    return PyLong_FromLong(self.reason ? -self.reason : status);
}

PyObject *sys_start_program(PyObject *Py_UNUSED(module), PyObject *args)
{
    struct program self = {0};
    Py_buffer streams, kept;
    int pidfd = -1;
    if (parse(args, "iOOy*y*|i:start_program", &self, &streams, &kept, &self.preserved, NULL) < 0)
        return NULL;
    int pid = start(&self, &pidfd);
    if (pid > 0 && self.reason) { /* it was not executed */
        status_of(pid, pidfd, -1);
        close(pidfd);
        pidfd = -1;
    }
    let_go(&self, &streams, &kept);
    return Py_BuildValue("(ii)", self.reason ? -self.reason : pid, pidfd);
}
