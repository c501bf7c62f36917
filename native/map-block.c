/* SPDX-License-Identifier: Apache-2.0
 *
 * See map-block.h.  The block comes from the runtime itself, sealed; what is checked here keeps a
 * mistake in the packer from becoming a process with the wrong identity.
 */
#include "map-block.h"

#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/mman.h>

#include "raw.h"

enum { EXIT_BLOCK = 70, FROM_END = 2, MAX_FD = 1 << 20, MAX_FILTER = 0xffff, MAX_ERRNO = 4095 };

static int text_is_inside(const struct block *block, __u32 offset)
{
    return offset >= sizeof *block && offset < block->size;
}

static int array_is_inside(const struct block *block, __u32 offset, __u32 count, __u32 bytes)
{
    return count == 0 || (offset >= sizeof *block && offset % 4 == 0 && offset < block->size &&
                          count <= (block->size - offset) / bytes);
}

static int is_valid(const struct block *block, long size, int argc, __u32 exec)
{
    int first = FIRST_FD + (int)block->keep_fds;
    return block->magic == BLOCK_MAGIC && block->version == BLOCK_VERSION &&
           block->size == size && ((const char *)block)[size - 1] == 0 &&
           (block->flags & BLOCK_EXEC) == exec && block->keep_fds < MAX_FD &&
           (block->channel_fd >= first ||
            (block->channel_fd == -1 && !(block->flags & BLOCK_WAIT))) &&
           (block->proc_fd >= first || block->proc_fd == -1) &&
           block->candidates >= 1 && block->candidates <= (unsigned int)argc - 2 &&
           block->last_cap < 64 && text_is_inside(block, block->cwd_offset) &&
           (block->lsm_attr_offset == 0 ||
            ((block->proc_fd != -1 || block->flags & BLOCK_EXEC) &&
             text_is_inside(block, block->lsm_attr_offset) &&
             text_is_inside(block, block->lsm_label_offset))) &&
           array_is_inside(block, block->groups_offset, block->groups_count, sizeof(__u32)) &&
           array_is_inside(block, block->rlimits_offset, block->rlimits_count,
                           sizeof(struct block_rlimit)) &&
           block->seccomp_count <= MAX_FILTER &&
           array_is_inside(block, block->seccomp_offset, block->seccomp_count,
                           sizeof(struct sock_filter));
}

const struct block *map_block(int argc, char *const argv[], __u32 exec)
{
    static const char NAME[] = "oci-init ";
    int fd = 0;
    unsigned int i;
    if (argc < 3)
        leave(EXIT_BLOCK);
    for (i = 0; i < sizeof NAME - 1; i++)
        if (argv[0][i] != NAME[i])
            leave(EXIT_BLOCK);
    for (; argv[0][i] >= '0' && argv[0][i] <= '9' && fd < MAX_FD; i++)
        fd = fd * 10 + (argv[0][i] - '0');
    long size = sys(__NR_lseek, fd, 0, FROM_END);
    if (argv[0][i] != 0 || fd < FIRST_FD || size < (long)sizeof(struct block) ||
        size > (long)BLOCK_SIZE_MAX)
        leave(EXIT_BLOCK);
    long address = sys(__NR_mmap, 0, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (address < 0 && address >= -MAX_ERRNO)
        leave(EXIT_BLOCK);
    const struct block *block = (const struct block *)address;
    if (!is_valid(block, size, argc, exec))
        leave(EXIT_BLOCK);
    sys(__NR_close, fd);
    return block;
}
