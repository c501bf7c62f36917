/* SPDX-License-Identifier: Apache-2.0
 *
 * ociruntime.kernel._sys: raw system calls for Python, without ctypes.
 *
 * ctypes loads libffi, builds type objects and costs milliseconds before the first call; the
 * runtime's hot path has none to spare.  This module is everything the kernel layer needs: one
 * raw call, one clone3, and what makes processes without a copy of us.
 *
 * Guarantees: no function here raises for a failure of the kernel (the result is -errno, as the
 * kernel said it), errno is not part of the interface, the GIL is held throughout (a namespace
 * change must not race with another Python thread), and nothing is allocated between clone3 and
 * the return to Python in the child except what PyOS_AfterFork_Child does itself.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bytes-list.h"
#include "commit.h"
#include "embed.h"
#include "operation.h"
#include "rest.h"
#include "run-program.h"
#include "sys-module.h"

enum { MAX_ARGUMENTS = 6 };

/* One argument of call(): 0 and *value filled, or -1 with an exception set. A buffer stays
 * exported until the call is over, so that no resize can move it away under the kernel. */
static int convert(PyObject *object, long *value, Py_buffer *view)
{
    if (PyLong_Check(object)) {
        int overflow = 0;
        *value = PyLong_AsLongAndOverflow(object, &overflow);
        if (overflow > 0) {
            unsigned long word = PyLong_AsUnsignedLong(object);
            *value = (long)word;
            if (word == (unsigned long)-1 && PyErr_Occurred())
                return -1;
        } else if (overflow < 0) {
            PyErr_SetString(PyExc_OverflowError, "a system call's argument has at most 64 bits");
            return -1;
        }
        return *value == -1 && PyErr_Occurred() ? -1 : 0;
    }
    if (object == Py_None) {
        *value = 0;
        return 0;
    }
    if (PyBytes_Check(object)) {
        const char *text = PyBytes_AS_STRING(object);
        if (memchr(text, 0, (size_t)PyBytes_GET_SIZE(object)) != NULL) {
            PyErr_SetString(PyExc_ValueError, "a C string cannot contain a NUL byte");
            return -1;
        }
        *value = (long)(intptr_t)text;
        return 0;
    }
    if (PyObject_CheckBuffer(object)) {
        if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0)
            return -1;
        *value = (long)(intptr_t)view->buf;
        return 0;
    }
    PyErr_Format(PyExc_TypeError,
                 "a system call takes int, None, bytes (a C string) or a buffer, not %.100s",
                 Py_TYPE(object)->tp_name);
    return -1;
}

static PyObject *sys_call(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    long values[1 + MAX_ARGUMENTS] = {0};
    Py_buffer views[1 + MAX_ARGUMENTS];
    Py_ssize_t filled;
    long result = 0;

    if (count < 1 || count > 1 + MAX_ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "call() takes a number and at most six arguments");
        return NULL;
    }
    if (!PyLong_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "a system call's number is an int");
        return NULL;
    }
    for (filled = 0; filled < count; filled++) {
        views[filled].obj = NULL;
        if (convert(args[filled], &values[filled], &views[filled]) < 0)
            break;
    }
    if (filled == count) {
        result = syscall(values[0], values[1], values[2], values[3], values[4], values[5],
                         values[6]);
        if (result == -1)
            result = -errno;
    }
    for (Py_ssize_t i = 0; i < filled; i++)
        if (views[i].obj != NULL)
            PyBuffer_Release(&views[i]);
    return filled == count ? PyLong_FromLong(result) : NULL;
}

/* Flags that would make the child share what fork style promises to copy. */
#define CLONE_NOT_FORK_STYLE                                                                       \
    ((uint64_t)(CLONE_VM | CLONE_VFORK | CLONE_THREAD | CLONE_SIGHAND | CLONE_SETTLS |             \
                CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID))

static PyObject *sys_clone(PyObject *Py_UNUSED(module), PyObject *args, PyObject *keywords)
{
    static char *names[] = {(char *)"flags", (char *)"cgroup_fd", (char *)"exit_signal", NULL};
    unsigned long long flags;
    int cgroup_fd = -1;
    int exit_signal = SIGCHLD;
    int pidfd = -1;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "K|ii:clone", names, &flags, &cgroup_fd,
                                     &exit_signal))
        return NULL;
    if (flags & CLONE_NOT_FORK_STYLE) {
        PyErr_SetString(PyExc_ValueError, "clone() is fork style: CLONE_VM, CLONE_VFORK, "
                                          "CLONE_THREAD, CLONE_SIGHAND and *TID are refused");
        return NULL;
    }
    if ((flags & CLONE_PARENT) && exit_signal != 0) {
        PyErr_SetString(PyExc_ValueError, "with CLONE_PARENT exit_signal must be 0");
        return NULL;
    }
    struct clone_args request = {
        .flags = flags | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = (uint64_t)(unsigned int)exit_signal,
    };
    if (cgroup_fd >= 0) {
        request.flags |= CLONE_INTO_CGROUP;
        request.cgroup = (uint64_t)(unsigned int)cgroup_fd;
    }
    PyOS_BeforeFork();
    long pid = syscall(SYS_clone3, &request, sizeof request);
    int reason = errno;
    if (pid == 0) {
        PyOS_AfterFork_Child();
        return Py_BuildValue("(ii)", 0, -1);
    }
    PyOS_AfterFork_Parent();
    if (pid < 0)
        return Py_BuildValue("(ii)", -reason, -1);
    return Py_BuildValue("(li)", pid, pidfd);
}

/* The program of `fd`, or the one at `path` where that is not empty. */
static PyObject *execute(int fd, const char *path, PyObject *arguments, PyObject *environment)
{
    char **argv = strings_of(arguments);
    if (argv == NULL)
        return NULL;
    char **envp = strings_of(environment);
    if (envp == NULL) {
        PyMem_Free(argv);
        return NULL;
    }
    syscall(SYS_execveat, fd, path, argv, envp, *path ? 0 : AT_EMPTY_PATH);
    int reason = errno;
    PyMem_Free(argv);
    PyMem_Free(envp);
    return PyLong_FromLong(-reason);
}

static PyObject *sys_execveat(PyObject *Py_UNUSED(module), PyObject *args)
{
    int fd;
    PyObject *arguments, *environment;
    if (!PyArg_ParseTuple(args, "iOO:execveat", &fd, &arguments, &environment))
        return NULL;
    return execute(fd, "", arguments, environment);
}

/* os.execve refuses an empty argv[0], the kernel does not. */
static PyObject *sys_execve(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *path;
    PyObject *arguments, *environment;
    if (!PyArg_ParseTuple(args, "yOO:execve", &path, &arguments, &environment))
        return NULL;
    return execute(AT_FDCWD, path, arguments, environment);
}

static PyMethodDef methods[] = {
    {"call", (PyCFunction)(void (*)(void))sys_call, METH_FASTCALL,
     "call(number, *args) -> int: a raw system call; the result, or -errno"},
    {"clone", (PyCFunction)(void (*)(void))sys_clone, METH_VARARGS | METH_KEYWORDS,
     "clone(flags, cgroup_fd=-1, exit_signal=SIGCHLD) -> (pid, pidfd): clone3 in fork style"},
    {"pack_operation", (PyCFunction)(void (*)(void))sys_pack_operation, METH_FASTCALL,
     "pack_operation(data, operands, ...) -> bytes: an operation of a program for oci-setup"},
    {"run_program", sys_run_program, METH_VARARGS,
     "run_program(fd, argv, envp, streams, kept, milliseconds) -> int: execute the program of fd "
     "without a copy of us, and wait for its end; the wait status, or -errno"},
    {"start_program", sys_start_program, METH_VARARGS,
     "start_program(fd, argv, envp, streams, kept) -> (pid, pidfd): the same, and nobody waits"},
    {"rest", sys_rest, METH_VARARGS,
     "rest(ranges, fd, nanoseconds) -> int: give back what can be had again, and wait for fd"},
    {"execveat", sys_execveat, METH_VARARGS,
     "execveat(fd, argv, envp) -> int: execute the program of fd; -errno when that fails"},
    {"execve", sys_execve, METH_VARARGS,
     "execve(path, argv, envp) -> int: execute the program at path; -errno when that fails"},
    {NULL, NULL, 0, NULL},
};

static int fill(PyObject *module)
{
    PyObject *directory = Py_NewRef(Py_None);
    if (embed_install_dir != NULL) {
        Py_DECREF(directory);
        directory = PyUnicode_DecodeFSDefault(embed_install_dir);
    }
    if (directory == NULL)
        return -1;
    int result = PyModule_AddObjectRef(module, "install_dir", directory);
    Py_DECREF(directory);
    if (result < 0)
        return result;
    return PyModule_AddStringConstant(module, "commit", SOURCE_COMMIT);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)fill}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ociruntime.kernel._sys",
    .m_doc = "Raw system calls; see the stub _sys.pyi for the contract.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__sys(void)
{
    return PyModuleDef_Init(&definition);
}
