/* SPDX-License-Identifier: Apache-2.0
 *
 * The standard streams of a process in a container; ociruntime/steps/streams.py does the same.
 */
#ifndef OCIRUNTIME_STREAMS_H
#define OCIRUNTIME_STREAMS_H

/* Gives those that have no name to `uid`; whether one is /dev/null. */
int own_streams(int channel, unsigned int uid);

/* Opens those that are /dev/null again, in `root`. */
void reopen_null(int root);

#endif
