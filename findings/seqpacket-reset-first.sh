#!/bin/sh
# Linux 6.18: the last message of a SEQPACKET peer comes after the news of its reset; that of a stream before.
#
# Who answers without having read all that was sent to him, and closes, has done nothing wrong: his
# answer is in our queue. A stream socket gives us the answer, and ECONNRESET then. A SEQPACKET
# socket gives ECONNRESET first, once, and the answer to whoever asks again. Most code takes an error
# of recv(2) for the end of a connection, so what the peer said last, such as why he gave up, is
# lost, and only where he was faster than we: a test that waits for the answer never sees it.
#
# Seen: stream: answer, reset; seqpacket: reset, answer; both: answer, end where all had been read.
. "$(dirname "$0")/lib.sh"
echo "with Linux $(uname -r)"
out=$(/usr/bin/python3 - <<'PYTHON'
import socket


def said(kind, asked):
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    if asked:
        near.send(b"question")
    far.send(b"answer")
    far.close()
    for _ in range(2):
        try:
            yield near.recv(100).decode() or "end"
        except ConnectionResetError:
            yield "reset"


for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    for asked in (False, True):
        print(*said(kind, asked))
PYTHON
)
expect "stream, nothing unread" "$(echo "$out" | sed -n 1p)" "answer end"
expect "stream, a question unread" "$(echo "$out" | sed -n 2p)" "answer reset"
expect "seqpacket, nothing unread" "$(echo "$out" | sed -n 3p)" "answer end"
expect "seqpacket, a question unread" "$(echo "$out" | sed -n 4p)" "reset answer"
finish
