#!/bin/sh
# Linux 6.18: fsconfig(2) takes values of 255 bytes, where mount(2) has a page for all options.
#
# One value of FSCONFIG_SET_STRING longer than 255 bytes is EINVAL, which is also what a wrong
# option gives, and names no length. So the lowerdir of an overlay with a few image layers, which
# mount(2) has taken for ever as long as all options fit into 4095 bytes, fails as soon as a
# program turns to the new mount API. The way out is one lowerdir+ a layer (Linux 6.5), or mount(2).
#
# Seen: 255 bytes ENOENT (the directories are not there: it was read), 256 bytes EINVAL.
. "$(dirname "$0")/lib.sh"
needs_root "fsopen(2)"
echo "with Linux $(uname -r)"
out=$(/usr/bin/python3 - <<'PYTHON'
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
FSOPEN, FSCONFIG, SET_STRING = 430, 431, 1
fs = libc.syscall(FSOPEN, b"overlay", 1)
if fs < 0:
    raise SystemExit("no overlay file system: " + errno.errorcode[ctypes.get_errno()])
for length in (255, 256):
    value = (b"/" + b"a" * 200 + b"/" + b"b" * 200)[:length]
    done = libc.syscall(FSCONFIG, fs, SET_STRING, b"lowerdir", value, 0)
    print("taken" if done == 0 else errno.errorcode[ctypes.get_errno()])
PYTHON
) || give_up "$out"
expect "255 bytes" "$(echo "$out" | sed -n 1p)" ENOENT
expect "256 bytes" "$(echo "$out" | sed -n 2p)" EINVAL
finish
