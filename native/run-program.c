/* SPDX-License-Identifier: Apache-2.0
 *
 * A program run to its end, without a copy of the caller; see _sys.pyi.
 */
#include "run-program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "between.h"
#include "strings.h"

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

/* The wait status, or -errno. */
static long run(struct program *self, char *stack, int milliseconds)
{
    sigset_t all, mask;
    int status = 0, pidfd = -1;
    sigfillset(&all);
    /* A handler that ran in the process between would run in our memory.  The program starts with
     * this mask. */
    sigprocmask(SIG_SETMASK, &all, &mask);
    int pid = clone(program_main, stack + BETWEEN_STACK,
                    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, self, &pidfd);
    if (pid < 0) {
        self->reason = errno;
    } else {
        status = status_of(pid, pidfd, milliseconds);
        close(pidfd);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return self->reason ? -self->reason : status;
}

PyObject *sys_run_program(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *arguments, *environment, *result = NULL;
    Py_buffer streams, kept;
    struct program self = {0};
    char *stack = NULL;
    int milliseconds;

    if (!PyArg_ParseTuple(args, "iOOy*y*i|i:run_program", &self.fd, &arguments, &environment,
                          &streams, &kept, &milliseconds, &self.preserved))
        return NULL;
    if (descriptors_of(&streams, &kept, &self.descriptors) < 0)
        goto end;
    self.argv = strings_of(arguments);
    self.envp = self.argv == NULL ? NULL : strings_of(environment);
    if (self.envp == NULL)
        goto end;
    stack = PyMem_Malloc(BETWEEN_STACK);
    result = stack == NULL ? PyErr_NoMemory() : PyLong_FromLong(run(&self, stack, milliseconds));
end:
    PyMem_Free(stack);
    PyMem_Free(self.argv);
    PyMem_Free(self.envp);
    PyBuffer_Release(&streams);
    PyBuffer_Release(&kept);
    return result;
}
