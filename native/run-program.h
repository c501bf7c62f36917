/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_RUN_PROGRAM_H
#define OCIRUNTIME_RUN_PROGRAM_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject *sys_run_program(PyObject *module, PyObject *args);
PyObject *sys_start_program(PyObject *module, PyObject *args);

#endif
