#!/bin/sh
# libseccomp 2.5.4 (Debian 12): of two rules that both apply, neither the first nor the last nor the narrower wins.
#
# One profile may have several rules for one system call, with different actions: an errno for clone,
# and another for clone with certain flags. The man page tells of rules with the same action, which
# are united. With different actions it depends on how the conditions are compared, and on more:
#
# - a rule without a condition wins over every one that has some, in either order, without an error;
# - one on the first argument loses to one on the second;
# - "equal" wins over "at least", and "equal" against a mask is won by who came first;
# - the same condition twice is an error, EEXIST, and so is a rule that comes after a wider one of the
#   same beginning; added before it, it is taken and never applies.
#
# So an exception to a general rule cannot be written as a second rule; it has to be the general
# rule's negated condition. Of two orders, each pair below is tried in both.
#
# Seen, for the call f(3, 5), A the first of the pair: what add said, and whose errno the caller gets.
. "$(dirname "$0")/lib.sh"
debian libseccomp2=2.5.4-1+deb12u1
out=$(/usr/bin/python3 - "$(echo "$root"/usr/lib/*-linux-gnu/libseccomp.so.2)" <<'PYTHON'
import ctypes
import os
import sys

ALLOW, ERRNO = 0x7FFF0000, 0x50000
EQUAL, AT_LEAST, MASKED = 4, 5, 7
NAMES = {0: "taken", -17: "EEXIST", 101: "A", 102: "B"}


class Condition(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


library = ctypes.CDLL(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
library.seccomp_init.restype = ctypes.c_void_p
library.seccomp_load.argtypes = [ctypes.c_void_p]
add = library.seccomp_rule_add_array
add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
number = library.seccomp_syscall_resolve_name(b"mremap")


def answer(rules):
    """What the second addition returned, and the errno of the call under both rules."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        context = library.seccomp_init(ALLOW)
        for errno, conditions in rules:
            array = (Condition * len(conditions))(*conditions)
            added = add(context, ERRNO | errno, number, len(conditions), array)
        if library.seccomp_load(context) == 0:
            libc.syscall(number, *map(ctypes.c_ulong, (3, 5, 0, 0, 0)))
            os.write(writer, f"{NAMES[added]} {NAMES[ctypes.get_errno()]}".encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as said:
        result = said.read()
    os.wait()
    return result


first, second = (0, EQUAL, 3, 0), (1, EQUAL, 5, 0)
for a, b in (
    ([], [first]),
    ([first], [second]),
    ([first], [(0, AT_LEAST, 1, 0)]),
    ([first], [(0, MASKED, 1, 1)]),
    ([first], [first]),
    ([first, second], [first]),
):
    pair = [(101, a), (102, b)]
    print(answer(pair), answer(pair[::-1]), sep=", ")
PYTHON
)
seen() { echo "$out" | sed -n "$1p"; }
expect "A always, B if the first is 3" "$(seen 1)" "taken A, taken A"
expect "A if the first is 3, B if the second is 5" "$(seen 2)" "taken B, taken B"
expect "A if the first is 3, B if it is 1 or more" "$(seen 3)" "taken A, taken A"
expect "A if the first is 3, B if it is odd" "$(seen 4)" "taken A, taken B"
expect "A if the first is 3, B likewise" "$(seen 5)" "EEXIST A, EEXIST B"
expect "A if they are 3 and 5, B if the first is 3" "$(seen 6)" "EEXIST A, taken B"
finish
