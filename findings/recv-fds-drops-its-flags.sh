#!/bin/sh
# Python 3.9 to 3.13: socket.recv_fds() has a parameter `flags`, and hands it to nobody.
#
# Its result has a member of that name, which is the kernel's answer, so nothing seems to be
# missing. MSG_PEEK takes the message away, MSG_DONTWAIT waits, and with MSG_CMSG_CLOEXEC the
# descriptors are inherited by every program that is started, although Python's own never are (PEP
# 446). recvmsg() with the same flags and array("i") does all three.
#
# Seen: recv_fds: inherited, the message is gone; recvmsg: not inherited, the message is there.
. "$(dirname "$0")/lib.sh"
echo "with $(/usr/bin/python3 --version), Linux $(uname -r)"
cat >"$work/flags.py" <<'PYTHON'
import array
import os
import socket
import sys


def by_recv_fds(end, flags):
    return socket.recv_fds(end, 8, 1, flags)[1]


def by_recvmsg(end, flags):
    ancillary = end.recvmsg(8, socket.CMSG_LEN(4), flags)[1]
    return array.array("i", ancillary[0][2])


receive = {"recv_fds": by_recv_fds, "recvmsg": by_recvmsg}[sys.argv[1]]
ours, theirs = socket.socketpair()
with open(os.devnull) as null:
    socket.send_fds(theirs, [b"x"], [null.fileno()])
(fd,) = receive(ours, socket.MSG_PEEK | socket.MSG_CMSG_CLOEXEC)
ours.setblocking(False)
try:
    left = ours.recv(8)
except BlockingIOError:
    left = b""
print("inherited" if os.get_inheritable(fd) else "not inherited", "there" if left else "gone")
PYTHON
expect "recv_fds with both flags" "$(/usr/bin/python3 "$work/flags.py" recv_fds)" "inherited gone"
expect "recvmsg with both flags" "$(/usr/bin/python3 "$work/flags.py" recvmsg)" "not inherited there"
finish
