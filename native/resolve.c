/* SPDX-License-Identifier: Apache-2.0
 *
 * See resolve.h.
 */
#include "resolve.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

#include "inside.h"
#include "raw.h"

/* As many symlinks to something missing as the kernel follows (path_resolution(7)). */
enum { SYMLINKS_MAX = 40, DIRECTORY_MODE = 0755 };

static unsigned long length_of(const char *text)
{
    unsigned long length = 0;
    while (text[length])
        length++;
    return length;
}

/* Appends the components of `path` to `target`, but "" and "."; its new length or -ENAMETOOLONG. */
static long append(char *target, long length, const char *path)
{
    while (*path) {
        long part = 0;
        while (path[part] && path[part] != '/')
            part++;
        if (part > 0 && !(part == 1 && path[0] == '.')) {
            if (length + part + 2 > PATH_SPACE)
                return -ENAMETOOLONG;
            if (length > 0)
                target[length++] = '/';
            for (long i = 0; i < part; i++)
                target[length++] = path[i];
        }
        path += part;
        while (*path == '/')
            path++;
    }
    target[length] = 0;
    return length;
}

long set_path(struct place *place, const char *path)
{
    return append(place->path, 0, path);
}

static long end_of_component(const char *path, long at)
{
    while (path[at] && path[at] != '/')
        at++;
    return at;
}

static long begin_of_last(const char *path, long end)
{
    while (end > 0 && path[end - 1] != '/')
        end--;
    return end;
}

/* A descriptor of the longest part, without the last component, that is a directory; `done` is where
 * the rest begins. */
static long longest_prefix(struct place *place, long *done)
{
    char *path = place->path;
    long begin = begin_of_last(path, (long)length_of(path));
    while (begin > 0) {
        path[begin - 1] = 0;
        long fd = open_inside(place->root, path, O_PATH | O_DIRECTORY);
        path[begin - 1] = '/';
        *done = begin;
        if (fd != -ENOENT)
            return fd;
        begin = begin_of_last(path, begin - 1);
    }
    *done = 0;
    return open_inside(place->root, "/", O_PATH | O_DIRECTORY);
}

/* Takes the first ".." behind `done` away, with the missing directory that it takes back. */
static int without_dots(char *path, long done)
{
    long before = done;
    for (long at = done; path[at];) {
        long end = end_of_component(path, at);
        if (end == at + 2 && path[at] == '.' && path[at + 1] == '.') {
            long from = path[end] ? end + 1 : end;
            long to = before;
            while ((path[to++] = path[from]))
                from++;
            /* What ended in ".." ends in a slash now. */
            if (to > 1 && path[to - 2] == '/')
                path[to - 2] = 0;
            return 1;
        }
        before = at;
        at = path[end] ? end + 1 : end;
    }
    return 0;
}

/* Where the symlink `name` leads: its length in `target`, 0 when it is none. */
static long target_of(int directory, const char *name, char *target)
{
    long size = sys(__NR_readlinkat, directory, name, target, PATH_SPACE / 2 - 1);
    if (size == -EINVAL || size == -ENOENT)
        return 0;
    if (size >= 0)
        target[size] = 0;
    return size;
}

/* The path goes on at `target` instead of the component from `at` to `end`. */
static __attribute__((noinline)) long redirect(struct place *place, long at, long end,
                                               const char *target)
{
    char path[PATH_SPACE];
    long length = 0;
    if (target[0] != '/')
        for (; length < at - 1; length++)
            path[length] = place->path[length];
    length = append(path, length, target);
    if (length >= 0)
        length = append(path, length, place->path + end);
    if (length < 0)
        return length;
    for (long i = 0; i <= length; i++)
        place->path[i] = path[i];
    return length;
}

static long make_directory(struct place *place, int here, const char *name, const char *path)
{
    long result = sys(__NR_mkdirat, here, name, place->make ? DIRECTORY_MODE : place->mode);
    if (result >= 0) {
        place->told(place, here, name, path, 1);
        result = place->failed;
    }
    return result;
}

/* Makes the components from `at` on, the first one in `here`, which is closed.  A descriptor of the
 * last one, -errno, or -ELOOP with `redirected` when there is a symlink in the way. */
static __attribute__((noinline)) long make_below(struct place *place, long here, long at,
                                                 int *redirected)
{
    char target[PATH_SPACE / 2];
    char *path = place->path;
    for (;;) {
        long end = end_of_component(path, at);
        int is_last = path[end] == 0;
        int makes = is_last && place->make;
        path[end] = 0;
        const char *name = path + at;
        long result = makes ? place->make(place, (int)here, name)
                            : make_directory(place, (int)here, name, path);
        long size = result == -EEXIST ? target_of((int)here, name, target) : 0;
        long child = result;
        if (size == 0 && (result == -EEXIST || (result >= 0 && !makes)))
            child = sys(__NR_openat, here, name,
                        O_PATH | O_NOFOLLOW | O_CLOEXEC | (makes ? 0 : O_DIRECTORY), 0);
        if (!is_last)
            path[end] = '/';
        sys(__NR_close, here);
        if (size < 0)
            return size;
        if (size > 0) {
            if (!place->follows)
                return -ELOOP;
            *redirected = 1;
            return redirect(place, at, end, target);
        }
        if (child < 0 || is_last)
            return child;
        here = child;
        at = end + 1;
    }
}

long make_place(struct place *place)
{
    for (int i = 0; i < SYMLINKS_MAX; i++) {
        long done;
        int redirected = 0;
        long here = longest_prefix(place, &done);
        if (here < 0)
            return here;
        if (place->path[0] == 0)
            return here; /* a symlink has led to the root itself */
        if (without_dots(place->path, done)) {
            sys(__NR_close, here);
            continue;
        }
        long found = make_below(place, here, done, &redirected);
        if (!redirected)
            return found;
        if (found < 0)
            return found;
    }
    return -ELOOP;
}
