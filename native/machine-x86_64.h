/* SPDX-License-Identifier: Apache-2.0
 *
 * x86-64; see machine.h.
 */
#include <asm/prctl.h>
#include <asm/unistd.h>

#define MACHINE_START              \
    ".globl _start\n"              \
    ".type _start, @function\n"    \
    "_start:\n"                    \
    "\txor %ebp, %ebp\n"           \
    "\tmov %rsp, %rdi\n"           \
    "\tand $-16, %rsp\n"           \
    "\tcall entry\n"               \
    "\thlt\n"

static inline long raw(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static inline uint64_t machine_thread_pointer(void)
{
    uint64_t pointer;
    __asm__("mov %%fs:0, %0" : "=r"(pointer)); /* the ABI has it point to itself */
    return pointer;
}

static inline void machine_set_thread_pointer(uint64_t pointer)
{
    raw(__NR_arch_prctl, ARCH_SET_FS, (long)pointer, 0, 0, 0, 0);
}

/* rdx: a function to be called at the end; there is none. */
static inline _Noreturn void machine_run(uint64_t entry, uint64_t stack)
{
    __asm__ volatile("mov %0, %%rsp\n\t"
                     "xor %%edx, %%edx\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "jmp *%1"
                     :
                     : "r"(stack), "r"(entry)
                     : "memory", "rdx");
    __builtin_unreachable();
}

static inline _Noreturn void machine_call(uint64_t function, uint64_t stack, const void *argument)
{
    __asm__ volatile("mov %0, %%rsp\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "call *%1\n\t"
                     "hlt"
                     :
                     : "r"(stack), "r"(function), "D"(argument)
                     : "memory");
    __builtin_unreachable();
}

/* The guard is the thread's. Its lowest byte stays 0, as glibc has it: no string runs over it. */
static inline __attribute__((always_inline)) void machine_renew_guard(uint64_t random)
{
    __asm__ volatile("mov %0, %%fs:0x28" : : "r"(random & ~0xffULL));
}

/* The capabilities in the auxiliary vector are a part of what the processor tells itself. */
static inline void machine_read_processor(struct image_processor *processor,
                                          const uint64_t capabilities[3])
{
    uint32_t eax, ebx, ecx, edx;
    (void)capabilities;
    __asm__("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "0"(1), "2"(0));
    processor->words[0] = (uint64_t)ecx << 32 | eax;
    processor->words[1] = edx; /* ebx: the number of the core */
    processor->words[3] = 0;
    if (ecx & 1U << 27) { /* OSXSAVE: which registers the kernel saves */
        uint32_t low, high;
        __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        processor->words[3] = (uint64_t)high << 32 | low;
    }
    __asm__("cpuid" : "=a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx) : "0"(7), "2"(0));
    processor->words[1] |= (uint64_t)ebx << 32;
    processor->words[2] = (uint64_t)edx << 32 | ecx;
}
