/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_REST_H
#define OCIRUNTIME_REST_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject *sys_rest(PyObject *module, PyObject *args);

#endif
