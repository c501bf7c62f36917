/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations of native/program.h, packed for Python; see _sys.pyi.
 */
#ifndef OCIRUNTIME_OPERATION_H
#define OCIRUNTIME_OPERATION_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject *sys_pack_operation(PyObject *module, PyObject *const *args, Py_ssize_t count);

#endif
