#!/bin/sh
# GCC 12.2 for arm64 (Debian 12): one atomic addition, and a program without libc cannot be linked.
#
# Since GCC 10 an atomic operation is a call by default: into libgcc, which asks at run time whether
# the processor has the LSE instructions. -ffreestanding and -nostdlib change nothing about it. GCC's
# manual says to add libgcc where -nostdlib left it out; here that moves the error one step on, for
# that part of libgcc has a constructor that asks libc (__getauxval). The same source links for x86-64,
# where atomics are instructions, and loads and stores link on both: it shows on the first counter or
# lock, and only on arm64.
# -mno-outline-atomics is the way out; -march=armv8.1-a, too, for processors that have it.
#
# Seen: undefined __aarch64_ldadd4_relax; with -lgcc undefined __getauxval; with either option a program.
. "$(dirname "$0")/lib.sh"
[ "$(dpkg --print-architecture)" = amd64 ] || give_up "the cross compiler is one of amd64"
debian gcc-12-aarch64-linux-gnu=12.2.0-14cross1 cpp-12-aarch64-linux-gnu=12.2.0-14cross1 \
    libgcc-12-dev-arm64-cross=12.2.0-14cross1 binutils-aarch64-linux-gnu=2.40-2 libisl23=0.25-1.1 \
    libmpc3=1.3.1-1 libmpfr6=4.2.0-1 libgmp10=2:6.2.1+dfsg1-1.1 libjansson4=2.14-2
LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH
cat >"$work/load.c" <<'C'
int counter;

void _start(void)
{
    while (!__atomic_load_n(&counter, __ATOMIC_ACQUIRE)) {
    }
}
C
sed 's/while .*/for (;;) { __atomic_fetch_add(\&counter, 1, __ATOMIC_RELAXED);/' "$work/load.c" >"$work/add.c"
linked() {
    source=$1
    shift
    if "$root/usr/bin/aarch64-linux-gnu-gcc-12" -B "$root/usr/bin/aarch64-linux-gnu-" -O2 -ffreestanding \
        -nostdlib -static -o "$work/program" "$work/$source.c" "$@" 2>"$work/said"; then
        echo program
    else
        sed -n "s/.*undefined reference to .\(.*\)'.*/\1/p" "$work/said" | sort -u
    fi
}
expect "an atomic load" "$(linked load)" program
expect "an atomic addition" "$(linked add)" __aarch64_ldadd4_relax
expect "with -lgcc" "$(linked add -lgcc)" __getauxval
expect "with -mno-outline-atomics" "$(linked add -mno-outline-atomics)" program
expect "with -march=armv8.1-a" "$(linked add -march=armv8.1-a)" program
finish
