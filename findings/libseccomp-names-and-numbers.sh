#!/bin/sh
# libseccomp 2.5.4 (Debian 12): name to number and number to name are not each other's inverse.
#
# On i386 socket(2) has number 359 since Linux 4.3, beside its old way through socketcall(2). The
# library knows it: it calls 359 `socket`. But asked for the number of `socket` on that architecture
# it answers -101, a number of its own that stands for both ways. It is neither the number that
# programs use nor the one value (-1) that stands for "unknown", so a tool that tests for that, or for
# a negative number, draws the wrong conclusion either way.
#
# Seen: 359 -> socket, socket -> -101; on x86-64 41 -> socket -> 41.
. "$(dirname "$0")/lib.sh"
debian libseccomp2=2.5.4-1+deb12u1
out=$(/usr/bin/python3 - "$(echo "$root"/usr/lib/*-linux-gnu/libseccomp.so.2)" <<'PYTHON'
import ctypes
import sys

library = ctypes.CDLL(sys.argv[1])
name_of = library.seccomp_syscall_resolve_num_arch
name_of.restype = ctypes.c_char_p
number_of = library.seccomp_syscall_resolve_name_arch
for token, number in ((0x40000003, 359), (0xC000003E, 41)):
    token = ctypes.c_uint32(token)
    name = name_of(token, number)
    print(number, name.decode(), number_of(token, name))
PYTHON
)
expect "i386" "$(echo "$out" | sed -n 1p)" "359 socket -101"
expect "x86-64" "$(echo "$out" | sed -n 2p)" "41 socket 41"
finish
