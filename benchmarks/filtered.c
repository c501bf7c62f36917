/* SPDX-License-Identifier: Apache-2.0
 *
 *     filtered FILE PROGRAM [ARGUMENT...]
 *
 * Loads FILE, an array of struct sock_filter, with no_new_privs and executes the program: what a
 * filter costs without any runtime. An empty FILE means no filter.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sock_filter code[4096];

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int file = open(argv[1], O_RDONLY | O_CLOEXEC);
    ssize_t length = read(file, code, sizeof code);
    struct sock_fprog program = {.len = length / sizeof *code, .filter = code};
    if (length < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return 1;
    if (length > 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                              SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) < 0)
        return 1;
    execv(argv[2], argv + 2);
    return 1;
}
