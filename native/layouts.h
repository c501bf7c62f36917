/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the package is, seen from the directory of the program that people start.
 */
#ifndef OCIRUNTIME_LAYOUTS_H
#define OCIRUNTIME_LAYOUTS_H

#include "interpreter.h"

/* `module` is the directory of the extension module, the start image and the launcher; NULL: it is
 * ociruntime/kernel below the package. The first layout that holds the package counts; the last one
 * is a checkout with its build directory. */
static const struct layout {
    const char *package;
    const char *module;
    const char *dependencies;
} LAYOUTS[] = {
    {"/../lib/" INTERPRETER_NAME "/site-packages", NULL, NULL},
    {"/../lib/" INTERPRETER_NAME "/dist-packages", NULL, NULL},
    {"/../lib/python3/dist-packages", NULL, NULL},
    {"/../lib/ociruntime", NULL, NULL},
    {"/..", "", "/../.venv/lib/" INTERPRETER_NAME "/site-packages"},
};
enum { LAYOUT_COUNT = sizeof LAYOUTS / sizeof LAYOUTS[0] };

#define LAYOUT_PROOF "/ociruntime/__init__.py" /* below the package */
#define LAYOUT_MODULE "/ociruntime/kernel"
#define LAUNCHER_NAME "launcher"

#endif
