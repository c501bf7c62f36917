/* SPDX-License-Identifier: Apache-2.0
 *
 * clone3 in fork style by a process between that joins namespaces before; see _sys.pyi.
 *
 * That process shares the caller's memory, as after vfork(2), and runs no Python: nothing is copied
 * for it. Being outside of the pid namespace that it joins for its children, nobody in a container
 * can see or trace it.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "between.h"
#include "clone-joined.h"

/* What sys_clone_joined() and the process between share; that one runs on a stack of its own while
 * the caller sleeps in the kernel (CLONE_VFORK). */
struct between {
    struct clone_args request;
    const int *joined; /* pairs of descriptor and kind */
    size_t joins;
    struct descriptors descriptors;
    sigset_t mask;
    void *back[5]; /* __builtin_setjmp */
    int pid;       /* of what was made, 0 until then */
    int failed;    /* index of the joined namespace, -1: none of them */
    int reason;    /* errno of the failure */
};

static int between_main(void *argument)
{
    struct between *self = argument;
    self->failed = -1;
    if (take_descriptors(&self->descriptors) < 0 || syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
        self->reason = errno;
        return 1;
    }
    for (size_t i = 0; i < self->joins; i++) {
        if (syscall(SYS_setns, self->joined[2 * i], self->joined[2 * i + 1]) < 0) {
            self->failed = (int)i;
            self->reason = errno;
            return 1;
        }
    }
    long pid = syscall(SYS_clone3, &self->request, sizeof self->request);
    if (pid < 0) {
        self->reason = errno;
        return 1;
    }
    if (pid == 0) /* a copy of everything: of the stack that the caller sleeps on, too */
        __builtin_longjmp(self->back, 1);
    self->pid = (int)pid;
    return 0;
}

/* 1 in the process made, 0 in the caller once the process between has ended. */
static int __attribute__((noinline)) run_between(struct between *self, char *stack)
{
    if (__builtin_setjmp(self->back) != 0)
        return 1;
    int middle = clone(between_main, stack + BETWEEN_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, self);
    if (middle < 0)
        self->reason = errno;
    else
        while (waitpid(middle, NULL, 0) < 0 && errno == EINTR)
            continue;
    return 0;
}

PyObject *sys_clone_joined(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned long long flags;
    int cgroup_fd;
    Py_buffer joined, streams, kept;
    PyObject *result = NULL;
    struct between self = {.failed = -1};

    if (!PyArg_ParseTuple(args, "Kiy*y*y*:clone_joined", &flags, &cgroup_fd, &joined, &streams,
                          &kept))
        return NULL;
    char *stack = NULL;
    if (flags & CLONE_NOT_FORK_STYLE) {
        PyErr_SetString(PyExc_ValueError, "clone_joined() is fork style");
        goto end;
    }
    if (ints_of(&joined, &self.joined, &self.joins) < 0 ||
        descriptors_of(&streams, &kept, &self.descriptors) < 0)
        goto end;
    self.joins /= 2;
    self.request.flags = flags | CLONE_PARENT;
    if (cgroup_fd >= 0) {
        self.request.flags |= CLONE_INTO_CGROUP;
        self.request.cgroup = (uint64_t)(unsigned int)cgroup_fd;
    }
    stack = PyMem_Malloc(BETWEEN_STACK);
    if (stack == NULL) {
        PyErr_NoMemory();
        goto end;
    }
    sigset_t all;
    sigfillset(&all);
    PyOS_BeforeFork();
    /* A handler that ran in the process between would run in our memory. */
    sigprocmask(SIG_SETMASK, &all, &self.mask);
    int inside = run_between(&self, stack);
    sigprocmask(SIG_SETMASK, &self.mask, NULL);
    if (inside) {
        PyOS_AfterFork_Child();
        result = Py_BuildValue("(iii)", 0, -1, 0);
    } else {
        PyOS_AfterFork_Parent();
        result = Py_BuildValue("(iii)", self.pid > 0 ? self.pid : -1, self.failed, self.reason);
    }
end:
    PyMem_Free(stack);
    PyBuffer_Release(&joined);
    PyBuffer_Release(&streams);
    PyBuffer_Release(&kept);
    return result;
}
