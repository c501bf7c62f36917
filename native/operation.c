/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation of a program for oci-setup, packed; see _sys.pyi. A create compiles up to some
 * hundred of them, and to do this in Python took a sixth of what it does itself.
 */
#include "operation.h"

#include <string.h>

#include "program.h"

enum argument {
    DATA, ARGUMENTS, DESCRIPTOR, INHERITED, CODE, RESULT, SKIP, FLAGS, TOLERATE, CALL, OUTPUT,
    OUTPUT_SIZE, SCRATCH, ARGUMENT_COUNT
};

/* Puts it behind the data, with a NUL; the offset from the program's start, -1 with an exception. */
static Py_ssize_t add_memory(PyObject *data, const char *text, Py_ssize_t length)
{
    Py_ssize_t before = PyByteArray_GET_SIZE(data);
    if (PyByteArray_Resize(data, before + length + 1) < 0)
        return -1;
    memcpy(PyByteArray_AS_STRING(data) + before, text, (size_t)length);
    PyByteArray_AS_STRING(data)[before + length] = '\0';
    return (Py_ssize_t)sizeof(struct program) + before;
}

static Py_ssize_t add_text(PyObject *data, PyObject *operand)
{
    if (PyByteArray_CheckExact(operand))
        return add_memory(data, PyByteArray_AS_STRING(operand), PyByteArray_GET_SIZE(operand));
    if (!PyBytes_CheckExact(operand)) {
        PyErr_Format(PyExc_TypeError, "an operand cannot be %.100s", Py_TYPE(operand)->tp_name);
        return -1;
    }
    const char *text = PyBytes_AS_STRING(operand);
    Py_ssize_t length = PyBytes_GET_SIZE(operand);
    if (memchr(text, 0, (size_t)length) != NULL) {
        PyErr_SetString(PyExc_ValueError, "a string cannot contain a NUL byte");
        return -1;
    }
    return add_memory(data, text, length);
}

/* An operand and its kind. */
static int add_operand(struct operation *operation, Py_ssize_t index, PyObject *const *args)
{
    PyObject *operand = PyTuple_GET_ITEM(args[ARGUMENTS], index);
    PyObject *type = (PyObject *)Py_TYPE(operand);
    enum operand_kind kind = OPERAND_NUMBER;
    __u64 value = 0;
    if (PyLong_CheckExact(operand) || type == args[DESCRIPTOR] || type == args[INHERITED]) {
        value = PyLong_AsUnsignedLongLongMask(operand);
        if (type == args[DESCRIPTOR])
            kind = OPERAND_REGISTER;
    } else if (operand != Py_None) {
        Py_ssize_t offset = add_text(args[DATA], operand);
        if (offset < 0)
            return -1;
        value = (__u64)offset;
        kind = OPERAND_DATA;
    }
    operation->operands[index] = value;
    operation->kinds |= (__u32)kind << 4 * index;
    return 0;
}

/* What the operation writes: the memory that an operand is, or scratch memory where that is None. */
static void set_output(struct operation *operation, PyObject *const *args, __u32 size)
{
    long index = PyLong_AsLong(args[OUTPUT]);
    if (PyTuple_GET_ITEM(args[ARGUMENTS], index) == Py_None) {
        operation->kinds |= (__u32)OPERAND_SCRATCH << 4 * index;
        operation->operands[index] = PyLong_AsUnsignedLongMask(args[SCRATCH]);
        operation->flags |= OPERATION_SCRATCH;
    }
    operation->output = (__u32)operation->operands[index];
    operation->output_size = size;
}

PyObject *sys_pack_operation(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    struct operation operation = {0};
    if (count != ARGUMENT_COUNT || !PyByteArray_CheckExact(args[DATA]) ||
        !PyTuple_CheckExact(args[ARGUMENTS]) || PyTuple_GET_SIZE(args[ARGUMENTS]) > OPERANDS ||
        !PyTuple_CheckExact(args[TOLERATE]) || PyTuple_GET_SIZE(args[TOLERATE]) > TOLERATED) {
        PyErr_SetString(PyExc_TypeError, "no such operation: see _sys.pyi");
        return NULL;
    }
    operation.code = (__u16)PyLong_AsLong(args[CODE]);
    operation.result = (__u16)PyLong_AsLong(args[RESULT]);
    operation.skip = (__u16)PyLong_AsLong(args[SKIP]);
    operation.flags = (__u16)PyLong_AsLong(args[FLAGS]);
    operation.number = (__u32)PyLong_AsLong(args[CALL]);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[TOLERATE]); i++)
        operation.tolerated[i] = (__u16)PyLong_AsLong(PyTuple_GET_ITEM(args[TOLERATE], i));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[ARGUMENTS]); i++)
        if (add_operand(&operation, i, args) < 0)
            return NULL;
    long size = PyLong_AsLong(args[OUTPUT_SIZE]), output = PyLong_AsLong(args[OUTPUT]);
    if (size > 0 && output >= 0 && output < PyTuple_GET_SIZE(args[ARGUMENTS]))
        set_output(&operation, args, (__u32)size);
    return PyErr_Occurred() ? NULL
                            : PyBytes_FromStringAndSize((const char *)&operation, sizeof operation);
}
