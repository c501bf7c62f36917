/* SPDX-License-Identifier: Apache-2.0
 *
 * Sealing: the program that enters containers runs from a memfd that nobody can write, so that
 * /proc/PID/exe is no way to the program on the host's disk (CVE-2019-5736).
 */
#ifndef OCIRUNTIME_SEAL_H
#define OCIRUNTIME_SEAL_H

/* 1 when /proc/self/exe is a memfd sealed against writing, resizing and unsealing, else 0. */
__attribute__((visibility("hidden"))) int seal_is_sealed(void);

/* Copies /proc/self/exe into a sealed memfd and executes that. Returns only on failure: -errno, and
 * *failed_step names what failed. */
__attribute__((visibility("hidden"))) int seal_reexec(char *const argv[], char *const environment[],
                                                      const char **failed_step);

#endif
