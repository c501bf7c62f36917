/* SPDX-License-Identifier: Apache-2.0
 *
 * ociruntime: what people and engines start.
 *
 * Seals itself for the commands of which a process enters a container (seal.h) and enters the start
 * image (image.h). Where there is none that fits, it executes the launcher, which starts the
 * interpreter.
 *
 * There is no libc in it, so no dynamic loader before it: that cost a fifth of most commands, and
 * twice that where the program seals itself. What fails here is left to the launcher, which has the
 * words for it.
 */
#include "front.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/signal.h>
#include <stddef.h>

#include "image.h"
#include "layouts.h"
#include "raw.h"
#include "seal.h"
#include "sealed-words.h"

enum { STANDARD_DESCRIPTORS = 3, STANDARD_ERROR = 2, FAILED = 1 };

_Noreturn void entry(unsigned long *stack);

#ifdef PROGRAM_WORDS
/* The same program under another name stands for a command of ours: its words come first. */
static const char *const WORDS[] = {PROGRAM_WORDS};
#else
/* The name that containerd looks for: the shim's arguments are its own, so the verb goes first. */
static const char SHIM[] = "/containerd-shim-ociruntime-v1";
static const char *const WORDS[] = {"shim"};
#endif
enum { WORD_COUNT = sizeof WORDS / sizeof WORDS[0] };

static unsigned long length_of(const char *text)
{
    unsigned long length = 0;
    while (text[length] != '\0')
        length++;
    return length;
}

int is_same(const char *left, const char *right)
{
    while (*left != '\0' && *left == *right)
        left++, right++;
    return *left == *right;
}

int append(char *buffer, const char *text)
{
    unsigned long end = length_of(buffer);
    while (end < PATH_MAX && (buffer[end] = *text) != '\0')
        end++, text++;
    if (end < PATH_MAX)
        return 1;
    buffer[0] = '\0';
    return 0;
}

static _Noreturn void die(const char *before, const char *name, const char *behind)
{
    const char *const texts[] = {"ociruntime: ", before, name, behind, "\n"};
    for (unsigned int i = 0; i < sizeof texts / sizeof texts[0]; i++)
        sys(__NR_write, STANDARD_ERROR, texts[i], length_of(texts[i]));
    leave(FAILED);
}

/* Otherwise the next socket we open would be somebody's standard output. */
static void open_standard_descriptors(void)
{
    for (int fd = 0; fd < STANDARD_DESCRIPTORS; fd++)
        if (sys(__NR_fcntl, fd, F_GETFD) < 0 &&
            sys(__NR_openat, AT_FDCWD, "/dev/null", O_RDWR, 0) != fd)
            leave(FAILED);
}

/* Fills in the installed path; whether we run from the sealed copy, whose argv[0] says where that
 * is. */
static int locate(struct front *front)
{
    static const char MEMFD[] = "/memfd:";
    long length =
        sys(__NR_readlinkat, AT_FDCWD, "/proc/self/exe", front->path, sizeof front->path - 1);
    if (length < 0)
        die("cannot find itself: /proc/self/exe cannot be read; is /proc mounted?", "", "");
    int sealed = 1;
    for (unsigned int i = 0; i < sizeof MEMFD - 1; i++)
        sealed &= front->path[i] == MEMFD[i];
    if (sealed) {
        if (!seal_is_sealed())
            die("cannot seal itself: the copy in memory has lost its seals", "", "");
        front->path[0] = '\0';
        if (front->argv[0][0] != '/' || !append(front->path, front->argv[0]))
            die("cannot find itself: the sealed copy was started as ", front->argv[0],
                ", not by absolute path");
    }
    append(front->directory, front->path);
    unsigned long slash = length_of(front->directory);
    while (slash > 0 && front->directory[slash] != '/')
        slash--;
    front->directory[slash] = '\0';
    return sealed;
}

/* Puts WORDS between the name and the arguments where they belong; `longer` has room for them. */
static void add_words(struct front *front, char **longer)
{
#ifndef PROGRAM_WORDS
    /* The sealed copy is started with the verb already. */
    if (!is_same(front->path + length_of(front->directory), SHIM) ||
        (front->argc > 1 && is_same(front->argv[1], WORDS[0])))
        return;
#endif
    longer[0] = front->argv[0];
    for (int i = 0; i < WORD_COUNT; i++)
        longer[1 + i] = (char *)WORDS[i];
    for (int i = 1; i <= front->argc; i++)
        longer[WORD_COUNT + i] = front->argv[i];
    front->argv = longer;
    front->argc += WORD_COUNT;
}

static int needs_seal(const struct front *front)
{
#ifdef PROGRAM_WORDS
    (void)front;
    return 0;
#else
    return must_be_sealed(front->argc, front->argv);
#endif
}

/* How much of the objects a command changes anyway. Those that stay, one a pod or program, fork
 * children for the work: what they map counts for long, and a child's first write splits a huge page
 * anyway. */
static unsigned int huge_pages(const struct front *front, int seals)
{
    if (front->argc > 1 &&
        (is_same(front->argv[1], "shim") || is_same(front->argv[1], "zygote")))
        return 0;
    return seals || has_word(front->argc, front->argv, "exec") ? IMAGE_HUGE_PAGES : 1;
}

/* `ociruntime image` is asked for the truth, which may cost milliseconds. */
static int is_about_image(const struct front *front)
{
    int verb = 1;
    while (verb < front->argc && front->argv[verb][0] == '-')
        verb++;
    return verb < front->argc && is_same(front->argv[verb], "image");
}

/* These make an image instead of entering one. */
static int is_for_builder(const struct front *front)
{
    return front->argc == 2 &&
           (is_same(front->argv[1], MAKE_IMAGE) || is_same(front->argv[1], DUMP_IMAGE));
}

/* The directory that has the image and the launcher; 0 when there is no package, and *denied when
 * there may be one that the caller cannot see. */
static int find_module(const struct front *front, char module[PATH_MAX], int *denied)
{
    for (int i = 0; i < LAYOUT_COUNT; i++) {
        module[0] = '\0';
        if (!append(module, front->directory) || !append(module, LAYOUTS[i].package) ||
            !append(module, LAYOUT_PROOF))
            continue;
        long found = sys(__NR_faccessat, AT_FDCWD, module, 0);
        *denied |= found == -EACCES;
        if (found < 0)
            continue;
        module[length_of(module) - length_of(LAYOUT_PROOF)] = '\0';
        if (LAYOUTS[i].module == NULL)
            return append(module, LAYOUT_MODULE);
        module[0] = '\0';
        return append(module, front->directory) && append(module, LAYOUTS[i].module);
    }
    return 0;
}

/* For --debug and `image`: the launcher takes it out of the environment. */
static void tell_reason(struct front *front, const char *reason)
{
    static char text[PATH_MAX] = IMAGE_VARIABLE "=";
    char **place = front->environment;
    while (*place != NULL)
        place++;
    if (append(text, reason)) {
        place[0] = text;
        place[1] = NULL;
    }
}

static _Noreturn void start(struct front *front, char **longer)
{
    static char name[PATH_MAX];
    int sealed = locate(front);
    front_stamp(front, sealed ? "sealed" : "launcher", 1);
    add_words(front, longer);
    front->argv[0] = front->path;
    int seals = needs_seal(front);
    int lacks_seal = !sealed && seals;
    front->huge_pages = huge_pages(front, seals);
    front->checks_content = is_about_image(front);
    if (lacks_seal) {
        const char *failed_step;
        seal_reexec(front->argv, front->environment, &failed_step);
    }
    /* Executed by descriptor, the kernel knows no better name than its number. */
    sys(__NR_prctl, PR_SET_NAME, "ociruntime", 0, 0, 0);
    int denied = 0;
    if (!find_module(front, name, &denied))
        die(denied ? "may not read its Python package near " :
            "cannot find its Python package near ", front->path,
            denied ? ": permission denied; let this user enter and read what lies there" :
            "; reinstall it, or build the checkout with `make dev`");
    front_stamp(front, "found", 0);
    unsigned long end = length_of(name);
    if (!lacks_seal && !is_for_builder(front) && append(name, "/" IMAGE_NAME))
        tell_reason(front, image_load(name, front));
    name[end] = '\0';
    if (append(name, "/" LAUNCHER_NAME))
        sys(__NR_execve, name, front->argv, front->environment);
    die("cannot execute its launcher ", name, "; reinstall it, or run `make dev`");
}

/* Who may write only small files (RLIMIT_FSIZE) gets an error instead of a signal, as from Python,
 * which does the same later; programs of ours are reset before they become others'. */
static void ignore_size_signal(void)
{
    static const unsigned long IGNORE[4] = {1 /* SIG_IGN */};
    sys(__NR_rt_sigaction, SIGXFSZ, IGNORE, 0, sizeof *IGNORE);
}

_Noreturn void entry(unsigned long *stack)
{
    static struct front front;
    front.argc = (int)stack[0];
    front.argv = (char **)(stack + 1);
    char **environment = front.argv + front.argc + 1;
    if (front.argc < 1)
        die("cannot start: no arguments, not even a name", "", "");
    unsigned long count = 0;
    while (environment[count] != NULL)
        count++;
    front.vector = (unsigned long *)(environment + count + 1);
    /* One place for the stamps, one for the reason (front-stamp.c, tell_reason), one for the end. */
    char *variables[count + 3], *longer[front.argc + WORD_COUNT + 1];
    for (unsigned long i = 0; i <= count; i++)
        variables[i] = environment[i];
    front.environment = variables;
    open_standard_descriptors();
    ignore_size_signal();
    start(&front, longer);
}
