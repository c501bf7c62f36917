/* SPDX-License-Identifier: Apache-2.0
 *
 * The standard streams of a process in a container; ociruntime/steps/streams.py does the same for a
 * container's first process.
 */
#ifndef OCIRUNTIME_STREAMS_H
#define OCIRUNTIME_STREAMS_H

/* Gives those that have no name to `uid`; a bit for each that is /dev/null. */
unsigned int own_streams(int channel, unsigned int uid);

/* Opens these again, in `root`. */
void reopen_null(int root, unsigned int nulls);

#endif
