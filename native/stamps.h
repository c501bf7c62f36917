/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_STAMPS_H
#define OCIRUNTIME_STAMPS_H

/* The moments of a start, for --trace: "launcher=NANOSECONDS,sealed=...", of CLOCK_MONOTONIC, in an
 * environment variable because the launcher executes itself again. */
#define STAMPS_VARIABLE "_OCIRUNTIME_STAMPS"

/* Adds the first stamp if an argument is --trace; without it stamps_add() does nothing but look. */
void stamps_begin(int argc, char **argv, const char *name);

/* Adds `name` and the present moment. */
void stamps_add(const char *name);

#endif
