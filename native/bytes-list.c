/* SPDX-License-Identifier: Apache-2.0 */
#include "bytes-list.h"

char **strings_of(PyObject *list)
{
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "a list of bytes is wanted");
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(list);
    char **strings = PyMem_New(char *, (size_t)count + 1);
    if (strings == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(list, i), &strings[i], NULL) < 0) {
            PyMem_Free(strings);
            return NULL;
        }
    }
    strings[count] = NULL;
    return strings;
}
