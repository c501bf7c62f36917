/* SPDX-License-Identifier: Apache-2.0
 *
 * The module ociruntime.kernel._sys, for the import system and for the embedding.
 */
#ifndef OCIRUNTIME_SYSCALL_H
#define OCIRUNTIME_SYSCALL_H

#include <Python.h>

PyMODINIT_FUNC PyInit__sys(void);

#endif
