/* SPDX-License-Identifier: Apache-2.0
 *
 * The interpreter inside the launcher.
 *
 * Isolated from the environment, without site, signal handlers (so that dispositions stay as
 * inherited) and bytecode writing, and with every path given: starting must not search anything.
 * Nothing here is private to one version of CPython.
 */
#define PY_SSIZE_T_CLEAN
#include "embed.h"

#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frozen.h"
#include "image-dump.h"
#include "image-objects.h"
#include "image.h"
#include "interpreter.h"
#include "memory-limit.h"
#include "stamps.h"
#include "sys-module.h"

const char *embed_install_dir = NULL;

static PyStatus set_text(PyConfig *config, wchar_t **member, const char *text)
{
    return PyConfig_SetBytesString(config, member, text);
}

static PyStatus append_path(PyConfig *config, const char *path)
{
    wchar_t *wide = Py_DecodeLocale(path, NULL);
    if (wide == NULL)
        return PyStatus_NoMemory();
    PyStatus status = PyWideStringList_Append(&config->module_search_paths, wide);
    PyMem_RawFree(wide);
    return status;
}

static PyStatus configure(PyConfig *config, int argc, char **argv,
                          const struct embed_paths *paths)
{
    PyStatus status;
    config->site_import = 0;
    config->write_bytecode = 0;
    config->install_signal_handlers = 0;
    config->pathconfig_warnings = 0;
    config->code_debug_ranges = 0;
    config->module_search_paths_set = 1;

    const struct {
        wchar_t **member;
        const char *text;
    } texts[] = {
        {&config->program_name, "ociruntime"},
        {&config->executable, argv[0]},
        {&config->base_executable, argv[0]},
        {&config->home, INTERPRETER_PREFIX},
        {&config->prefix, INTERPRETER_PREFIX},
        {&config->base_prefix, INTERPRETER_PREFIX},
        {&config->exec_prefix, INTERPRETER_PREFIX},
        {&config->base_exec_prefix, INTERPRETER_PREFIX},
        {&config->stdlib_dir, INTERPRETER_STDLIB},
        {&config->stdio_encoding, "utf-8"},
        {&config->stdio_errors, "surrogateescape"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        status = set_text(config, texts[i].member, texts[i].text);
        if (PyStatus_Exception(status))
            return status;
    }
    const char *search[] = {paths->install_dir, INTERPRETER_STDLIB, INTERPRETER_DYNLOAD,
                            paths->dependencies};
    for (size_t i = 0; i < sizeof search / sizeof search[0]; i++) {
        if (search[i] == NULL)
            continue;
        status = append_path(config, search[i]);
        if (PyStatus_Exception(status))
            return status;
    }
    return PyConfig_SetBytesArgv(config, argc, argv);
}

/* A standard stream that is a directory is the container's affair, but Python refuses to begin with
 * one: it gets /dev/null meanwhile. `saved` are our copies of the streams, -1 where none is. */
static void hide_directories(int saved[3])
{
    for (int fd = 0; fd < 3; fd++) {
        struct stat found;
        saved[fd] = -1;
        if (fstat(fd, &found) != 0 || !S_ISDIR(found.st_mode))
            continue;
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (null >= 0 && saved[fd] >= 0)
            dup2(null, fd);
        if (null >= 0)
            close(null);
    }
}

static void show_directories(const int saved[3])
{
    for (int fd = 0; fd < 3; fd++) {
        if (saved[fd] >= 0) {
            dup2(saved[fd], fd);
            close(saved[fd]);
        }
    }
}

static PyStatus initialize(int argc, char **argv, const struct embed_paths *paths)
{
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&preconfig);
    if (PyStatus_Exception(status))
        return status;
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    status = configure(&config, argc, argv, paths);
    int directories[3];
    hide_directories(directories);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    show_directories(directories);
    PyConfig_Clear(&config);
    return status;
}

/* One line without a traceback: people get sentences, and frames would show what is in them. */
static int report_exception(const char *doing)
{
    PyObject *type;
    PyObject *value;
    PyObject *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    /* A lack of memory where no error is provided for is a SystemError, whose cause it is. */
    for (PyObject *cause; value != NULL && (cause = PyException_GetCause(value)) != NULL;) {
        value = cause;
        type = (PyObject *)Py_TYPE(value);
    }
    PyObject *text = value != NULL ? PyObject_Str(value) : NULL;
    PyObject *line = text != NULL ? PyObject_CallMethod(text, "replace", "ss", "\n", " ") : NULL;
    const char *words = line != NULL ? PyUnicode_AsUTF8(line) : NULL;
    fprintf(stderr, "ociruntime: %s: %s: %s\n", doing,
            type != NULL ? ((PyTypeObject *)type)->tp_name : "error",
            words != NULL ? words : "no message");
    PyErr_Clear();
    return 1;
}

static int flush_output(void)
{
    static const char *const streams[] = {"stdout", "stderr"};
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        PyObject *stream = PySys_GetObject(streams[i]);
        if (stream == NULL || stream == Py_None)
            continue;
        PyObject *result = PyObject_CallMethod(stream, "flush", NULL);
        if (result == NULL)
            return report_exception("cannot write the output");
        Py_DECREF(result);
    }
    return 0;
}

static int install_finder(void)
{
    PyObject *bootstrap = PyImport_ImportModule("_ociruntime_bootstrap");
    PyObject *result = bootstrap != NULL ? PyObject_CallMethod(bootstrap, "install", "s",
                                                               embed_install_dir)
                                         : NULL;
    Py_XDECREF(bootstrap);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

/* The command line as str; sys.argv becomes the same. */
static PyObject *command_line(int argc, char **argv)
{
    PyObject *list = PyList_New(argc);
    for (int i = 0; list != NULL && i < argc; i++) {
        PyObject *word = PyUnicode_DecodeFSDefault(argv[i]);
        if (word == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, word);
    }
    if (list != NULL && PySys_SetObject("argv", list) < 0)
        Py_CLEAR(list);
    return list;
}

static PyObject *environment_dict(void)
{
    PyObject *posix = PyImport_ImportModule("posix");
    PyObject *dict = posix != NULL ? PyObject_GetAttrString(posix, "environ") : NULL;
    Py_XDECREF(posix);
    return dict;
}

/* For --trace (trace/session.py) and --debug (startup.py): what the front says in the environment
 * becomes an attribute of sys; nobody inherits the variable. */
static int hand_over(const char *variable, const char *attribute)
{
    const char *value = getenv(variable);
    if (value == NULL)
        return 0;
    PyObject *text = PyUnicode_DecodeFSDefault(value);
    PyObject *name = PyBytes_FromString(variable);
    PyObject *dict = environment_dict();
    int result = text != NULL && name != NULL && dict != NULL ? PySys_SetObject(attribute, text) : -1;
    if (result == 0 && PyDict_Contains(dict, name) == 1)
        result = PyDict_DelItem(dict, name);
    Py_XDECREF(text);
    Py_XDECREF(name);
    Py_XDECREF(dict);
    unsetenv(variable);
    return result;
}

static int run_main(int argc, char **argv)
{
    stamps_add("initialized");
    PyObject *words = command_line(argc, argv);
    PyObject *module = words != NULL ? PyImport_ImportModule("ociruntime.cli.main") : NULL;
    stamps_add("imported");
    if (module == NULL || hand_over(STAMPS_VARIABLE, "_stamps") < 0 ||
        hand_over(IMAGE_VARIABLE, "_no_image") < 0)
        return report_exception(is_short_of_memory() ? "cannot load the program; " MORE_MEMORY
                                                     : "cannot load the program");
    PyObject *arguments = PyList_GetSlice(words, 1, argc);
    PyObject *result =
        arguments != NULL ? PyObject_CallMethod(module, "main", "(O)", arguments) : NULL;
    if (result == NULL)
        return report_exception("internal error");
    long status = PyLong_AsLong(result);
    if (status == -1 && PyErr_Occurred())
        return report_exception("internal error: exit status");
    return (int)status;
}

static int run(int argc, char **argv)
{
    int result = run_main(argc, argv);
    int flushed = flush_output();
    return result != 0 ? result : flushed;
}

/* os.environ is made of this when something imports os; as Python does it, the first one counts. */
static int renew_environment(void)
{
    PyObject *dict = environment_dict();
    int result = dict != NULL ? 0 : -1;
    if (dict != NULL)
        PyDict_Clear(dict);
    for (char **entry = environ; result == 0 && entry != NULL && *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals == NULL)
            continue;
        PyObject *name = PyBytes_FromStringAndSize(*entry, equals - *entry);
        PyObject *value = PyBytes_FromString(equals + 1);
        if (name == NULL || value == NULL || PyDict_SetDefault(dict, name, value) == NULL)
            result = -1;
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    Py_XDECREF(dict);
    return result;
}

/* For startup.py: the library of the image's interpreter, if that is gone. */
static int tell_loss(const struct image_caller *caller)
{
    if (caller->without == NULL)
        return 0;
    PyObject *text = PyUnicode_DecodeFSDefault(caller->without);
    int result = text != NULL ? PySys_SetObject("_image_without", text) : -1;
    Py_XDECREF(text);
    return result;
}

/* A vanished reader must not kill us half-way (as with Python), and whoever ignores SIGCHLD cannot
 * wait for his children (wait(2)): some callers do, and that is inherited. */
static void own_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
}

static __attribute__((noinline)) int resume(const struct image_caller *caller)
{
    environ = caller->environment;
    /* malloc must learn where this process's program break is. */
    if (brk(NULL) < 0)
        return 1;
    own_signals();
    int status = renew_environment() < 0 || tell_loss(caller) < 0
                     ? report_exception("cannot start")
                     : run(caller->argc, caller->argv);
    fflush(stdout);
    fflush(stderr);
    return status;
}

/* Where a process that mapped the start image begins. */
static _Noreturn __attribute__((optimize("no-stack-protector"))) void
enter_image(const struct image_caller *caller)
{
    machine_renew_guard(caller->random);
    _exit(resume(caller));
}

/* All of the package that may be in an image (freeze.py) is loaded in it. */
static int write_image(const char *name, const char *launcher)
{
    PyObject *bootstrap = PyImport_ImportModule("_ociruntime_bootstrap");
    PyObject *result = bootstrap != NULL && image_begin_loading() == 0
                           ? PyObject_CallMethod(bootstrap, "preload", NULL)
                           : NULL;
    Py_XDECREF(bootstrap);
    if (result == NULL || image_end_loading() < 0)
        return report_exception("cannot load the package");
    Py_DECREF(result);
    const char *failed_step = image_dump(name, launcher, enter_image);
    if (failed_step == NULL)
        return 0;
    fprintf(stderr, "ociruntime: cannot write the start image: %s: %s\n", failed_step,
            strerror(errno));
    return 1;
}

int ociruntime_embed_main(int argc, char **argv, const struct embed_paths *paths)
{
    embed_install_dir = paths->install_dir;
    PyImport_FrozenModules = frozen_modules;
    own_signals();
    /* A built-in, found before any file: this very library must not be loaded a second time. */
    if (PyImport_AppendInittab("ociruntime.kernel._sys", PyInit__sys) < 0)
        return 1;
    if (paths->image != NULL)
        image_align_objects();
    PyStatus status = initialize(argc, argv, paths);
    if (PyStatus_Exception(status)) {
        /* Where memory is short, Python names what it could not make, not why. */
        fprintf(stderr, "ociruntime: cannot start Python: %s%s\n",
                status.err_msg != NULL ? status.err_msg : "no reason given",
                is_short_of_memory() ? "; " MORE_MEMORY : "");
        return 1;
    }
    /* A command allocates little and ends soon; the few that stay call gc.enable(). */
    PyGC_Disable();
    if (install_finder() < 0)
        return report_exception("cannot start");
    return paths->image != NULL ? write_image(paths->image, argv[0]) : run(argc, argv);
}
