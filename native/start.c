/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the kernel enters a program without libc.  It leaves argc, argv and envp at the stack pointer; entry()
 * gets that address, on an aligned stack, and never returns.
 */
#if defined(__x86_64__)

__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "\txor %ebp, %ebp\n"
        "\tmov %rsp, %rdi\n"
        "\tand $-16, %rsp\n"
        "\tcall entry\n"
        "\thlt\n");

#elif defined(__aarch64__)

__asm__(".globl _start\n"
        ".type _start, %function\n"
        "_start:\n"
        "\tmov x29, #0\n"
        "\tmov x30, #0\n"
        "\tmov x0, sp\n"
        "\tand sp, x0, #-16\n"
        "\tbl entry\n"
        "\tbrk #0\n");

#endif

/* The compiler may call these even where the source does not (AArch64 does). */
void *memset(void *target, int byte, unsigned long length);
void *memcpy(void *target, const void *source, unsigned long length);

void *memset(void *target, int byte, unsigned long length)
{
    for (unsigned long i = 0; i < length; i++)
        ((unsigned char *)target)[i] = (unsigned char)byte;
    return target;
}

void *memcpy(void *target, const void *source, unsigned long length)
{
    for (unsigned long i = 0; i < length; i++)
        ((unsigned char *)target)[i] = ((const unsigned char *)source)[i];
    return target;
}
