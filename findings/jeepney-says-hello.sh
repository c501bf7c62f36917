#!/bin/sh
# jeepney 0.9.0: its connections speak to a bus, and to nobody else.
#
# D-Bus goes without a bus, too: systemd listens on /run/systemd/private, where root reaches it when
# there is no bus daemon. open_dbus_connection() takes that socket's address, authenticates, and
# says Hello to org.freedesktop.DBus as its first message, which is a call to the bus daemon and not
# part of the protocol. A peer has no such object: it answers with an error, or not at all, and the
# connection cannot be had, although every message after it would go through. The parts below
# (Authenticator, Parser, Message.serialise) have no such wish: with them a peer is called, by any
# name, which it does not look at.
#
# Seen: the peer hears Hello, the caller gets DBusErrorResponse; by the parts the peer hears Ping.
. "$(dirname "$0")/lib.sh"
pypi jeepney==0.9.0
out=$("$python" - "$work/peer" <<'PYTHON'
import socket
import sys
import threading

from jeepney import DBusAddress, Parser, new_error, new_method_call, new_method_return
from jeepney.auth import Authenticator
from jeepney.io.blocking import open_dbus_connection
from jeepney.low_level import HeaderFields
from jeepney.wrappers import DBusErrorResponse

heard = []


def peer(listener):
    """Two connections, one call on each; it has the object /a and no org.freedesktop.DBus."""
    for _ in range(2):
        end, _ = listener.accept()
        said = b""
        while b"BEGIN\r\n" not in said:
            said += end.recv(4096)
            if said.count(b"AUTH") and not said.count(b"BEGIN"):
                end.sendall(b"OK 00000000000000000000000000000000\r\n")
        parser = Parser()
        parser.add_data(said.partition(b"BEGIN\r\n")[2])
        while (call := parser.get_next_message()) is None:
            parser.add_data(end.recv(4096))
        heard.append(call.header.fields[HeaderFields.member])
        known = heard[-1] == "Ping"
        unknown = "org.freedesktop.DBus.Error.UnknownMethod"
        answer = new_method_return(call) if known else new_error(call, unknown, "s", ("none",))
        end.sendall(answer.serialise(serial=1))


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
threading.Thread(target=peer, args=(listener,), daemon=True).start()
try:
    open_dbus_connection(f"unix:path={sys.argv[1]}")
    result = "connected"
except DBusErrorResponse as error:
    result = error.name
print(*heard, result)

end = socket.socket(socket.AF_UNIX)
end.connect(sys.argv[1])
auth = Authenticator()
for data in auth:
    end.sendall(data)
    auth.feed(end.recv(4096))
ping = new_method_call(DBusAddress("/a", "any.name", "org.freedesktop.DBus.Peer"), "Ping")
end.sendall(b"BEGIN\r\n" + ping.serialise(serial=1))
parser = Parser()
while (answer := parser.get_next_message()) is None:
    parser.add_data(end.recv(4096))
print(heard[-1], answer.header.message_type.name)
PYTHON
)
expect "by open_dbus_connection" "$(echo "$out" | sed -n 1p)" \
    "Hello org.freedesktop.DBus.Error.UnknownMethod"
expect "by its parts" "$(echo "$out" | sed -n 2p)" "Ping method_return"
finish
