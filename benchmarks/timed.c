/* SPDX-License-Identifier: Apache-2.0
 *
 *     timed FILE COMMAND [ARGUMENT...]
 *
 * Runs the command and writes to FILE: exit status, wall nanoseconds, user and system microseconds,
 * peak resident KiB (of the command and all it waited for). A child's peak begins with what its
 * parent had, so the parent must be small: this program and not Python.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec * 1000000000LL + moment.tv_nsec;
}

static long long microseconds(struct timeval time)
{
    return time.tv_sec * 1000000LL + time.tv_usec;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int status = 0;
    struct rusage usage;
    long long begin = now();
    pid_t child = vfork();
    if (child == 0) {
        execv(argv[2], argv + 2);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        return 1;
    long long wall = now() - begin;
    FILE *file = fopen(argv[1], "w");
    if (file == NULL)
        return 1;
    fprintf(file, "%d %lld %lld %lld %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : 255, wall,
            microseconds(usage.ru_utime), microseconds(usage.ru_stime), usage.ru_maxrss);
    return fclose(file) == 0 ? 0 : 1;
}
