#!/bin/sh
# Linux 6.18, Python 3.11, GNU tar 1.34 (Debian 12): an attribute that is listed, cannot be read, and is no missing one.
#
# A file capability that root of a user namespace has set is that root's: outside, security.capability
# has 24 bytes (his id behind the masks), inside 20. To root of a namespace in which that id is nobody, and
# who sees the file in a shared directory, listxattr(2) names the attribute, and getxattr(2) says
# EOVERFLOW, which its manual page does not know. Nor does what copies attributes: shutil.copy2, and so
# copytree, pass over one that is not supported or not permitted, and raise for this one, when the
# content has been copied; tar --xattrs warns, exits with 0, and its archive has the file without.
# For who set it, and for the host's root, the same copy of the same file is complete and without a word.
#
# Seen: 24 bytes outside, 20 inside, EOVERFLOW beside; copy2 EOVERFLOW, with the content there; tar 0.
. "$(dirname "$0")/lib.sh"

needs_root "mapped ids"
debian tar=1.34+dfsg-1.2+deb12u1 libacl1=2.3.1-3 libselinux1=3.4-1+b6
echo "with Linux $(uname -r), $(/usr/bin/python3 --version)"
LD_LIBRARY_PATH=$(echo "$root"/lib/*-linux-gnu):$(echo "$root"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
chmod 755 "$work"
mkdir "$work/shared"
chmod 777 "$work/shared"
out=$(/usr/bin/python3 - "$work/shared" "$root/bin/tar" <<'PYTHON'
import ctypes
import errno
import os
import shutil
import struct
import subprocess
import sys

shared, tar = sys.argv[1:]
CLONE_NEWUSER = 0x10000000
NAME = "security.capability"
NET_RAW = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)


def as_root_of(host_id, work):
    """Call work as root of a new user namespace, who is host_id outside."""
    ready, go_on = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        if ctypes.CDLL(None).unshare(CLONE_NEWUSER):
            os._exit(1)
        os.write(ready[1], b"x")
        os.read(go_on[0], 1)
        os.setgroups([])
        os.setgid(0)
        os.setuid(0)
        work()
        sys.stdout.flush()
        os._exit(0)
    os.read(ready[0], 1)
    for kind in ("gid", "uid"):
        with open(f"/proc/{pid}/{kind}_map", "w") as file:
            file.write(f"0 {host_id} 1000")
    os.write(go_on[1], b"x")
    os.waitpid(pid, 0)


def attempt(call, *operands):
    try:
        return call(*operands)
    except OSError as error:
        return errno.errorcode[error.errno]


def size():
    return len(os.getxattr("file", NAME))


def make():
    with open("file", "w") as file:
        file.write("content")
    os.setxattr("file", NAME, NET_RAW)
    print(size())


def copy():
    print(*os.listxattr("file"), attempt(size))
    print(attempt(shutil.copy2, "file", "copy"), open("copy").read())
    command = [tar, "--xattrs", "--xattrs-include=*", "-cf", "archive", "file"]
    print(subprocess.run(command, stderr=subprocess.DEVNULL).returncode)


os.chdir(shared)
as_root_of(100000, make)
print(size(), flush=True)
as_root_of(200000, copy)
shutil.copy2("file", "copy of root")
print(len(os.getxattr("copy of root", NAME)))
PYTHON
)
expect "bytes, for who set it" "$(echo "$out" | sed -n 1p)" 20
expect "bytes, outside" "$(echo "$out" | sed -n 2p)" 24
expect "in another namespace" "$(echo "$out" | sed -n 3p)" "security.capability EOVERFLOW"
expect "copy2, and what is copied" "$(echo "$out" | sed -n 4p)" "EOVERFLOW content"
expect "tar's exit status" "$(echo "$out" | sed -n 5p)" 0
expect "bytes that the host's root copies" "$(echo "$out" | sed -n 6p)" 24
expect "attributes in the archive" "$(grep -ac 'SCHILY.xattr' "$work/shared/archive" || :)" 0
finish
