#!/bin/sh
# Linux 6.18: 340 lines of an id map are too many long before there are 340.
#
# user_namespaces(7) gives two limits, 340 lines and less than a page for the write, and only one
# write is allowed. The second one is met first as soon as ids are of the size that subordinate ids
# of a directory service have: with ten digits on both sides a page holds 170 lines. Both are EINVAL,
# so a program that counts lines and splits or refuses at 340 fails without a word about the reason.
#
# Seen: 340 lines of small ids are taken; 170 lines of ten digits are, and 171 are EINVAL.
. "$(dirname "$0")/lib.sh"
needs_root "maps of more than one id"
[ "$(getconf PAGESIZE)" = 4096 ] || give_up "a page has not 4096 bytes"
echo "with Linux $(uname -r)"
out=$(/usr/bin/python3 - <<'PYTHON'
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
NEWUSER = 0x10000000


def written(first: int, count: int) -> str:
    ready, done = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.unshare(NEWUSER)
        os.write(ready[1], b"x")
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    lines = "".join(f"{first + n} {first + n} 1\n" for n in range(count)).encode()
    fd = os.open(f"/proc/{pid}/uid_map", os.O_WRONLY)
    try:
        os.write(fd, lines)
        said = "taken"
    except OSError as error:
        said = error.strerror or ""
    os.close(fd)
    os.write(done[1], b"x")
    os.waitpid(pid, 0)
    return said


print(written(0, 340))
print(written(1_000_000_000, 170))
print(written(1_000_000_000, 171))
PYTHON
)
expect "340 lines, up to three digits" "$(echo "$out" | sed -n 1p)" taken
expect "170 lines, ten digits" "$(echo "$out" | sed -n 2p)" taken
expect "171 lines, ten digits" "$(echo "$out" | sed -n 3p)" "Invalid argument"
finish
