/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_BYTES_LIST_H
#define OCIRUNTIME_BYTES_LIST_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The C strings of a list of bytes, NULL-terminated and valid while the list is; the
 * array is the caller's to PyMem_Free. NULL with an exception set when it is anything else. */
char **strings_of(PyObject *list);

#endif
