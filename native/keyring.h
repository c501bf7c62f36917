/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_KEYRING_H
#define OCIRUNTIME_KEYRING_H

/* Joins a new session keyring, which the owner may search; -errno. */
long own_keyring(const char *name);

#endif
