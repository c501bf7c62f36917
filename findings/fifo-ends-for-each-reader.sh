#!/bin/sh
# Linux 6.18: two readers of one FIFO are told different things of its end, and read(2) tells both the same.
#
# poll(2) says POLLHUP to a reader who was there when a writer was, and nothing to one who came later,
# as if a writer were still to come: the end belongs to the open file, not to the FIFO, and neither
# fifo(7) nor poll(2) says so. read(2) knows no such difference and says 0, end of file, to both, and
# also to who never had a writer. So who opens a program's FIFO again after a restart, to go on with
# its output, waits for ever in poll although the program ended in between; and who reads first and
# asks then takes a program that has not begun for one that has ended.
#
# Seen: without a writer so far: no event, read 0 bytes; after one: POLLHUP, 0 bytes; a new reader
# at that moment: no event, 0 bytes; the old one is still told POLLHUP.
. "$(dirname "$0")/lib.sh"
echo "with Linux $(uname -r)"
out=$(/usr/bin/python3 - "$work/fifo" <<'PYTHON'
import os
import select
import sys

NAMES = {0: "nothing", select.POLLHUP: "POLLHUP"}


def told(reader):
    question = select.poll()
    question.register(reader, select.POLLIN)
    events = question.poll(0)
    return NAMES[events[0][1] if events else 0], len(os.read(reader, 1))


os.mkfifo(sys.argv[1])
first = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
print(*told(first))
os.close(os.open(sys.argv[1], os.O_WRONLY))
print(*told(first))
second = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
print(*told(second), *told(first))
PYTHON
)
expect "no writer so far" "$(echo "$out" | sed -n 1p)" "nothing 0"
expect "a writer was there" "$(echo "$out" | sed -n 2p)" "POLLHUP 0"
expect "a reader who comes now, and the first one" "$(echo "$out" | sed -n 3p)" "nothing 0 POLLHUP 0"
finish
