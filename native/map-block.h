/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRUNTIME_MAP_BLOCK_H
#define OCIRUNTIME_MAP_BLOCK_H

#include "block.h"

enum { FIRST_FD = 3 };

/* The block whose descriptor argv[0] names, mapped read-only and private; the descriptor is
 * closed.  Every offset, count and length in it has been checked.  Exits with status 70 otherwise:
 * at this point there is no channel to say more.  `exec` is
 * BLOCK_EXEC for a block that must have it, 0 for one that must not. */
const struct block *map_block(int argc, char *const argv[], __u32 exec);

#endif
