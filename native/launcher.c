/* SPDX-License-Identifier: Apache-2.0
 *
 * The launcher: starts the interpreter where the front found no start image to enter, and makes
 * that image.
 *
 * Seals itself anew for the commands whose process enters a container (it is another program than
 * the sealed front), finds the Python package relative to where the front is installed, loads
 * libpython and hands over.  It is deliberately not linked with libpython: the sealing re-execution
 * then pays for libc only, and what is copied into the memfd is some 20 KB.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "embed.h"
#include "image-host.h"
#include "image.h"
#include "layouts.h"
#include "memory-limit.h"
#include "seal.h"
#include "sealed-words.h"
#include "stamps.h"

static _Noreturn __attribute__((format(printf, 1, 2))) void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("ociruntime: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    _exit(1);
}

static int is_only_argument(int argc, char **argv, const char *word)
{
    return argc == 2 && strcmp(argv[1], word) == 0;
}

/* Our own path in `path`; whether we run from the sealed copy of it. */
static int locate(char path[PATH_MAX])
{
    static const char MEMFD[] = "/memfd:";
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length < 0)
        die("cannot find itself: /proc/self/exe: %s; is /proc mounted?", strerror(errno));
    path[length] = '\0';
    if (strncmp(path, MEMFD, sizeof MEMFD - 1) != 0)
        return 0;
    if (!seal_is_sealed())
        die("cannot seal itself: the copy in memory has lost its seals");
    return 1;
}

static char *join(const char *directory, size_t length, const char *tail)
{
    char *path;
    if (asprintf(&path, "%.*s%s", (int)length, directory, tail) < 0)
        die("cannot find its package: out of memory");
    return path;
}

/* Whether it is there; *denied when the caller cannot see that. */
static int exists(const char *directory, const char *tail, int *denied)
{
    char *path = join(directory, strlen(directory), tail);
    int found = access(path, F_OK) == 0;
    *denied |= !found && errno == EACCES;
    free(path);
    return found;
}

/* The first layout that holds the package; *module is the extension module's path. */
static struct embed_paths find_package(const char *front, char **module)
{
    size_t length = (size_t)(strrchr(front, '/') - front);
    int denied = 0;
    for (size_t i = 0; i < LAYOUT_COUNT; i++) {
        char *package = join(front, length, LAYOUTS[i].package);
        if (!exists(package, LAYOUT_PROOF, &denied)) {
            free(package);
            continue;
        }
        char *directory = LAYOUTS[i].module != NULL
                              ? join(front, length, LAYOUTS[i].module)
                              : join(package, strlen(package), LAYOUT_MODULE);
        *module = join(directory, strlen(directory), "/_sys" INTERPRETER_SUFFIX);
        free(directory);
        char *resolved = realpath(package, NULL);
        return (struct embed_paths){
            .install_dir = resolved != NULL ? resolved : package,
            .dependencies = LAYOUTS[i].dependencies != NULL
                                ? join(front, length, LAYOUTS[i].dependencies)
                                : NULL,
        };
    }
    if (denied)
        die("may not read its Python package near %s: permission denied; let this user enter and "
            "read what lies there",
            front);
    die("cannot find its Python package near %s; reinstall it, or build the checkout with `make dev`",
        front);
}

/* The start image lies beside the extension module. */
static char *image_name(const char *module)
{
    size_t length = (size_t)(strrchr(module, '/') - module);
    return join(module, length, "/" IMAGE_NAME);
}

static embed_main_function *load_interpreter(const char *module)
{
    /* Extension modules of the standard library find Python's symbols here: hence global. */
    if (dlopen(INTERPRETER_LIBRARY, RTLD_LAZY | RTLD_GLOBAL) == NULL)
        die(is_short_of_memory()
                ? "cannot load Python: %s; " MORE_MEMORY
                : "cannot load Python: %s; install the package lib" INTERPRETER_NAME
                  ", or install ociruntime anew for the Python that is here now",
            dlerror());
    void *handle = dlopen(module, RTLD_LAZY | RTLD_LOCAL);
    if (handle == NULL)
        die(is_short_of_memory()
                ? "cannot load its extension module: %s; " MORE_MEMORY
                : "cannot load its extension module: %s; reinstall it, or run `make dev`",
            dlerror());
    embed_main_function *entry;
    *(void **)&entry = dlsym(handle, EMBED_ENTRY);
    if (entry == NULL)
        die("cannot start: %s is not the extension module of this launcher", module);
    return entry;
}

int main(int argc, char **argv)
{
    static char path[PATH_MAX];
    if (argc < 1 || argv[0][0] != '/')
        die("this program is started by `ociruntime`, with the path of that as its name");
    int sealed = locate(path);
    char *front = argv[0];
    if (is_only_argument(argc, argv, MAKE_IMAGE)) {
        static char dump[] = DUMP_IMAGE;
        char *words[] = {front, dump, NULL};
        char *again[] = {front, argv[1], NULL};
        const char *failed_step = image_host(path, again, words);
        die("cannot make the start image: %s: %s", failed_step, strerror(errno));
    }
    if (!sealed && must_be_sealed(argc, argv)) {
        const char *failed_step;
        int result = seal_reexec(argv, environ, &failed_step);
        die("cannot seal itself in a memfd: %s: %s", failed_step, strerror(-result));
    }
    prctl(PR_SET_NAME, "ociruntime");
    char *module;
    struct embed_paths paths = find_package(front, &module);
    if (is_only_argument(argc, argv, DUMP_IMAGE))
        paths.image = image_name(module);
    embed_main_function *run = load_interpreter(module);
    stamps_add("loaded");
    int status = run(argc, argv, &paths);
    fflush(stdout);
    fflush(stderr);
    _exit(status); /* what Python would tear down ends with the process anyway */
}
