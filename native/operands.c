/* SPDX-License-Identifier: Apache-2.0
 *
 * What an operation is given, and what it says.
 */
#include <linux/errno.h>
#include <linux/mman.h>

#include "raw.h"
#include "setup.h"

enum { MAX_ERRNO = 4095 };

long operand(const struct setup *self, const struct operation *one, unsigned int index)
{
    unsigned long value = one->operands[index];
    switch (one->kinds >> 4 * index & 15) {
    case OPERAND_REGISTER:
        return self->registers[value];
    case OPERAND_DATA:
        return (long)((char *)self->program + value);
    case OPERAND_SCRATCH:
        return (long)(self->scratch + value);
    default:
        return (long)value;
    }
}

const char *text(const struct setup *self, const struct operation *one, unsigned int index)
{
    return (const char *)operand(self, one, index);
}

int number(const struct setup *self, const struct operation *one, unsigned int index)
{
    return (int)operand(self, one, index);
}

unsigned int length_of(const char *string)
{
    unsigned int length = 0;
    while (string[length])
        length++;
    return length;
}

int is_same(const char *one, const char *other)
{
    while (*one && *one == *other) {
        one++;
        other++;
    }
    return *one == *other;
}

void say(struct setup *self, const char *string)
{
    for (; *string && self->said < sizeof self->saying; string++)
        self->saying[self->said++] = *string;
}

char **strings_of(const struct setup *self, const char *string, unsigned long count)
{
    const char *end = (const char *)self->program + self->program->operations;
    if (count > PROGRAM_SIZE_MAX)
        return 0;
    long address = sys(__NR_mmap, 0, (count + 1) * sizeof(char *), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address < 0 && address >= -MAX_ERRNO)
        return 0;
    char **strings = (char **)address;
    for (unsigned long i = 0; i < count; i++) {
        if (string >= end)
            return 0;
        strings[i] = (char *)string;
        string += length_of(string) + 1;
    }
    return strings;
}
