#!/bin/sh
# CNI plugins 1.1.1 (Debian 12), loopback: ADD and DEL together take 127.0.0.1 away from who had it before.
#
# A plugin's DEL undoes its ADD, and where ADD found nothing to do one expects nothing to be undone.
# This one sets the device down whatever it was. A network namespace that several share (a pod's, one
# with a name, one that was there before), in which 127.0.0.1 worked all the time, is deaf when the
# first of them goes. No call fails for it over IPv4: the address is still there, sendto(2) succeeds,
# and nothing arrives. ::1 is gone as an address, and comes back with "up" only.
#
# Seen: a word sent to oneself arrives before ADD and after it; after DEL silence, and EADDRNOTAVAIL.
. "$(dirname "$0")/lib.sh"
needs_root "a network namespace"
debian containernetworking-plugins=1.1.1+ds1-3+b5
cat >"$work/look.py" <<'PYTHON'
import errno
import fcntl
import os
import socket
import struct
import subprocess
import sys

IFF_UP, GET, SET = 1, 0x8913, 0x8914
plugin = sys.argv[1]


def reached():
    """What a program gets that sends itself a word."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as end:
            end.settimeout(2)
            try:
                end.bind((address, 0))
                end.sendto(b"word", end.getsockname())
                yield end.recv(9).decode()
            except TimeoutError:
                yield "silence"
            except OSError as error:
                yield errno.errorcode[error.errno]


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    name = b"lo".ljust(16, b"\0")
    found = fcntl.ioctl(any_socket, GET, name + bytes(16))
    (flags,) = struct.unpack_from("=h", found, 16)
    fcntl.ioctl(any_socket, SET, name + struct.pack("=h14x", flags | IFF_UP))
print("before", *reached())
for command in ("ADD", "DEL"):
    subprocess.run(
        [plugin],
        check=True,
        stdout=subprocess.DEVNULL,
        input=b'{"cniVersion": "1.0.0", "name": "net", "type": "loopback"}',
        env={
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "one",
            "CNI_NETNS": f"/proc/{os.getpid()}/ns/net",
            "CNI_IFNAME": "lo",
            "CNI_PATH": os.path.dirname(plugin),
        },
    )
    print(command, *reached())
PYTHON
out=$(unshare --net /usr/bin/python3 "$work/look.py" "$root/usr/lib/cni/loopback")
expect "127.0.0.1 and ::1, set up by somebody" "$(echo "$out" | sed -n 1p)" "before word word"
expect "after ADD" "$(echo "$out" | sed -n 2p)" "ADD word word"
expect "after DEL" "$(echo "$out" | sed -n 3p)" "DEL silence EADDRNOTAVAIL"
finish
