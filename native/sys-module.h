/* SPDX-License-Identifier: Apache-2.0
 *
 * The module ociruntime.kernel._sys, for the import system and for the embedding.
 */
#ifndef OCIRUNTIME_SYS_MODULE_H
#define OCIRUNTIME_SYS_MODULE_H

#include <Python.h>

PyMODINIT_FUNC PyInit__sys(void);

#endif
