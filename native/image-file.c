/* SPDX-License-Identifier: Apache-2.0
 *
 * See image-file.h. A maker can be killed at any time, and its 20 MB must not stay. So its file has
 * no name until it is whole, where the file system can do that (O_TMPFILE, open(2)); and while it
 * has one of its own it is locked (flock(2)), so that the next maker knows what nobody works on.
 */
#define _GNU_SOURCE
#include "image-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGITS "0123456789"

static void remove_if_left(int directory, const char *name)
{
    struct stat status;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(directory, name, 0);
    close(fd);
}

static void remove_leftovers(const char *directory, const char *base)
{
    DIR *stream = opendir(directory);
    size_t length = strlen(base);
    struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        const char *number = entry->d_name + length + 1;
        if (strncmp(entry->d_name, base, length) == 0 && entry->d_name[length] == '.' &&
            *number != '\0' && number[strspn(number, DIGITS)] == '\0')
            remove_if_left(dirfd(stream), entry->d_name);
    }
    if (stream != NULL)
        closedir(stream);
}

int image_file_open(struct image_file *file, const char *name)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(name, '/');
    if (slash == NULL || snprintf(file->unfinished, sizeof file->unfinished, "%s.%d", name,
                                  (int)getpid()) >= (int)sizeof file->unfinished) {
        errno = ENAMETOOLONG;
        return -1;
    }
    snprintf(directory, sizeof directory, "%.*s", (int)(slash - name), name);
    remove_leftovers(directory, slash + 1);
    file->is_named = 0;
    file->fd = open(directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        file->is_named = 1;
        file->fd = open(file->unfinished, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (file->fd < 0)
        return -1;
    return flock(file->fd, LOCK_EX | LOCK_NB) == 0 ? 0 : image_file_close(file, name, 0);
}

static int give_name(struct image_file *file)
{
    char link[64];
    if (file->is_named)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file->fd);
    if (linkat(AT_FDCWD, link, AT_FDCWD, file->unfinished, AT_SYMLINK_FOLLOW) < 0)
        return -1;
    file->is_named = 1;
    return 0;
}

int image_file_close(struct image_file *file, const char *name, int is_done)
{
    int result = is_done && give_name(file) == 0 && rename(file->unfinished, name) == 0 ? 0 : -1;
    int reason = errno;
    if (result < 0 && file->is_named)
        unlink(file->unfinished);
    close(file->fd);
    errno = reason;
    return result;
}
