/* SPDX-License-Identifier: Apache-2.0
 *
 * ociruntime: the launcher.
 *
 * Seals itself for the commands whose process enters a container, finds the Python package
 * relative to where it is installed, loads libpython and hands over.  It is deliberately not linked
 * with libpython: the sealing re-execution then pays for libc only, and what is copied into the
 * memfd is some 20 KB.
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
#include "image-load.h"
#include "image.h"
#include "interpreter.h"
#include "seal.h"
#include "stamps.h"

/* Where a launcher in `bin` looks for the package, and for the extension module: relative to its
 * own directory, in this order.  The last one is a checkout with its build directory. */
static const struct {
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

static _Noreturn __attribute__((format(printf, 1, 2))) void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("ociruntime: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    _exit(1);
}

/* Otherwise the next socket we open would be somebody's standard output. */
static void open_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(1);
}

/* Not for people: the build calls the first, and that one the second. */
static const char MAKE_IMAGE[] = "--make-image";
static const char DUMP_IMAGE[] = "--dump-image";

static int is_only_argument(int argc, char **argv, const char *word)
{
    return argc == 2 && strcmp(argv[1], word) == 0;
}

#ifndef PROGRAM_WORDS
/* What containerd calls the second name of this launcher: the shim's arguments are its own, so the
 * verb `shim` goes in front of them. */
static const char SHIM[] = "containerd-shim-ociruntime-v1";

static char **name_verb(int *argc, char **argv, const char *path)
{
    const char *name = strrchr(path, '/');
    /* The sealed copy is started with the verb already. */
    if (strcmp(name != NULL ? name + 1 : path, SHIM) != 0 ||
        (*argc > 1 && strcmp(argv[1], "shim") == 0))
        return argv;
    char **named = calloc((size_t)*argc + 2, sizeof *named);
    if (named == NULL)
        die("cannot start: out of memory");
    static char verb[] = "shim";
    named[0] = argv[0];
    named[1] = verb;
    memcpy(named + 2, argv + 1, (size_t)(*argc - 1) * sizeof *named);
    ++*argc;
    return named;
}

/* Whether this command's process, or a child it forks, enters a container.  Looking at every
 * argument costs a needless sealing now and then; a missed one would be a hole. */
static int must_be_sealed(int argc, char **argv)
{
    static const char *const COMMANDS[] = {"create", "run", "exec", "restore", "shim", "zygote"};
    for (int i = 1; i < argc; i++)
        for (size_t j = 0; j < sizeof COMMANDS / sizeof COMMANDS[0]; j++)
            if (strcmp(argv[i], COMMANDS[j]) == 0)
                return 1;
    return 0;
}
#endif

/* The launcher's installed path in `path`; whether we run from the sealed copy of it, whose
 * argv[0] says where that is. */
static int locate(char path[PATH_MAX], const char *argv0)
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
    if (argv0[0] != '/' || strlen(argv0) >= PATH_MAX)
        die("cannot find itself: the sealed copy was started as %s, not by absolute path", argv0);
    strcpy(path, argv0);
    return 1;
}

static char *join(const char *directory, size_t length, const char *tail)
{
    char *path;
    if (asprintf(&path, "%.*s%s", (int)length, directory, tail) < 0)
        die("cannot find its package: out of memory");
    return path;
}

static int exists(const char *directory, const char *tail)
{
    char *path = join(directory, strlen(directory), tail);
    int found = access(path, F_OK) == 0;
    free(path);
    return found;
}

/* The first layout that holds the package; *module is the extension module's path. */
static struct embed_paths find_package(const char *launcher, char **module)
{
    size_t length = (size_t)(strrchr(launcher, '/') - launcher);
    for (size_t i = 0; i < sizeof LAYOUTS / sizeof LAYOUTS[0]; i++) {
        char *package = join(launcher, length, LAYOUTS[i].package);
        if (!exists(package, "/ociruntime/__init__.py")) {
            free(package);
            continue;
        }
        char *directory = LAYOUTS[i].module != NULL
                              ? join(launcher, length, LAYOUTS[i].module)
                              : join(package, strlen(package), "/ociruntime/kernel");
        *module = join(directory, strlen(directory), "/_sys" INTERPRETER_SUFFIX);
        free(directory);
        char *resolved = realpath(package, NULL);
        return (struct embed_paths){
            .install_dir = resolved != NULL ? resolved : package,
            .dependencies = LAYOUTS[i].dependencies != NULL
                                ? join(launcher, length, LAYOUTS[i].dependencies)
                                : NULL,
        };
    }
    die("cannot find its Python package near %s; reinstall it, or build the checkout with `make dev`",
        launcher);
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
        die("cannot load Python: %s; install the package lib" INTERPRETER_NAME, dlerror());
    void *handle = dlopen(module, RTLD_LAZY | RTLD_LOCAL);
    if (handle == NULL)
        die("cannot load its extension module: %s; reinstall it, or run `make dev`", dlerror());
    embed_main_function *entry;
    *(void **)&entry = dlsym(handle, EMBED_ENTRY);
    if (entry == NULL)
        die("cannot start: %s is not the extension module of this launcher", module);
    return entry;
}

#ifdef PROGRAM_WORDS
/* The same program under another name stands for a command of ours: its words come first. */
static char **with_words(int *argc, char **argv)
{
    static const char *const WORDS[] = {PROGRAM_WORDS};
    const size_t count = sizeof WORDS / sizeof WORDS[0];
    char **longer = calloc((size_t)*argc + count + 1, sizeof *longer);
    if (longer == NULL)
        die("cannot start: out of memory");
    longer[0] = argv[0];
    memcpy(longer + 1, WORDS, sizeof WORDS);
    memcpy(longer + 1 + count, argv + 1, (size_t)*argc * sizeof *argv);
    *argc += (int)count;
    return longer;
}
#endif

int main(int argc, char **argv)
{
    static char path[PATH_MAX];
    open_standard_descriptors();
    if (argc < 1)
        die("cannot start: no arguments, not even a name");
    int sealed = locate(path, argv[0]);
    if (is_only_argument(argc, argv, MAKE_IMAGE)) {
        static char dump[sizeof DUMP_IMAGE];
        memcpy(dump, DUMP_IMAGE, sizeof dump);
        char *words[] = {path, dump, NULL};
        char *again[] = {path, argv[1], NULL};
        const char *failed_step = image_host(path, again, words);
        die("cannot make the start image: %s: %s", failed_step, strerror(errno));
    }
    stamps_begin(argc, argv, sealed ? "sealed" : "launcher");
#ifdef PROGRAM_WORDS
    argv = with_words(&argc, argv);
#else
    argv = name_verb(&argc, argv, path);
    if (!sealed && must_be_sealed(argc, argv)) {
        const char *failed_step;
        argv[0] = path;
        int result = seal_reexec(argv, &failed_step);
        die("cannot seal itself in a memfd: %s: %s", failed_step, strerror(-result));
    }
#endif
    if (sealed) /* executed by descriptor, the kernel knows no better name than its number */
        prctl(PR_SET_NAME, "ociruntime");
    argv[0] = path;
    char *module;
    struct embed_paths paths = find_package(path, &module);
    stamps_add("found");
    char *image = image_name(module);
    if (is_only_argument(argc, argv, DUMP_IMAGE)) {
        paths.image = image;
    } else {
        *strrchr(path, '/') = '\0';
        image_load(image, path, argc, argv);
        path[strlen(path)] = '/';
    }
    embed_main_function *run = load_interpreter(module);
    stamps_add("loaded");
    int status = run(argc, argv, &paths);
    fflush(stdout);
    fflush(stderr);
    _exit(status); /* what Python would tear down ends with the process anyway */
}
