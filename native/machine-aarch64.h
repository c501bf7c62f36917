/* SPDX-License-Identifier: Apache-2.0
 *
 * AArch64; see machine.h.
 *
 * Signed return addresses (PAC) are those of one process: a process that has entered an image never
 * returns into a frame of it. What is marked for branch targets (BTI) is mapped without that mark.
 */
#include <asm/unistd.h>

#define MACHINE_START              \
    ".globl _start\n"              \
    ".type _start, %function\n"    \
    "_start:\n"                    \
    "\tmov x29, #0\n"              \
    "\tmov x30, #0\n"              \
    "\tmov x0, sp\n"               \
    "\tand sp, x0, #-16\n"         \
    "\tbl entry\n"                 \
    "\tbrk #0\n"

static inline long raw(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

static inline uint64_t machine_thread_pointer(void)
{
    uint64_t pointer;
    __asm__("mrs %0, tpidr_el0" : "=r"(pointer));
    return pointer;
}

static inline void machine_set_thread_pointer(uint64_t pointer)
{
    __asm__ volatile("msr tpidr_el0, %0" : : "r"(pointer) : "memory");
}

/* By x16, from where a branch may lead to the beginning of a function. */
static inline _Noreturn void machine_call(uint64_t function, uint64_t stack, const void *argument)
{
    register uint64_t x0 __asm__("x0") = (uint64_t)argument;
    register uint64_t x16 __asm__("x16") = function;
    __asm__ volatile("mov sp, %0\n\t"
                     "mov x29, #0\n\t"
                     "mov x30, #0\n\t"
                     "br x16"
                     :
                     : "r"(stack), "r"(x16), "r"(x0)
                     : "memory");
    __builtin_unreachable();
}

/* x0: a function to be called at the end; there is none. */
static inline _Noreturn void machine_run(uint64_t entry, uint64_t stack)
{
    machine_call(entry, stack, 0);
}

/* What instructions there are is in the capabilities; how much one clears (DCZID_EL0) and how long
 * lines of the caches are (CTR_EL0) libraries ask once. All cores of a machine say the same. */
static inline void machine_read_processor(struct image_processor *processor,
                                          const uint64_t capabilities[3])
{
    uint64_t clears;
    processor->words[0] = capabilities[0];
    processor->words[1] = capabilities[1];
    __asm__("mrs %0, ctr_el0" : "=r"(processor->words[2]));
    __asm__("mrs %0, dczid_el0" : "=r"(clears));
    processor->words[3] = capabilities[2] << 32 | clears;
}

#if __STDC_HOSTED__
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* The guard is the dynamic loader's, which has made it read-only. */
extern uintptr_t __stack_chk_guard;

static inline __attribute__((always_inline)) void machine_renew_guard(uint64_t random)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = (void *)((uintptr_t)&__stack_chk_guard & ~(size - 1));
    if (mprotect(page, size, PROT_READ | PROT_WRITE) < 0)
        return;
    __stack_chk_guard = random & ~0xffUL; /* no string runs over it */
    mprotect(page, size, PROT_READ);
}
#endif
