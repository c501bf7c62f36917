/* SPDX-License-Identifier: Apache-2.0
 *
 *     filled BYTES
 *
 * Fills that much memory with what no two pages have in common, makes the file /filled, and waits.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char **words)
{
    size_t bytes = count > 1 ? strtoull(words[1], NULL, 10) : 0;
    uint64_t value = 88172645463325252ULL;
    uint64_t *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    for (size_t i = 0; i < bytes / sizeof value; i++) {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        memory[i] = value;
    }
    int made = open("/filled", O_WRONLY | O_CREAT, 0600);
    if (made < 0)
        return 1;
    close(made);
    for (;;)
        pause();
}
