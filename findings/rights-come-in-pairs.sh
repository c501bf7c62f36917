#!/bin/sh
# Linux 6.18, 64 bits: who makes room for one descriptor may get two.
#
# CMSG_SPACE() rounds up to eight bytes, a descriptor has four. A receiver with a buffer of
# CMSG_SPACE of one descriptor, which is what cmsg(3) shows, is given two if two were sent, and
# MSG_CTRUNC is not set. If it takes the first and forgets that there may be another, that one
# stays open, in a long-lived daemon for good. CMSG_LEN() is the size that keeps it to one.
#
# Seen: room CMSG_SPACE(4) = 24: 2 descriptors, not truncated; CMSG_LEN(4) = 20: 1, truncated.
. "$(dirname "$0")/lib.sh"
echo "with Linux $(uname -r)"
out=$(/usr/bin/python3 - <<'PYTHON'
import array
import os
import socket

files = [os.open("/dev/null", os.O_RDONLY) for _ in range(2)]
for room in (socket.CMSG_SPACE(4), socket.CMSG_LEN(4)):
    near, far = socket.socketpair()
    rights = array.array("i", files)
    near.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    _, messages, flags, _ = far.recvmsg(1, room)
    truncated = bool(flags & socket.MSG_CTRUNC)
    print(room, len(messages[0][2]) // 4, "truncated" if truncated else "whole")
PYTHON
)
expect "CMSG_SPACE: room, descriptors" "$(echo "$out" | sed -n 1p)" "24 2 whole"
expect "CMSG_LEN: room, descriptors" "$(echo "$out" | sed -n 2p)" "20 1 truncated"
finish
