/* SPDX-License-Identifier: Apache-2.0
 *
 * A checksum against accidents, not against people: who may write the start image's file may write
 * the program beside it. It takes eight bytes at a time, so that the header of an image costs
 * microseconds; each step is a bijection, so that one changed word never goes unnoticed.
 */
#ifndef OCIRUNTIME_CHECKSUM_H
#define OCIRUNTIME_CHECKSUM_H

#include <stdint.h>

#define CHECKSUM_START 0x6f63697274696d67ULL

/* The checksum of `count` words behind what `sum` stands for; CHECKSUM_START for nothing. */
static inline uint64_t checksum_add(uint64_t sum, const uint64_t *words, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15ULL;
        sum ^= sum >> 32;
    }
    return sum;
}

#endif
