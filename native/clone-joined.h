/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_CLONE_JOINED_H
#define OCIRUNTIME_CLONE_JOINED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <linux/sched.h>
#include <stdint.h>

/* Flags that would make the child share what fork style promises to copy. */
#define CLONE_NOT_FORK_STYLE                                                                       \
    ((uint64_t)(CLONE_VM | CLONE_VFORK | CLONE_THREAD | CLONE_SIGHAND | CLONE_SETTLS |             \
                CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID))

PyObject *sys_clone_joined(PyObject *module, PyObject *args);

#endif
