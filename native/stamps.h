/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_STAMPS_H
#define OCIRUNTIME_STAMPS_H

/* The moments of a start, for --trace: "launcher=NANOSECONDS,sealed=...", of CLOCK_MONOTONIC, in an
 * environment variable because programs execute one another. The front makes the first. */
#define STAMPS_VARIABLE "_OCIRUNTIME_STAMPS"

/* Adds `name` and the present moment, if there is the first. */
void stamps_add(const char *name);

#endif
